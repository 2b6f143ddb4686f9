"""What an eye sees and the papers' figures do not: noise, invented shapes, lost people, pumping.

All of these are this project's own; none has a source in the literature. Images are grey, (H, W), uint8 or
float, 0..255; boxes are (N, 4) float, left, top, right, bottom in pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.metrics.grey import FloatImage, GreyImage, as_float, as_floats

if TYPE_CHECKING:
    from ivfusion_ros.types import Boxes, Floats, Mask

MAX_FLAT_NOISE = 1.2
"""Grey levels: a source that varies by less is flat, and what varies in it is noise."""
_HIGH_PASS, _WINDOW = 7, 15

_EDGE_SIGMA_PX = 5.0
MIN_INVENTED, MAX_SOURCE = 1.0, 0.3
"""Grey levels per pixel: the gradient of an edge in the fused image, and that of no edge in a source."""

CORE, RING = 0.5, (1.2, 1.8)
"""Sides of the core and of the ring's inner and outer border, as shares of a box's sides."""

FAR_PX = 32
"""Further than this from a hot object the rest of the picture should not notice it."""


def noise_gain(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """Noise of the fused image over that of the noisier source, where both sources are flat; 1: as noisy.

    Noise is the standard deviation in 15x15 windows of what a 7x7 mean does not explain. Flat is where that
    of both sources is below MAX_FLAT_NOISE. NaN where nothing is flat, or where what is flat has no noise
    in any image. Raises ImageError.
    """
    noise_a, noise_b, noise_f = (_noise(image) for image in as_floats(source_a, source_b, fused, _WINDOW))
    noisier = np.maximum(noise_a, noise_b)
    flat = noisier < MAX_FLAT_NOISE
    if not flat.any():
        return math.nan
    before, after = float(noisier[flat].mean()), float(noise_f[flat].mean())
    if before == 0:
        return math.nan if after == 0 else math.inf
    return after / before


def _noise(image: FloatImage) -> FloatImage:
    rest = image - _mean(image, _HIGH_PASS)
    variance = _mean(rest * rest, _WINDOW) - _mean(rest, _WINDOW) ** 2
    return np.sqrt(np.maximum(variance, 0))


def _mean(image: FloatImage, side: int) -> FloatImage:
    return np.asarray(cv2.blur(image, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float64)


def invented_edges(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
    """Share of the pixels, in [0, 1], with a broad edge in the fused image where neither source has one.

    An edge is a gradient above MIN_INVENTED after a Gaussian of 5 pixels, none one below MAX_SOURCE: blobs
    in a featureless sky are found, texture and noise are not. Raises ImageError.
    """
    slope_a, slope_b, slope_f = (_slope(image) for image in as_floats(source_a, source_b, fused, 2))
    invented = (slope_f > MIN_INVENTED) & (slope_a < MAX_SOURCE) & (slope_b < MAX_SOURCE)
    return float(invented.mean())


def _slope(image: FloatImage) -> FloatImage:
    smooth = cv2.GaussianBlur(image, (0, 0), _EDGE_SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
    rows, columns = np.gradient(np.asarray(smooth, np.float64))
    return np.asarray(np.hypot(rows, columns), np.float64)


def contrasts(image: GreyImage, boxes: Boxes) -> Floats:
    """(N,) grey levels: |mean inside the core of each box - mean of the ring around it|.

    The core has half of the box's sides, the ring lies between 1.2 and 1.8 times of them, cut at the
    image's border and without what is in another box. NaN where no pixel is left of one of the two. Raises
    ImageError.
    """
    grey = as_float(image)
    objects = np.zeros(grey.shape, bool)
    for box in boxes:
        objects[_scaled(box, 1.0, grey.shape)] = True
    return np.array([_contrast(grey, box, objects) for box in boxes], np.float64)


def _contrast(grey: FloatImage, box: Floats, objects: Mask) -> float:
    core = grey[_scaled(box, CORE, grey.shape)]
    around = np.zeros(grey.shape, bool)
    around[_scaled(box, RING[1], grey.shape)] = True
    around[_scaled(box, RING[0], grey.shape)] = False
    around &= ~objects
    if core.size == 0 or not around.any():
        return math.nan
    return abs(float(core.mean()) - float(grey[around].mean()))


def _scaled(box: Floats, factor: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """The pixels of a box scaled about its centre, at least one, cut at the border of the image."""
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * factor
    low = np.floor(centre - half + 0.5).astype(int)
    high = np.maximum(np.floor(centre + half + 0.5).astype(int), low + 1)
    (left, top), (right, bottom) = np.maximum(low, 0), np.maximum(high, 0)
    return slice(top, min(bottom, shape[0])), slice(left, min(right, shape[1]))


def target_contrast(source_a: GreyImage, source_b: GreyImage, fused: GreyImage, boxes: Boxes) -> Floats:
    """(N,) contrast of each object in the fused image over that in the better source; 1: nothing is lost.

    NaN for an object that has no contrast in any source, or none that can be measured. Raises ImageError.
    """
    images = as_floats(source_a, source_b, fused)
    in_a, in_b, in_fused = (contrasts(image, boxes) for image in images)
    better = np.maximum(in_a, in_b)
    ratios = np.full(len(boxes), math.nan)
    np.divide(in_fused, better, out=ratios, where=better > 0)
    return ratios


def outside_change(rgb: GreyImage, fused: GreyImage, seen: Mask) -> float:
    """Mean absolute change of the RGB image's luminance where the thermal camera sees nothing, grey levels.

    seen: (H, W) bool, where it does. NaN where it sees all. Raises ImageError.
    """
    before, after, _ = as_floats(rgb, fused, fused)
    _check_mask(seen, before)
    outside = ~seen
    return float(np.abs(after - before)[outside].mean()) if outside.any() else math.nan


def pumping(fused: GreyImage, with_object: GreyImage, hot: Mask) -> float:
    """Mean absolute change of the picture further than FAR_PX from a hot object that comes in, grey levels.

    hot: (H, W) bool, where the object is; all else of both sources is the same for both fused images. NaN
    where all is near it. Raises ImageError.
    """
    before, after, _ = as_floats(fused, with_object, with_object)
    _check_mask(hot, before)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * FAR_PX + 1, 2 * FAR_PX + 1))
    far = cv2.dilate(hot.astype(np.uint8), kernel) == 0
    return float(np.abs(after - before)[far].mean()) if far.any() else math.nan


def _check_mask(mask: Mask, image: FloatImage) -> None:
    if mask.shape != image.shape or mask.dtype != np.bool_:
        raise ImageError(f"mask is {mask.dtype} {mask.shape}, expected bool {image.shape}")
