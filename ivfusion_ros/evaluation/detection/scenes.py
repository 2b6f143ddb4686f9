"""The scenes that detectors are judged on: registered pairs with the boxes of what is there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.class_names import names_from_yaml
from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.pairs import Pair, hour, read_pairs
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.types import CAMERAS, Boxes, Size

_DARK = 0.22
"""Mean of an RGB image, in [0, 1], below which a scene is at night: right for 97 % of MSRS's scenes."""


@dataclass(frozen=True)
class Scene:
    """A pair, where its boxes are written, and whether it was taken at night."""

    pair: Pair
    labels: Path
    night: bool


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in a scene: (N, 4) boxes in pixels of an image of a given size, and (N,) class ids."""

    boxes_xyxy: Boxes
    class_ids: npt.NDArray[np.int64]


def read_scenes(dataset: Path, part: str, limit: int | None = None) -> tuple[list[Scene], tuple[str, ...]]:
    """The scenes of a part ("val" or "train") of a folder by `ivfusion dataset`, and its class names.

    limit: most scenes, evenly spaced. Raises DataError where thermal and RGB images or labels are missing,
    ConfigError for a data.yaml without names.
    """
    if not (dataset / "data.yaml").is_file():
        raise DataError(f"there is no {dataset / 'data.yaml'}; make a data set with `ivfusion dataset`")
    names = names_from_yaml(dataset / "data.yaml")
    images = dataset / "images" / part
    for camera in CAMERAS:
        if not (images / camera).is_dir():
            raise DataError(
                f"there is no folder {images / camera}; expected a data set of `ivfusion dataset --images "
                "thermal rgb`: what is fused of both is made here"
            )
    scenes = []
    for pair in read_pairs([images], CAMERAS, limit=limit):
        labels = dataset / "labels" / part / "rgb" / f"{pair.stem}.txt"
        if not labels.is_file():
            raise DataError(f"{pair.rgb} has no labels in {labels}; run `ivfusion dataset` again")
        named = replace(pair, data=dataset.resolve().name)
        scenes.append(Scene(named, labels, is_night(pair)))
    return scenes, names


def is_night(pair: Pair) -> bool:
    """By its name, where that tells, else by the brightness of its RGB image."""
    told = hour(pair.stem)
    if told:
        return told == "night"
    image = read_image(pair.rgb)
    return bool(image.mean() < _DARK * np.iinfo(image.dtype).max)


def read_truth(scene: Scene, size: Size, class_count: int) -> Truth:
    """The objects of a scene, in pixels of an image of (width, height). Raises DataError."""
    try:
        boxes, class_ids = read_boxes(scene.labels, size)
    except ValueError as error:
        raise DataError(f"{scene.labels} has no lines of class, centre x, y, width, height") from error
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < class_count:
        raise DataError(f"{scene.labels} has class {class_ids.max()}, but data.yaml names {class_count}")
    return Truth(boxes, class_ids)
