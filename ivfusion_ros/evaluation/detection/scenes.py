"""The scenes that detectors are judged on: pairs or images of one camera, with the boxes in them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.class_names import names_from_yaml
from ivfusion_ros.detection.classes import CLASS_NAMES, usual_map
from ivfusion_ros.detection.given import Account, Objects, given_objects, known_objects
from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.pairs import Pair, hour, read_pairs
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import numbers_of, read_boxes
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.sources.scenes import Scene as SceneOnDisk
from ivfusion_ros.sources.scenes import find_scenes
from ivfusion_ros.types import CAMERAS, Boxes, CameraName, Size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.detection.classes import ClassMap

_DARK = 0.22
"""Mean of an RGB image, in [0, 1], below which a scene is at night: right for 97 % of MSRS's scenes."""


@dataclass(frozen=True, eq=False)
class Truth:
    """What is in a scene: (N, 4) boxes in pixels of an image of a given size, and (N,) class ids."""

    boxes_xyxy: Boxes
    class_ids: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Scene:
    """A pair, whether it was taken at night, and its boxes over the image's size.

    cameras: that saw it; of one camera alone both images of the pair are that camera's.
    """

    pair: Pair
    night: bool
    shares: Truth
    cameras: tuple[CameraName, ...] = CAMERAS


def read_scenes(
    dataset: Path,
    part: str,
    limit: int | None = None,
    class_map: ClassMap | None = None,
    camera: CameraName | None = None,
) -> tuple[list[Scene], tuple[str, ...]]:
    """The scenes of a part ("val" or "train") of a folder by `ivfusion dataset`, and its class names.

    Of any other folder, all scenes that find_scenes knows, and CLASS_NAMES. limit: most scenes, evenly
    spaced. class_map: what the set's names mean; its class names are given then, and other objects are left
    out, which is logged. camera: of other folders, as for `ivfusion dataset`.
    Raises DataError where images or labels are missing, ConfigError for a data.yaml without names.
    """
    written = [dataset / "images" / name / own for name in ("train", "val", "test") for own in CAMERAS]
    if any(folder.is_dir() for folder in written):
        return _read_written(dataset, part, limit, class_map)
    try:
        found = find_scenes(dataset, camera)
    except DataError as error:
        raise DataError(f"{error}; or make a data set with `ivfusion dataset`") from error
    found = found if limit is None else spread(found, limit, ends=True)
    return _read_found(dataset, found, class_map or usual_map(CLASS_NAMES))


def of_present_classes(
    scenes: Sequence[Scene], class_names: Sequence[str]
) -> tuple[list[Scene], tuple[str, ...]]:
    """The same with class ids that count the classes which have objects. Raises DataError without one."""
    present = sorted({number for scene in scenes for number in scene.shares.class_ids.tolist()})
    if not present:
        listed = usual_map(class_names).listed
        raise DataError(f"{len(scenes)} scenes have no object of {listed}; give a class map, --classes")
    numbers = np.full(len(class_names), -1, np.int64)
    numbers[present] = range(len(present))
    renumbered = [
        replace(scene, shares=Truth(scene.shares.boxes_xyxy, numbers[scene.shares.class_ids]))
        for scene in scenes
    ]
    return renumbered, tuple(class_names[number] for number in present)


def _read_found(
    dataset: Path, found: Sequence[SceneOnDisk], class_map: ClassMap
) -> tuple[list[Scene], tuple[str, ...]]:
    scenes, account = [], Account(class_map)
    for place in found:
        image = read_image(place.image)
        size = image.shape[1], image.shape[0]
        given = given_objects(place, size, class_map)
        if given is None:
            raise DataError(
                f"nothing says what is in {place.image}: no map of it in labels/, no file of boxes; "
                "expected boxes of all that is judged"
            )
        account.add(given)
        pair = Pair(
            dataset.resolve().name, place.stem, place.thermal or place.image, place.rgb or place.image
        )
        shares = Truth(given.boxes / _sides(size), given.class_ids)
        cameras = tuple(camera for camera in CAMERAS if getattr(place, camera) is not None)
        scenes.append(Scene(pair, is_night(pair), shares, cameras))
    account.tell(len(scenes))
    return scenes, class_map.names


def _sides(size: Size) -> Boxes:
    return np.array([*size, *size], np.float32)


def _read_written(
    dataset: Path, part: str, limit: int | None, class_map: ClassMap | None
) -> tuple[list[Scene], tuple[str, ...]]:
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
    class_map = class_map or usual_map(names)
    scenes, account = [], Account(class_map)
    for pair in read_pairs([images], CAMERAS, limit=limit):
        labels = dataset / "labels" / part / "rgb" / f"{pair.stem}.txt"
        if not labels.is_file():
            raise DataError(f"{pair.rgb} has no labels in {labels}; run `ivfusion dataset` again")
        given = _written_objects(labels, names, class_map)
        account.add(given)
        named = replace(pair, data=dataset.resolve().name)
        scenes.append(Scene(named, is_night(pair), Truth(given.boxes, given.class_ids)))
    account.tell(len(scenes))
    return scenes, class_map.names


def _written_objects(labels: Path, names: Sequence[str], class_map: ClassMap) -> Objects:
    """Boxes over the image's size."""
    whole = (1, 1)
    boxes, class_ids = read_boxes(labels, whole)
    if len(class_ids) and not 0 <= class_ids.min() <= class_ids.max() < len(names):
        raise DataError(f"{labels} has class {class_ids.max()}, but data.yaml names {len(names)}")
    words = [names[class_id] for class_id in class_ids]
    return known_objects(boxes, words, whole, class_map, numbers_of(labels, names))


def is_night(pair: Pair) -> bool:
    """By its name, where that tells, else by the brightness of its RGB image."""
    told = hour(pair.stem)
    if told:
        return told == "night"
    return bool(to_rgb(read_image(pair.rgb)).mean() < _DARK * 255)


def read_truth(scene: Scene, size: Size) -> Truth:
    """The objects of a scene, in pixels of an image of (width, height)."""
    return Truth(scene.shares.boxes_xyxy * _sides(size), scene.shares.class_ids)
