"""Whether images have colour, and what that says of two cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage

_MIN_COLOURED = 0.01
"""Share of pixels whose channels differ by more than JPEG makes them differ, of an image with colour."""
_JPEG_COLOUR = 12
_STRIDE = 4


def swapped(thermal: AnyImage, rgb: AnyImage) -> str:
    """A warning where the thermal image has colour and the RGB image has none, else ''."""
    if not has_colour(thermal) or has_colour(rgb):
        return ""
    return (
        "the RGB images are grey and the thermal images have colour: are the inputs swapped? If thermal is "
        "in false colour and the other camera sees no colour, nothing is wrong"
    )


def has_colour(image: AnyImage) -> bool:
    """Whether an image has more of it than a JPEG gives to a grey one."""
    if image.ndim != 3:
        return False
    few = image[::_STRIDE, ::_STRIDE].astype(np.int32)
    return bool(np.mean(np.ptp(few, axis=2) > _JPEG_COLOUR) > _MIN_COLOURED)
