"""What people mix up, where what comes out looks almost right: said once, in one line, with what to do."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.images.colour import swapped
from ivfusion_ros.registration.alike import PAIRS, Likeness

if TYPE_CHECKING:
    from ivfusion_ros.types import Frame, FramePair, Image, Size

log = logging.getLogger(__name__)

_MAX_STRETCH = 1.02
_APART_NS = 1_000_000_000


class MixUps:
    """Looks at the first pair, each that has other sizes, and some as registered; warnings come once."""

    def __init__(self, *, calibrated: bool) -> None:
        """calibrated: whether a calibration says where the cameras' pixels belong."""
        self._calibrated = calibrated
        self._sizes: tuple[Size, Size] | None = None
        self._said: set[str] = set()
        self._likeness: Likeness | None = Likeness()
        self._looked_ns = 0

    def __call__(self, pair: FramePair) -> None:
        """Warn of a pair in the log of this module."""
        sizes = (pair.thermal.size, pair.rgb.size)
        if sizes == self._sizes:
            return
        self._sizes = sizes
        for camera, frame in pair.frames.items():
            self._warn(f"info of {camera}", _of_other_size(camera, frame))
        if not self._calibrated:
            self._warn("aspect", _stretched(*sizes))
        self._warn("swapped", swapped(pair.thermal.image, pair.rgb.image))

    def look(self, thermal: Image, rgb: Image, stamp_ns: int) -> None:
        """Warn once where several pairs, as they are registered, do not look alike.

        One in a second is looked at, or each where pairs have no times.
        """
        soon = stamp_ns != 0 and 0 <= stamp_ns - self._looked_ns < _APART_NS
        if self._likeness is None or soon:
            return
        self._looked_ns = stamp_ns
        self._likeness.add(thermal, rgb)
        if self._likeness.complete:
            if self._likeness.differs():
                self._warn("scenes", _different(self._calibrated))
            self._likeness = None

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


def _of_other_size(camera: str, frame: Frame) -> str:
    """A warning where a camera_info is not of the images that it comes with."""
    info = frame.camera_info
    if info is None or not info.width or not info.height or (info.width, info.height) == frame.size:
        return ""
    return (
        f"the {camera} camera_info is of {info.width}x{info.height} pixels, and its images are "
        f"{frame.size[0]}x{frame.size[1]}: K and P do not hold for them; publish the camera_info of the "
        "images that are sent, or resize both"
    )


def _different(calibrated: bool) -> str:
    remedy = (
        "the calibration may be of other cameras"
        if calibrated
        else "the cameras may not be aligned: `ivfusion calibrate`, registration.calibration"
    )
    return (
        f"thermal and RGB images do not look alike in {PAIRS} pairs: are they of one scene and one time? "
        f"If they are, {remedy}"
    )
