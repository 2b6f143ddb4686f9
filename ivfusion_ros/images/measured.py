"""What a thermal camera measured: values that can be moved to other pixels, and back to what is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.images.encodings import to_grey

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import AnyImage, Floats32


def to_values(image: AnyImage, kelvin: Callable[[AnyImage], Floats32] | None) -> Floats32:
    """(H, W) kelvin, or counts where kelvin is None or the image is false colour, of which it is luminance.

    kelvin: of counts.
    """
    if kelvin is not None and image.ndim == 2:
        return kelvin(image)
    return np.asarray(to_grey(image), np.float32)


def from_values(values: Floats32, image: AnyImage, *, kelvin: bool) -> AnyImage:
    """What to_values gave of an image, as it is sent: kelvin as it is, counts in the image's type.

    NaN becomes the least of a type of whole numbers.
    """
    if image.dtype == np.float32 or (kelvin and image.ndim == 2):
        return values
    limits = np.iinfo(image.dtype.name)
    rounded = np.rint(np.where(np.isnan(values), np.float32(limits.min), values))
    counts: npt.NDArray[Any] = rounded.astype(image.dtype)
    return counts
