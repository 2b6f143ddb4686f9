"""The thermal image as the fourth channel of samples, as the pipeline gives it to a detector of two images.

A data set keeps it beside the others, images/PART/thermal/STEM.png. Beside RGB alone it is black, as it is
in the pipeline while the thermal camera is silent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.encodings import to_grey
from ivfusion_ros.images.files import read_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ivfusion_ros.types import Image


def is_rgb_alone(kind: str) -> bool:
    """Whether a kind of images shows nothing of the thermal camera: rgb, in smoke or not."""
    return kind.partition("+")[0] == "rgb"


def check_thermal(files: Sequence[str]) -> None:
    """Raises DataError where a scene's thermal image is missing. files: images of a data set."""
    missing = [file for file in files if (place := _place(file)) is not None and not place.is_file()]
    if missing:
        raise DataError(
            f"{len(missing)} images have no thermal image beside them, the first is {missing[0]}, expected "
            f"{_place(missing[0])}; make the data set with `ivfusion dataset --images thermal NAME`"
        )


def with_thermal(image: Image, file: str) -> Image:
    """(H, W, 4): an (H, W, 3) image of a data set, and what its thermal camera saw. Raises DataError."""
    place = _place(file)
    if place is None:
        return stacked(image, None)
    plane = to_grey(read_image(place))
    if plane.dtype != np.uint8:
        raise DataError(f"{place} is {plane.dtype}, expected 8 bits, as `ivfusion dataset` writes them")
    return stacked(image, plane.view(np.uint8))


def stacked(image: Image, plane: Image | None) -> Image:
    """(H, W, 4): an (H, W, 3) image, and a plane of any size, black where there is none."""
    height, width = image.shape[:2]
    if plane is None:
        plane = np.zeros((height, width), np.uint8)
    elif plane.shape != (height, width):
        plane = np.asarray(cv2.resize(plane, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.dstack((image, plane))


class OfColours:
    """Steps that change colours, for samples of three channels or four: the fourth stays as it is.

    Of four channels ultralytics takes the first three as they come for red, green and blue, so here they
    are put in that order.
    """

    def __init__(self, *steps: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._steps = steps

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Change the image of a sample of ultralytics."""
        image = labels["img"]
        labels["img"] = np.ascontiguousarray(image[..., :3])
        for step in self._steps:
            labels = step(labels)
        if image.shape[2] > 3:
            labels["img"] = np.dstack((labels["img"][..., ::-1], image[..., 3]))
        return labels


def _place(file: str) -> Path | None:
    """Where the thermal image of an image of a data set lies, None beside RGB alone."""
    path = Path(file)
    return None if is_rgb_alone(path.parent.name) else path.parents[1] / "thermal" / path.name
