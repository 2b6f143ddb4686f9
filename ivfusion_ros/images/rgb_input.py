"""What the driver of an RGB camera sends -> colour of 8 bits, as networks see it."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.images.encodings import to_rgb

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import ImagesConfig
    from ivfusion_ros.types import Frame

log = logging.getLogger(__name__)

_USUAL_BITS = (10, 12, 14)
"""Of sensors whose pixels are sent in 16."""


class RgbInput:
    """Scales colour of 16 bits by images.colour_bits, and says once where that leaves an image dark."""

    def __init__(self, config: ImagesConfig) -> None:
        self._config = config
        self._said = False

    def set_config(self, config: ImagesConfig) -> None:
        """Take over other parameters from the next image on."""
        self._config = config

    def __call__(self, frame: Frame) -> Frame:
        """With (H, W, 3) or grey of 8 bits; the frame itself where it has that. Raises ImageError."""
        if frame.image.dtype == np.uint8:
            return frame
        bits = self._config.colour_bits
        self._check(int(frame.image[::8, ::8].max()), bits)
        return replace(frame, image=to_rgb(frame.image, bits))

    def _check(self, brightest: int, bits: int) -> None:
        fewer = next((usual for usual in _USUAL_BITS if 0 < brightest < 1 << usual), bits)
        if not self._said and fewer < bits:
            self._said = True
            log.warning(
                "RGB images of 16 bits are dark: no pixel is above %d; if the camera has %d bits, "
                "set images.colour_bits=%d",
                brightest, fewer, fewer,
            )  # fmt: skip
