"""From what a network makes of a reduced pair to the full fused image: a fast guided filter, guided twice.

Around a pixel the change from visible to fused is nearly a linear function of what both cameras see there.
That function is fitted on the reduced pair, smoothed, enlarged, and applied to each pixel of the full pair:
what only the full images show is strengthened or weakened as is the detail around it, and edges stay where
the full images have them, without a halo. (He, Sun and Tang, Guided image filtering, TPAMI 2013; He and
Sun, Fast guided filter, 2015; both have one guide.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.registration.luminance import luminance

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image

_WINDOW = 5
"""Side of the square in which the function is fitted, and over which it is smoothed, reduced pixels."""
_REACH = 2 * (_WINDOW // 2) + 1
"""Rows beyond a row that its enlarged function hangs on."""
_NOISE = np.float32(0.1)
"""Variance, squared grey levels, that is nothing to follow."""
_PIXELS = 2**18
"""Of the full image that are done at a time, about: what is computed of them stays in the cache."""


def reduced(image: Image, factor: int) -> Image:
    """(H, W) or (H, W, 3) uint8 -> its means over squares of factor x factor pixels.

    Sides that are no multiple are continued by their last pixels.
    """
    height, width = image.shape[:2]
    bottom, right = -height % factor, -width % factor
    if bottom or right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REPLICATE), np.uint8)
    size = (width + right) // factor, (height + bottom) // factor
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def guided(fused: Image, small: tuple[Image, Image], full: tuple[Image, Image], factor: int) -> Image:
    """(h, w, 3) uint8 fused of the small thermal and RGB image -> (H, W, 3) uint8 of the full ones.

    small: of the full ones by `reduced`. Each channel moves by what the luminance moves.
    """
    thermal, rgb = full
    result = np.empty_like(rgb)
    step = max(1, _PIXELS // (thermal.shape[1] * factor))
    for top in range(0, len(fused), step):
        # Whole rows of the small images; the last ones may reach beyond the full ones.
        rows = slice(top * factor, min((top + step) * factor, len(thermal)))
        gains = _gains((*small, fused), top, top + step, factor)
        change = _change(gains, thermal[rows], luminance(rgb[rows]))
        # Of 8 bits each, what is added and what is taken away are much faster than a signed change.
        cv2.add(rgb[rows], _in_each_channel(change), result[rows])
        cv2.subtract(result[rows], _in_each_channel(-change), result[rows])
    return result


def _gains(images: tuple[Image, Image, Image], top: int, bottom: int, factor: int) -> Floats32:
    """For some rows of small thermal, RGB and fused: _fitted, enlarged bilinearly as if with all rows."""
    bottom = min(bottom, len(images[0]))
    start = max(0, top - _REACH)
    fitted = _fitted(*(image[start : bottom + _REACH] for image in images))
    above = min(top, 1)
    fitted = fitted[top - above - start : bottom + 1 - start]
    size = fitted.shape[1] * factor, len(fitted) * factor
    large = cv2.resize(fitted, size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large[above * factor :][: (bottom - top) * factor], np.float32)


def _fitted(thermal: Image, rgb: Image, fused: Image) -> Floats32:
    """(h, w, 3) float32: of thermal, of visible, and a constant, whose sum is the change from visible."""
    grey = thermal, luminance(rgb), luminance(fused)
    heat, light, out = (image.astype(np.float32) for image in grey)
    mean_heat, mean_light, mean_out = (_mean(image) for image in grey)
    change, mean_change = out - light, mean_out - mean_light
    heats = _mean(heat * heat) - mean_heat * mean_heat + _NOISE
    lights = _mean(light * light) - mean_light * mean_light + _NOISE
    both = _mean(heat * light) - mean_heat * mean_light
    with_heat = _mean(heat * change) - mean_heat * mean_change
    with_light = _mean(light * change) - mean_light * mean_change
    scale = 1 / (heats * lights - both * both)
    of_heat = (with_heat * lights - with_light * both) * scale
    of_light = (with_light * heats - with_heat * both) * scale
    constant = mean_change - of_heat * mean_heat - of_light * mean_light
    return _mean(np.asarray(cv2.merge([of_heat, of_light, constant]), np.float32))


def _mean(values: Floats32 | Image) -> Floats32:
    window = (_WINDOW, _WINDOW)
    return np.asarray(
        cv2.boxFilter(values, cv2.CV_32F, window, borderType=cv2.BORDER_REPLICATE), np.float32
    )


def _change(gains: Floats32, thermal: Image, light: Image) -> Floats32:
    """(H, W), of gains that may reach further down and right."""
    height, width = thermal.shape
    gains = gains[:height, :width]
    change = gains[..., 0] * thermal
    change += gains[..., 1] * light
    change += gains[..., 2]
    return np.asarray(change, np.float32)


def _in_each_channel(values: Floats32) -> Image:
    """(H, W) -> (H, W, 3) uint8, rounded, 0 for what is below."""
    rounded = cv2.addWeighted(values, 1, values, 0, 0, dtype=cv2.CV_8U)
    return np.asarray(cv2.cvtColor(rounded, cv2.COLOR_GRAY2RGB), np.uint8)
