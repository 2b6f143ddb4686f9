"""The scenes that detectors are judged on: pairs or images of one camera, with the boxes in them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.class_names import names_from_yaml
from ivfusion_ros.detection.classes import CLASS_NAMES, usual_map
from ivfusion_ros.detection.given import Objects, given_objects, told
from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.pairs import Pair, hour, read_pairs
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.sources.scenes import Scene as SceneOnDisk
from ivfusion_ros.sources.scenes import find_scenes
from ivfusion_ros.types import CAMERAS, Boxes, CameraName, Size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

log = logging.getLogger(__name__)

_DARK = 0.22
"""Mean of an RGB image, in [0, 1], below which a scene is at night: right for 97 % of MSRS's scenes."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in a scene: (N, 4) boxes in pixels of an image of a given size, and (N,) class ids."""

    boxes_xyxy: Boxes
    class_ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """A pair, where its boxes are written, and whether it was taken at night.

    shares: its boxes over the image's size, where they are not in YOLO's form in labels. cameras: that saw
    it; of one camera alone both images of the pair are that camera's.
    """

    pair: Pair
    labels: Path
    night: bool
    shares: Truth | None = None
    cameras: tuple[CameraName, ...] = CAMERAS


def read_scenes(
    dataset: Path,
    part: str,
    limit: int | None = None,
    class_map: Mapping[int | str, int] | None = None,
    camera: CameraName | None = None,
) -> tuple[list[Scene], tuple[str, ...]]:
    """The scenes of a part ("val" or "train") of a folder by `ivfusion dataset`, and its class names.

    Of any other folder, all scenes that find_scenes knows, and those of CLASS_NAMES that are there.
    limit: most scenes, evenly spaced. class_map, camera: of other folders, as for `ivfusion dataset`.
    Raises DataError where images or labels are missing, ConfigError for a data.yaml without names.
    """
    written = [dataset / "images" / name / own for name in ("train", "val", "test") for own in CAMERAS]
    if any(folder.is_dir() for folder in written):
        return _read_written(dataset, part, limit)
    try:
        found = find_scenes(dataset, camera)
    except DataError as error:
        raise DataError(f"{error}; or make a data set with `ivfusion dataset`") from error
    found = found if limit is None else spread(found, limit, ends=True)
    return _read_found(dataset, found, usual_map(CLASS_NAMES) if class_map is None else class_map)


def _read_found(
    dataset: Path, found: Sequence[SceneOnDisk], class_map: Mapping[int | str, int]
) -> tuple[list[Scene], tuple[str, ...]]:
    scenes, objects, left_out = [], list[Objects](), Counter[str]()
    for place in found:
        image = read_image(place.image)
        size = image.shape[1], image.shape[0]
        given = given_objects(place, size, class_map)
        if given is None:
            raise DataError(
                f"nothing says what is in {place.image}: no map of it in labels/, no file of boxes; "
                "expected boxes of all that is judged"
            )
        left_out += given.left_out
        objects.append(given)
        pair = Pair(
            dataset.resolve().name, place.stem, place.thermal or place.image, place.rgb or place.image
        )
        shares = Truth(_over(given.boxes, size), given.class_ids)
        cameras = tuple(camera for camera in CAMERAS if getattr(place, camera) is not None)
        scenes.append(Scene(pair, place.boxes or place.image, is_night(pair), shares, cameras))
    if left_out:
        log.warning("%s; a class map says what they are", told(left_out))
    return _of_present_classes(scenes, objects)


def _over(boxes: Boxes, size: Size) -> Boxes:
    return (boxes / np.array([*size, *size], np.float32)).astype(np.float32)


def _of_present_classes(
    scenes: Sequence[Scene], objects: Sequence[Objects]
) -> tuple[list[Scene], tuple[str, ...]]:
    """Class ids count the classes that there are: a detector need not know others."""
    present = sorted({number for given in objects for number in given.class_ids.tolist()})
    numbers = np.full(len(CLASS_NAMES), -1, np.int64)
    numbers[present] = range(len(present))
    renumbered = []
    for scene in scenes:
        assert scene.shares is not None
        shares = Truth(scene.shares.boxes_xyxy, numbers[scene.shares.class_ids])
        renumbered.append(replace(scene, shares=shares))
    if not present:
        raise DataError(
            f"{len(scenes)} scenes have no object of {', '.join(CLASS_NAMES)}; give a class map, --classes"
        )
    return renumbered, tuple(CLASS_NAMES[number] for number in present)


def _read_written(dataset: Path, part: str, limit: int | None) -> tuple[list[Scene], tuple[str, ...]]:
    if not (dataset / "data.yaml").is_file():
        raise DataError(f"there is no {dataset / 'data.yaml'}; make a data set with `ivfusion dataset`")
    names = names_from_yaml(dataset / "data.yaml")
    images = dataset / "images" / part
    if not images.is_dir():
        raise DataError(
            f"{dataset} has no scenes in {images}, expected a data set of `ivfusion dataset --images "
            "thermal rgb`; where nothing was held out, add folders of other recordings to it"
        )
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
    return bool(to_rgb(read_image(pair.rgb)).mean() < _DARK * 255)


def read_truth(scene: Scene, size: Size, class_count: int) -> Truth:
    """The objects of a scene, in pixels of an image of (width, height). Raises DataError."""
    if scene.shares is not None:
        scale = np.array([*size, *size], np.float32)
        return Truth(scene.shares.boxes_xyxy * scale, scene.shares.class_ids)
    boxes, class_ids = read_boxes(scene.labels, size)
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < class_count:
        raise DataError(f"{scene.labels} has class {class_ids.max()}, but data.yaml names {class_count}")
    return Truth(boxes, class_ids)
