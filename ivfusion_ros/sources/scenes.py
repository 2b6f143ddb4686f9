"""Scenes for a detector on disk: pairs or images of one camera, with whatever says what is in them."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import no_folder
from ivfusion_ros.files import natural_order
from ivfusion_ros.images.coco_json import read_coco
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.sources.layouts import LAYOUTS, OWN, Fields, Layout, fields_of, files_at, matching
from ivfusion_ros.sources.one_camera import FORMS, ONE_CAMERA
from ivfusion_ros.sources.published import held_out_lists
from ivfusion_ros.sources.set_names import names_of_set
from ivfusion_ros.sources.unknown import nothing_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.types import CameraName

log = logging.getLogger(__name__)

_NO_BOXES = {"classes", "readme"}
"""Names of text files that lie among those of boxes, without their suffix."""
_NO_COCO_BOXES = "captions_"
"""What COCO's own files of sentences begin with, which lie beside those of boxes."""
_LOOKED_AT = 8
_GREY = 0.5
"""Mean difference between channels, in levels, up to which an image is grey."""


@dataclass(frozen=True)
class Scene:
    """One scene: an image of one camera or of both, and what says what is in it.

    labels: a map of class ids. boxes: a file of objects in any form of images.labels; a text file need not
    exist where the scene is empty. names: what numbers in it mean; () for COCO's. held_out: the part of the
    set as published that it is in, where that is not to train on, such as test; else ''.
    """

    stem: str
    thermal: Path | None
    rgb: Path | None
    labels: Path | None = None
    boxes: Path | None = None
    names: tuple[str, ...] = ()
    held_out: str = ""

    @property
    def image(self) -> Path:
        """The RGB image where there is one, else the thermal one."""
        return self.images[0]

    @property
    def images(self) -> list[Path]:
        """Of both cameras, the RGB camera's first."""
        return [path for path in (self.rgb, self.thermal) if path is not None]


@dataclass(frozen=True)
class _Found:
    """What lies at the places of some layouts.

    scenes: by their fields. left_out: images by the reason. unused: files of objects, and a COCO file's
    names, that no image is for.
    """

    scenes: dict[Fields, Scene]
    left_out: Counter[str]
    unused: set[tuple[Path, str]]


def find_scenes(folder: Path, camera: CameraName | None = None) -> list[Scene]:
    """All scenes of a folder in natural order; what is left out of it is logged.

    It has thermal/ and rgb/ (or visible/) with equal stems, or one of them, with labels/ (maps of MSRS's
    class ids), boxes/ (.txt in YOLO's form) or a COCO file beside them; or it is a data set as published
    (see LAYOUTS and ONE_CAMERA), or one of FORMS. A folder that is not there may be a {part} of the one
    above, such as LLVIP/train. camera: that took the images of FORMS; None: thermal where they are grey.
    Raises DataError where there are none.
    """
    if not folder.is_dir():
        return _part(folder)
    for name, layouts in [*LAYOUTS.items(), *ONE_CAMERA.items()]:
        found = _find(folder, layouts)
        if found.scenes:
            return _told(folder, name, found, _with_stems(found.scenes))
    for name, places in FORMS.items():
        for place in places:
            found = _find(folder, (Layout(place.images, "", boxes=place.boxes),))
            if any(scene.boxes is not None and scene.boxes.exists() for scene in found.scenes.values()):
                scenes = _of_camera(_with_stems(found.scenes), camera)
                return _told(folder, f"{name}'s form", found, scenes)
    raise nothing_in(folder)


def _part(folder: Path) -> list[Scene]:
    """The scenes of a part of a set that has no folder of its own."""
    for name, layouts in [*LAYOUTS.items(), *ONE_CAMERA.items()]:
        found = _find(folder.parent, layouts)
        scenes = {
            fields: s for fields, s in found.scenes.items() if dict(fields).get("part") == folder.name
        }
        if scenes:
            _told(folder.parent, name, found, list(found.scenes.values()))
            log.info("%s: %d of them", folder, len(scenes))
            return [replace(scene, held_out="") for scene in _with_stems(scenes)]
    raise no_folder(folder)


def _find(folder: Path, layouts: Sequence[Layout]) -> _Found:
    """All that some layouts have; of several for the same images, the first that says what is in them."""
    found = _Found({}, Counter(), set())
    unused: dict[str, set[tuple[Path, str]]] = {}
    places: dict[tuple[str, str], list[Layout]] = {}
    for layout in layouts:
        places.setdefault((layout.thermal, layout.rgb), []).append(layout)
    for same in places.values():
        options = [(layout, here) for layout in same if (here := _scenes(folder, layout)).scenes]
        if not options:
            continue
        layout, here = next((option for option in options if _is_explained(option[1])), options[0])
        found.left_out.update(here.left_out)
        unused[layout.boxes] = unused.get(layout.boxes, here.unused) & here.unused
        for fields, scene in here.scenes.items():
            found.scenes.setdefault(fields, scene)
    found.unused.update(*unused.values())
    images = [path for scene in found.scenes.values() for path in scene.images]
    lists = held_out_lists(folder, images) if images else {}
    for fields, scene in found.scenes.items() if lists else ():
        part = next((lists[path.stem] for path in scene.images if path.stem in lists), scene.held_out)
        found.scenes[fields] = replace(scene, held_out=part)
    return found


def _is_explained(found: _Found) -> bool:
    return any(scene.boxes is not None or scene.labels is not None for scene in found.scenes.values())


def _scenes(folder: Path, layout: Layout) -> _Found:
    """Scenes at a layout's places; those without a partner or without a word on them are counted."""
    found = _Found({}, Counter(), set())
    thermal = matching(folder, layout.thermal, found.left_out) if layout.thermal else {}
    rgb = matching(folder, layout.rgb, found.left_out) if layout.rgb else {}
    paired = bool(layout.thermal and layout.rgb)
    if not (thermal.keys() & rgb.keys() if paired else thermal or rgb):
        return found
    labels = matching(folder, layout.labels) if layout.labels else {}
    truth = _Truth(folder, layout)
    for fields in thermal | rgb:
        scene = Scene(
            dict(fields)["stem"],
            thermal.get(fields),
            rgb.get(fields),
            labels.get(fields),
            names=truth.names,
        )
        boxes = truth.of(scene, fields)
        if paired and not (fields in thermal and fields in rgb):
            found.left_out[f"without {'an RGB' if fields in thermal else 'a thermal'} image"] += 1
        elif boxes is None and truth.coco and scene.labels is None:
            found.left_out["not in the COCO files"] += 1
        elif boxes is not None and boxes.suffix == ".xml" and not boxes.is_file():
            found.left_out[f"without a file in {boxes.parent.name}/"] += 1
        else:
            found.scenes[fields] = replace(scene, boxes=boxes, held_out=layout.held_out_part(fields))
    found.unused.update(truth.unused([*thermal.values(), *rgb.values()]))
    return found


class _Truth:
    """The files of objects of a layout."""

    def __init__(self, folder: Path, layout: Layout) -> None:
        self._folder, self._place = folder, layout.boxes
        own = layout.boxes == OWN.boxes
        single = bool(layout.boxes) and not layout.boxes.endswith(".json")
        self._files = files_at(folder, layout.boxes) if single else {}
        self._asked: set[Fields] = set()
        self.names = names_of_set(folder)
        self._explained = own or not layout.boxes.endswith(".txt") or bool(self.names)
        self.coco = _coco_files(folder, layout)

    def of(self, scene: Scene, fields: Fields) -> Path | None:
        """That of a scene; None where only its map of class ids tells, or nothing."""
        if self._place and not self._place.endswith(".json"):
            own = fields_of(self._place, fields)
            self._asked.add(own)
            path = self._files.get(own)
            # A number that nothing explains says less than a map of class ids.
            if path is not None and (self._explained or scene.labels is None):
                return path
            path = self._folder / self._place.format_map(dict(fields))
            if scene.labels is None and path.parent.is_dir():
                return path
        return next((file for file in self.coco if any(map(read_coco(file).has, scene.images))), None)

    def unused(self, images: Sequence[Path]) -> set[tuple[Path, str]]:
        """Files, and names in COCO files, that are of none of the images."""
        single = {(path, "") for own, path in self._files.items() if own not in self._asked}
        return {item for item in single if item[0].stem.lower() not in _NO_BOXES} | {
            (file, name) for file in self.coco for name in read_coco(file).without(images)
        }


def _coco_files(folder: Path, layout: Layout) -> list[Path]:
    """COCO files at a layout's place; of thermal/ and rgb/ those beside or in annotations/."""
    if layout.boxes.endswith(".json"):
        places: tuple[str, ...] = (layout.boxes.replace("{part}", "*"),)
    elif layout.boxes != OWN.boxes or (folder / "boxes").is_dir():
        return []
    else:
        places = ("*.json", "annotations/*.json")
    files = [path for place in places for path in sorted(folder.glob(place))]
    return [path for path in files if not path.name.startswith(_NO_COCO_BOXES)]


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


def _told(folder: Path, name: str, found: _Found, scenes: list[Scene]) -> list[Scene]:
    """Say what there is, and what of the images and of what says what is in them is left out."""
    notes = [f"{count} {reason}" for reason, count in found.left_out.items()]
    said = f"; images left out: {', '.join(notes)}" if notes else ""
    files, entries = (sum(bool(entry) == kind for _, entry in found.unused) for kind in (False, True))
    for count, what in ((files, "files of boxes"), (entries, "images in COCO files")):
        said += f"; {what} without an image: {count}" if count else ""
    log.log(
        logging.WARNING if said else logging.INFO, "%s (%s): %d scenes%s", folder, name, len(scenes), said
    )
    empty = sum(_is_background(scene) for scene in scenes)
    if empty:
        log.info("%s: %d scenes have no text file of boxes, so nothing is in them", folder, empty)
    return scenes


def _is_background(scene: Scene) -> bool:
    return scene.boxes is not None and scene.boxes.suffix == ".txt" and not scene.boxes.exists()
