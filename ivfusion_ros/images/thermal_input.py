"""What the driver of a thermal camera sends -> counts of the scene that it sees."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ImageError
from ivfusion_ros.geometry.camera_info import read_out

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import ThermalConfig
    from ivfusion_ros.types import AnyImage, CameraInfo, Frame, Mask, Size

log = logging.getLogger(__name__)

MORE_THAN_A_SCENE: dict[Size, str] = {
    (80, 63): "[0, 0, 80, 60], of a Lepton with three rows of telemetry",
    (160, 122): "[0, 0, 160, 120], of a Lepton with two rows of telemetry",
    (320, 258): "[0, 0, 320, 256], of a Boson with two rows of telemetry",
    (640, 514): "[0, 0, 640, 512], of a Boson with two rows of telemetry",
    (256, 384): "[0, 0, 256, 192] for the picture above, or [0, 192, 256, 192] for the counts below (with "
    "thermal.encoding=mono16), of a TC001 or P2 Pro",
}
"""Sizes that no sensor has, with the crop that they ask for."""

_PLAINLY = 8.0
"""The right byte order has so many times smoother images than the other one."""
_ROWS = 64
"""That are looked at for it."""

ZERO_CELSIUS_K = 273.15
FULL_SCALE = 65535.0
"""Counts of a 1 in images from 0 to 1."""

_SAID = {
    "kelvin": "kelvin",
    "celsius": "degrees Celsius",
    "normalised": "shares of the full range",
    "counts": "counts",
}


class ThermalInput:
    """Crops, orders bytes and makes counts of temperatures, by the parameters of thermal; for one camera.

    Images of whole numbers that need none of that pass as they are. Those of floats become float32 counts,
    each thermal.kelvin_per_count, not rounded; what was guessed is said once.
    """

    def __init__(self, config: ThermalConfig) -> None:
        self._config = config
        self._said: set[str] = set()
        self._info: tuple[CameraInfo, CameraInfo] | None = None
        self.reset()

    def reset(self) -> None:
        """Guess again, at the next image."""
        self._unit = ""
        self._ordered = False

    def set_config(self, config: ThermalConfig) -> None:
        """Take over other parameters from the next image on."""
        if (config.float_unit, config.byte_order) != (self._config.float_unit, self._config.byte_order):
            self.reset()
        self._config = config

    @property
    def tells_kelvin(self) -> bool:
        """Whether the images so far were temperatures, whatever thermal.scaling says."""
        return self._unit in ("kelvin", "celsius")

    def size(self, size: Size | None) -> Size | None:
        """(width, height) of what is used of images of that size."""
        crop = self._config.crop
        return (crop[2], crop[3]) if crop and size is not None else size

    def __call__(self, frame: Frame) -> Frame:
        """The frame of the scene; the frame itself where nothing is to do. Raises ImageError."""
        image = self.counts(frame.image)
        if image is frame.image:
            return frame
        return replace(frame, image=image, camera_info=self._camera_info(frame))

    def counts(self, image: AnyImage) -> AnyImage:
        """See __call__; of an image alone."""
        image = self._cropped(image)
        if image.ndim == 2 and image.dtype in (np.uint16, np.int16):
            return self._in_order(image)
        return self._of_floats(image.view(np.float32)) if image.dtype == np.float32 else image

    def _cropped(self, image: AnyImage) -> AnyImage:
        crop = self._config.crop
        height, width = image.shape[:2]
        if not crop:
            hint = MORE_THAN_A_SCENE.get((width, height))
            if hint is not None:
                self._say(
                    "crop",
                    f"thermal images are {width}x{height}: rows that show no scene are left out by "
                    f"thermal.crop={hint}",
                )
            return image
        left, top, across, down = crop
        if left + across > width or top + down > height:
            raise ImageError(
                f"thermal image is {width}x{height}, too small for thermal.crop, {across}x{down} at "
                f"({left}, {top}); set it to [x, y, width, height] within the image"
            )
        return image if (across, down) == (width, height) else image[top : top + down, left : left + across]

    def _camera_info(self, frame: Frame) -> CameraInfo | None:
        """Of the cropped image, where the driver tells that of the whole one."""
        info = frame.camera_info
        if info is None or not self._config.crop or (info.width, info.height) != frame.size:
            return info
        if self._info is None or self._info[0] is not info:
            left, top, width, height = self._config.crop
            self._info = info, read_out(info, (left, top, width, height), (0, 0))
        return self._info[1]

    def _in_order(self, counts: npt.NDArray[Any]) -> AnyImage:
        swapped = self._config.byte_order == "swapped"
        counts = counts.byteswap() if swapped else counts
        if not self._ordered and counts.min() != counts.max():
            self._ordered = True
            as_is, other = _roughness(counts), _roughness(counts.byteswap())
            # Eight bits at the upper end of 16 look alike in either order.
            if as_is > _PLAINLY * other and (counts & 0xFF).any():
                self._say(
                    "bytes",
                    "the bytes of thermal counts are in the wrong order: neighbouring pixels differ by "
                    f"{as_is:.0f} counts, in the other order by {other:.0f}; set "
                    f"thermal.byte_order={'as_sent' if swapped else 'swapped'}",
                )
        return counts

    def _of_floats(self, values: npt.NDArray[np.float32]) -> AnyImage:
        values = _filled(values, np.abs(values) < _BEYOND_COUNTS)
        unit = self._config.float_unit
        self._unit = unit if unit != "auto" else self._unit or self._guess(values)
        config = self._config
        if self._unit in ("kelvin", "counts"):
            # Nothing is at absolute zero but dead pixels and borders.
            values = _filled(values, values != 0)
        if self._unit == "counts":
            return values
        if self._unit == "normalised":
            return values * np.float32(FULL_SCALE)
        zero_k = config.kelvin_offset - (ZERO_CELSIUS_K if self._unit == "celsius" else 0.0)
        return (values - np.float32(zero_k)) * np.float32(1 / config.kelvin_per_count)

    def _guess(self, values: npt.NDArray[np.float32]) -> str:
        """By the middle of the first image: rooms and landscapes are near 290 K, counts far above."""
        low, middle, high = np.percentile(values[::4, ::4], (2, 50, 98))
        if low >= 0 and high <= 1 and values.max() <= 1:
            unit = "normalised"
        elif -100 <= middle < 150:
            unit = "celsius"
        else:
            unit = "kelvin" if 150 <= middle <= 700 else "counts"
        self._say(
            unit,
            f"thermal images are floats, most from {low:.4g} to {high:.4g}: taken for {_SAID[unit]} "
            "(thermal.float_unit says otherwise)",
        )
        return unit

    def _say(self, kind: str, text: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            log.warning("%s", text)


_BEYOND_COUNTS = np.float32(1e9)
"""Floats of this size are damage: no camera counts so far, and their differences overflow."""


def _roughness(counts: npt.NDArray[Any]) -> float:
    """Mean difference of neighbours in a row, in counts, from a sample of rows."""
    rows = counts[:: max(1, len(counts) // _ROWS)].astype(np.int32)
    return float(np.abs(np.diff(rows, axis=1)).mean()) if rows.shape[1] > 1 else 0.0


def _filled(values: npt.NDArray[np.float32], known: Mask) -> npt.NDArray[np.float32]:
    """What is not known, as the coldest of what is, +inf as the hottest. Raises ImageError without any."""
    if known.all():
        return values
    if not known.any():
        raise ImageError(
            "thermal image has no pixel but zeros, NaN, infinities and numbers from 1e9 on, expected "
            "temperatures"
        )
    filled = np.where(known, values, values[known].min())
    filled[np.isposinf(values)] = values[known].max()
    return filled
