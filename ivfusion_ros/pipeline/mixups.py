"""What people mix up, where what comes out looks almost right: said once, in one line, with what to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, FramePair, Size

log = logging.getLogger(__name__)

_MAX_STRETCH = 1.02
_MIN_COLOURED = 0.01
"""Share of pixels whose channels differ by more than JPEG makes them differ, of an image with colour."""
_JPEG_COLOUR = 12
_STRIDE = 4


class MixUps:
    """Looks at the first pair, and at each that has other sizes; every warning comes once."""

    def __init__(self, *, calibrated: bool) -> None:
        """calibrated: whether a calibration says where the cameras' pixels belong."""
        self._calibrated = calibrated
        self._sizes: tuple[Size, Size] | None = None
        self._said: set[str] = set()

    def __call__(self, pair: FramePair) -> None:
        """Warn of a pair in the log of this module."""
        sizes = (pair.thermal.size, pair.rgb.size)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        if not self._calibrated:
            self._warn("aspect", _stretched(*sizes))
        self._warn("swapped", _swapped(pair.thermal.image, pair.rgb.image))

    def _warn(self, kind: str, text: str) -> None:
        if text and kind not in self._said:
            self._said.add(kind)
            log.warning("%s", text)


def _stretched(thermal: Size, rgb: Size) -> str:
    """A warning where one image is stretched onto the other, '' where both have one aspect ratio."""
    stretch = (rgb[0] / rgb[1]) / (thermal[0] / thermal[1])
    if 1 / _MAX_STRETCH <= stretch <= _MAX_STRETCH:
        return ""
    return (
        f"thermal images are {thermal[0]}x{thermal[1]} and RGB images {rgb[0]}x{rgb[1]}: the aspect ratios "
        f"differ, and without a calibration the one is stretched onto the other (thermal by {stretch:.2f} "
        "across); calibrate (`ivfusion calibrate`, registration.calibration) or crop to one aspect ratio"
    )


def _swapped(thermal: AnyImage, rgb: AnyImage) -> str:
    """A warning where the thermal image has colour and the RGB image has none, else ''."""
    if not _has_colour(thermal) or _has_colour(rgb):
        return ""
    return (
        "the RGB images are grey and the thermal images have colour: are the inputs swapped? If thermal is "
        "in false colour and the other camera sees no colour, nothing is wrong"
    )


def _has_colour(image: AnyImage) -> bool:
    if image.ndim != 3:
        return False
    few = image[::_STRIDE, ::_STRIDE].astype(np.int32)
    return bool(np.mean(np.ptp(few, axis=2) > _JPEG_COLOUR) > _MIN_COLOURED)
