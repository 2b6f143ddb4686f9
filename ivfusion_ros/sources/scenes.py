"""Scenes for a detector on disk: pairs or images of one camera, with whatever says what is in them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import DataError, no_folder
from ivfusion_ros.files import natural_order, read_yaml
from ivfusion_ros.images.coco_json import read_coco
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.sources.layouts import LAYOUTS, OWN, Fields, Layout, matching
from ivfusion_ros.sources.one_camera import FORMS, ONE_CAMERA

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.types import CameraName

log = logging.getLogger(__name__)

_LOOKED_AT = 8
_GREY = 0.5
"""Mean difference between channels, in levels, up to which an image is grey."""


@dataclass(frozen=True)
class Scene:
    """One scene: an image of one camera or of both, and what says what is in it.

    labels: a map of class ids. boxes: a file of objects in any form of images.labels; a text file need not
    exist where the scene is empty. names: what numbers in it mean; () for COCO's.
    """

    stem: str
    thermal: Path | None
    rgb: Path | None
    labels: Path | None = None
    boxes: Path | None = None
    names: tuple[str, ...] = ()

    @property
    def image(self) -> Path:
        """The RGB image where there is one, else the thermal one."""
        return self.images[0]

    @property
    def images(self) -> list[Path]:
        """Of both cameras, the RGB camera's first."""
        return [path for path in (self.rgb, self.thermal) if path is not None]


def find_scenes(folder: Path, camera: CameraName | None = None) -> list[Scene]:
    """All scenes of a folder in natural order; what is left out of it is logged.

    It has thermal/ and rgb/ (or visible/) with equal stems, or one of them, with labels/ (maps of MSRS's
    class ids), boxes/ (.txt in YOLO's form) or a COCO file beside them; or it is a data set as published
    (see LAYOUTS and ONE_CAMERA), or one of FORMS. camera: that took the images of FORMS; None: thermal
    where they are grey. Raises DataError where there are none.
    """
    if not folder.is_dir():
        raise no_folder(folder)
    for name, layouts in [*LAYOUTS.items(), *ONE_CAMERA.items()]:
        found = dict[Fields, Scene]()
        left_out: Counter[str] = Counter()
        for layout in layouts:
            found = {**dict(_scenes(folder, layout, left_out)), **found}
        if found:
            return _told(folder, name, _with_stems(found), left_out)
    for name, places in FORMS.items():
        for place in places:
            left_out = Counter()
            layout = Layout(place.images, "", boxes=place.boxes)
            found = dict(_scenes(folder, layout, left_out))
            if any(scene.boxes is not None and scene.boxes.exists() for scene in found.values()):
                scenes = _of_camera(_with_stems(found), camera)
                return _told(folder, f"{name}'s form", scenes, left_out)
    raise _nothing(folder)


def _scenes(folder: Path, layout: Layout, left_out: Counter[str]) -> Iterator[tuple[Fields, Scene]]:
    """Scenes at a layout's places; those without a partner or without a word on them are counted."""
    thermal = matching(folder, layout.thermal) if layout.thermal else {}
    rgb = matching(folder, layout.rgb) if layout.rgb else {}
    paired = bool(layout.thermal and layout.rgb)
    if paired and not (thermal.keys() & rgb.keys()):
        return
    labels = matching(folder, layout.labels) if layout.labels else {}
    files = _coco_files(folder, layout)
    names = _names(folder)
    for fields in thermal | rgb:
        if paired and not (fields in thermal and fields in rgb):
            left_out[f"without {'an RGB' if fields in thermal else 'a thermal'} image"] += 1
            continue
        stem = dict(fields)["stem"]
        scene = Scene(stem, thermal.get(fields), rgb.get(fields), labels.get(fields), names=names)
        boxes = _boxes(folder, layout, fields, scene, files)
        if boxes is None and files and scene.labels is None:
            left_out["not in the COCO files"] += 1
        elif boxes is not None and boxes.suffix == ".xml" and not boxes.is_file():
            left_out[f"without a file in {boxes.parent.name}/"] += 1
        else:
            yield fields, replace(scene, boxes=boxes)


def _boxes(
    folder: Path, layout: Layout, fields: Fields, scene: Scene, files: Sequence[Path]
) -> Path | None:
    """The file of a scene's objects; None where only its map of class ids tells, or nothing."""
    if layout.boxes and not layout.boxes.endswith(".json"):
        path = folder / layout.boxes.format_map(dict(fields))
        # A number that nothing explains says less than a map of class ids.
        explained = layout.boxes == OWN.boxes or path.suffix != ".txt" or scene.names
        if path.is_file() and (explained or scene.labels is None):
            return path
        if scene.labels is None and path.parent.is_dir():
            return path
    return next((file for file in files if any(map(read_coco(file).has, scene.images))), None)


def _coco_files(folder: Path, layout: Layout) -> list[Path]:
    """COCO files at a layout's place; of thermal/ and rgb/ those beside or in annotations/."""
    if layout.boxes.endswith(".json"):
        place = layout.boxes.replace("{part}", "*")
        return sorted(folder.glob(place))
    if layout.boxes != OWN.boxes or (folder / "boxes").is_dir():
        return []
    return [*sorted(folder.glob("*.json")), *sorted(folder.glob("annotations/*.json"))]


def _names(folder: Path) -> tuple[str, ...]:
    """What a set's numbers mean, by ultralytics' YAML or a list of lines; () where it does not say."""
    for path in (folder / name for name in ("data.yaml", "dataset.yaml")):
        if path.is_file():
            names = read_yaml(path).get("names")
            values = [names[number] for number in sorted(names)] if isinstance(names, dict) else names
            if isinstance(values, list) and values:
                return tuple(map(str, values))
    lists = (folder / "classes.txt", folder / "labels" / "classes.txt")
    return next(
        (tuple(path.read_bytes().decode(errors="replace").split("\n")) for path in lists if path.is_file()),
        (),
    )


def _with_stems(found: dict[Fields, Scene]) -> list[Scene]:
    """In natural order; a name that several parts of the data set have tells the part as well."""
    unique = len({scene.stem for scene in found.values()}) == len(found)
    scenes = [
        scene if unique else replace(scene, stem="_".join(text for _, text in fields))
        for fields, scene in found.items()
    ]
    return sorted(scenes, key=lambda scene: natural_order(scene.stem))


def _of_camera(scenes: list[Scene], camera: CameraName | None) -> list[Scene]:
    """Scenes of thermal images, told by a few of them where the camera is not given."""
    if camera is None:
        grey = all(_is_grey(scene.image) for scene in spread(scenes, _LOOKED_AT))
        camera = "thermal" if grey else "rgb"
        log.info("the images are %s and taken for %s; --camera says otherwise",
                 "grey" if grey else "coloured", camera)  # fmt: skip
    if camera == "thermal":
        return scenes
    return [replace(scene, thermal=None, rgb=scene.thermal) for scene in scenes]


def _is_grey(path: Path) -> bool:
    image = read_image(path)
    return image.ndim == 2 or float(np.ptp(image.astype(np.float32), axis=2).mean()) <= _GREY


def _told(folder: Path, name: str, scenes: list[Scene], left_out: Counter[str]) -> list[Scene]:
    if left_out:
        told = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        log.warning("%s (%s): %d scenes; images left out: %s", folder, name, len(scenes), told)
    else:
        log.info("%s (%s): %d scenes", folder, name, len(scenes))
    return scenes


def _nothing(folder: Path) -> DataError:
    counts = {name: len(matching(folder, f"{name}/{{stem}}")) for name in ("thermal", "rgb")}
    sets = ", ".join(dict.fromkeys([*list(LAYOUTS)[1:], *list(ONE_CAMERA)[1:]]))
    return DataError(
        f"{folder} has {counts['thermal']} images in thermal/ and {counts['rgb']} in rgb/, none of equal "
        "names, and no boxes of another form; expected pairs in both, images in one alone, a data set as "
        f"it is published ({sets}), or images with boxes in the form of {', '.join(FORMS)}"
    )
