"""Objects cut out of another camera's images, pasted into training samples.

A data set of one place knows near people and cars of its own only. Cut-outs of others are put where they
hide no object, their edges feathered; as many patches without any object are moved about in the same way,
so that the edges of a patch tell a detector nothing (Dwibedi et al., Cut, Paste and Learn, ICCV 2017).
Some stand beside an object of their class as in a group, since boxes that come from maps of labels frame
people who touch as one.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from ultralytics.utils.instance import Instances

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.images.files import decode_pixels
from ivfusion_ros.training.detector.haze import with_haze
from ivfusion_ros.training.detector.kinds import HAZE
from ivfusion_ros.training.detector.thermal_channel import is_rgb_alone, stacked
from ivfusion_ros.training.fusion.provenance import files_identity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.training.detector.config import PasteConfig
    from ivfusion_ros.types import Boxes, Floats32, Image

_SHARP = 0.3
"""Share of the patches with a hard edge."""

_FEATHER = 0.15
"""Widest feathered edge, as a share of a patch's shorter side."""

_MAX_HIDDEN = 0.3
"""Largest share of an object that a patch may hide."""

_MAX_HIDDEN_BESIDE = 0.5
"""The same of the object beside which a patch is put."""

_SMALLEST_NEIGHBOUR = 12
"""Height of an object from which another is put beside it, pixels."""

_TRIES = 5
"""Places that are tried for a patch."""


@dataclass(frozen=True)
class CutOut:
    """One object as both cameras saw it, in encoded images."""

    thermal: bytes
    rgb: bytes
    class_id: int

    def view(self, kind: str, channels: int = 3) -> Image:
        """(H, W, channels) BGR as a kind of images shows it, with the thermal channel where there are 4.

        In smoke, whose density `random` draws, what the RGB camera saw is faint.
        """
        colours = self._colours(kind)
        if channels == colours.shape[2]:
            return colours
        return stacked(colours, None if is_rgb_alone(kind) else _decoded(self.thermal)[..., 0])

    def _colours(self, kind: str) -> Image:
        """A fused image has the mean of both brightnesses."""
        thermal = _decoded(self.thermal)
        if kind == "thermal":
            return thermal
        rgb = _decoded(self.rgb)
        if kind.endswith(HAZE):
            rgb = with_haze(rgb, np.random.default_rng(random.getrandbits(64)))
        if is_rgb_alone(kind):
            return rgb
        thermal = _resized(thermal, rgb.shape[1], rgb.shape[0])
        fused = cv2.cvtColor(rgb, cv2.COLOR_BGR2YCrCb)
        fused[..., 0] = cv2.addWeighted(fused[..., 0], 0.5, thermal[..., 0], 0.5, 0)
        return np.asarray(cv2.cvtColor(fused, cv2.COLOR_YCrCb2BGR), np.uint8)


def check_cut_outs(folder: Path) -> None:
    """Raise DataError where a folder has no file of cut-outs, whatever the classes."""
    if not any(folder.glob("*.zip")):
        raise DataError(f"{folder} has no cut-outs; expected CLASS.zip, such as person.zip, in a folder")


def read_cut_outs(folder: Path, names: Sequence[str]) -> list[CutOut]:
    """All of FOLDER/CLASS.zip, which hold thermal/NAME and rgb/NAME, for the classes of a data set.

    Raises DataError where there is none, or a file is damaged.
    """
    found = []
    for class_id, name in enumerate(names):
        file = folder / f"{name}.zip"
        if file.exists():
            found += _read_zip(file, class_id)
    if not found:
        expected = ", ".join(f"{name}.zip" for name in names)
        raise DataError(f"{folder} has no cut-outs; expected thermal/ and rgb/ images in {expected}")
    return found


def cut_outs_identity(config: PasteConfig) -> dict[str, Any]:
    """What a run's cut-outs are told by, wherever they lie; empty where none are pasted."""
    if not config.objects:
        return {}
    return files_identity(Path(config.objects), Path(config.objects).glob("*.zip"))


def _read_zip(file: Path, class_id: int) -> list[CutOut]:
    try:
        with ZipFile(file) as archive:
            names = set(archive.namelist())
            stems = sorted(name[len("rgb/") :] for name in names if name.startswith("rgb/"))
            return [
                CutOut(archive.read(f"thermal/{stem}"), archive.read(f"rgb/{stem}"), class_id)
                for stem in stems
                if stem and f"thermal/{stem}" in names
            ]
    except (BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise DataError(f"{file} cannot be read as a zip file of cut-outs: {error}") from error


class Paste:
    """Puts cut-outs, and patches without objects, into samples of ultralytics after their crop."""

    def __init__(self, config: PasteConfig, cut_outs: Sequence[CutOut]) -> None:
        self._config = config
        self._by_class: dict[int, list[CutOut]] = {}
        for cut_out in cut_outs:
            self._by_class.setdefault(cut_out.class_id, []).append(cut_out)

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Change the image of a sample, and add the boxes of what was pasted."""
        if random.random() >= self._config.share:
            return labels
        kind = Path(labels["im_file"]).parent.name
        instances: Instances = labels["instances"]
        instances.convert_bbox("xyxy")
        image, taken, classes = labels["img"], instances.bboxes, labels["cls"].ravel()
        for _ in range(random.randint(1, self._config.most)):
            _move_patch(image, taken)
            neighbour = self._neighbour(taken, classes)
            class_id = random.choice(list(self._by_class)) if neighbour is None else int(classes[neighbour])
            view = random.choice(self._by_class[class_id]).view(kind, image.shape[2])
            if neighbour is None:
                box = _put(image, self._sized(view, image), taken)
            else:
                box = _put_beside(image, view, taken, neighbour)
            if box is not None:
                taken = np.concatenate([taken, box])
                classes = np.append(classes, np.float32(class_id))
        return _with_objects(labels, taken, classes)

    def _neighbour(self, boxes: Boxes, classes: Floats32) -> int | None:
        """Which object of a sample the next one is put beside, or None where it is to stand alone."""
        if random.random() >= self._config.beside:
            return None
        large = boxes[:, 3] - boxes[:, 1] >= _SMALLEST_NEIGHBOUR
        possible = np.flatnonzero(large & np.isin(classes, list(self._by_class)))
        return int(random.choice(possible)) if len(possible) else None

    def _sized(self, patch: Image, image: Image) -> Image:
        """At a random scale, mirrored or not, no larger than the sample."""
        return _scaled(
            patch, random.uniform(self._config.smallest_scale, self._config.largest_scale), image
        )


def _decoded(data: bytes) -> Image:
    try:
        return np.asarray(decode_pixels(data, "a cut-out", cv2.IMREAD_COLOR), np.uint8)
    except ImageError as error:
        raise DataError(str(error)) from error


def _resized(image: Image, width: int, height: int) -> Image:
    way = cv2.INTER_AREA if width < image.shape[1] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (width, height), interpolation=way), np.uint8)


def _scaled(patch: Image, scale: float, image: Image) -> Image:
    """Mirrored or not, no larger than the sample."""
    height, width = patch.shape[:2]
    scale = min(scale, (image.shape[0] - 2) / height, (image.shape[1] - 2) / width)
    patch = _resized(patch, max(4, round(width * scale)), max(4, round(height * scale)))
    return patch[:, ::-1] if random.random() < 0.5 else patch


def _put(image: Image, patch: Image, taken: Boxes) -> Boxes | None:
    """Blend a patch in where it hides no object; its box (1, 4), or None where there is no room."""
    height, width = patch.shape[:2]
    for _ in range(_TRIES):
        x, y = random.randint(0, image.shape[1] - width), random.randint(0, image.shape[0] - height)
        box = np.array([[x, y, x + width, y + height]], np.float32)
        if _hidden(taken, box[0]).max(initial=0) <= _MAX_HIDDEN:
            return _blended(image, patch, box)
    return None


def _put_beside(image: Image, view: Image, taken: Boxes, neighbour: int) -> Boxes | None:
    """Blend a cut-out in at the size and on the ground of an object, next to it or partly before it.

    Its box (1, 4), or None where too little of an object would be left.
    """
    x0, y0, x1, y1 = taken[neighbour]
    most = np.full(len(taken), _MAX_HIDDEN)
    most[neighbour] = _MAX_HIDDEN_BESIDE
    for _ in range(_TRIES):
        patch = _scaled(view, (y1 - y0) * random.uniform(0.8, 1.2) / view.shape[0], image)
        height, width = patch.shape[:2]
        away = random.choice((-1, 1)) * random.uniform(0.25, 0.6) * (x1 - x0 + width)
        x = round((x0 + x1 - width) / 2 + away)
        y = round(y1 - height + random.uniform(-0.05, 0.05) * height)
        box = np.array([[x, y, x + width, y + height]], np.float32)
        inside = x >= 0 and y >= 0 and x + width <= image.shape[1] and y + height <= image.shape[0]
        if inside and (_hidden(taken, box[0]) <= most).all():
            return _blended(image, patch, box)
    return None


def _blended(image: Image, patch: Image, box: Boxes) -> Boxes:
    height, width = patch.shape[:2]
    x, y = box[0, :2].astype(int)
    alpha = _alpha(height, width)
    place = image[y : y + height, x : x + width]
    place[:] = (patch * alpha + place * (1 - alpha) + 0.5).astype(np.uint8)
    return box


def _move_patch(image: Image, taken: Boxes) -> None:
    """Put a piece of the sample that shows no object at another place of it."""
    height, width = (random.randint(side // 16, side // 3) for side in image.shape[:2])
    x, y = random.randint(0, image.shape[1] - width), random.randint(0, image.shape[0] - height)
    if _hidden(taken, np.array([x, y, x + width, y + height], np.float32)).max(initial=0) == 0:
        _put(image, image[y : y + height, x : x + width].copy(), taken)


def _hidden(boxes: Boxes, by: Floats32) -> Floats32:
    """(N,) shares of boxes that another covers."""
    sides = np.minimum(boxes[:, 2:], by[2:]) - np.maximum(boxes[:, :2], by[:2])
    areas = np.maximum((boxes[:, 2:] - boxes[:, :2]).prod(1), 1e-6)
    shares: Floats32 = np.clip(sides, 0, None).prod(1) / areas
    return shares


def _alpha(height: int, width: int) -> Floats32:
    """(height, width, 1) weights of a patch: 1, falling at the edges unless they are sharp."""
    if random.random() < _SHARP:
        return np.ones((height, width, 1), np.float32)
    edge = max(1.0, min(height, width) * random.uniform(0.02, _FEATHER))
    ramps = [np.minimum(np.arange(n) + 0.5, n - 0.5 - np.arange(n)) / edge for n in (height, width)]
    weights: Floats32 = np.minimum(1, np.outer(*(np.minimum(1, ramp) for ramp in ramps)))
    return weights.astype(np.float32)[..., None]


def _with_objects(labels: dict[str, Any], boxes: Boxes, classes: Floats32) -> dict[str, Any]:
    old: Instances = labels["instances"]
    segments = np.zeros((len(boxes) - len(old), *old.segments.shape[1:]), np.float32)
    new = Instances(boxes[len(old) :], segments, bbox_format="xyxy", normalized=False)
    labels["instances"] = Instances.concatenate([old, new])
    labels["cls"] = classes[:, None].astype(labels["cls"].dtype)
    return labels
