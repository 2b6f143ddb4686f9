"""What is measured on one image: small samples of it, noise, structure, clipping."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from ivfusion_ros.types import AnyImage, Floats32

if TYPE_CHECKING:
    from ivfusion_ros.types import Frame


_SAMPLES = 160
_CELLS = (40, 30)
_SAMPLES_PER_CELL_AXIS = 4
_SHADING_CELLS = 5.0
_SIGMA_OF_MEDIAN = 1.05
"""Standard deviation of normal noise over the median difference of two pixels."""
_MIN_NOISE = {
    np.dtype(np.uint8): 0.5,
    np.dtype(np.uint16): 1.0,
    np.dtype(np.int16): 1.0,
    np.dtype(np.float32): 1.0,
}
"""Rounding alone, in counts."""
_CLIPPED = 250


@dataclass(frozen=True, eq=False)
class Look:
    """A glance at one image; colour images are judged by their green channel.

    samples: every k-th pixel in each direction, about 160 x 120, in the image's dtype.
    cells: (30, 40) float32 means of the samples.
    noise: standard deviation of single pixels, counts (of a textured image: that of fine texture).
    structure: standard deviation of the cells without slow shading, counts.
    mean: counts. clipped: share of samples at the upper end of 8 bits, 0 for 16 bits.
    """

    samples: AnyImage
    cells: Floats32
    noise: float
    structure: float
    mean: float
    clipped: float

    @property
    def contrast(self) -> float:
        """Structure in units of noise."""
        return self.structure / self.noise


def look(frame: Frame) -> Look:
    """Measure an image of any size in a fraction of a millisecond."""
    image = frame.image if frame.image.ndim == 2 else frame.image[:, :, 1]
    step = max(1, image.shape[1] // _SAMPLES)
    samples = cast("AnyImage", np.ascontiguousarray(image[::step, ::step]))
    # Neighbours in the image itself: samples far apart differ by texture as well.
    beside = cast("AnyImage", np.ascontiguousarray(image[::step, min(1, image.shape[1] - 1) :: step]))
    width = min(samples.shape[1], beside.shape[1])
    differences = cv2.absdiff(samples[::2, :width], beside[::2, :width]).ravel()
    middle = float(np.partition(differences, differences.size // 2)[differences.size // 2])
    cells = np.asarray(cv2.resize(samples, _CELLS, interpolation=cv2.INTER_AREA), np.float32)
    shading = cv2.GaussianBlur(cells, (0, 0), _SHADING_CELLS)
    eight_bit = samples.dtype == np.uint8
    return Look(
        samples=samples,
        cells=cells,
        noise=max(_SIGMA_OF_MEDIAN * middle, _MIN_NOISE[samples.dtype]),
        structure=float(cv2.meanStdDev(cv2.subtract(cells, shading))[1][0, 0]),
        mean=float(cells.mean()),
        clipped=float(np.count_nonzero(samples >= _CLIPPED)) / samples.size if eight_bit else 0.0,
    )


def moved_share(now: Look, before: Look) -> float:
    """Share of an image, 0 to 1, in which something has changed beyond noise and common brightness."""
    if now.samples.shape != before.samples.shape or now.samples.dtype != before.samples.dtype:
        return 1.0
    change = now.cells - before.cells
    change -= np.median(change)
    noise_of_cells = now.noise / _SAMPLES_PER_CELL_AXIS
    least = max(6.0 * noise_of_cells, 0.15 * now.structure)
    return float(np.mean(np.abs(change) > least))
