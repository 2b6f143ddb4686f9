"""Image fusion quality: one pure function per metric, as the published tables compute them.

Images are grey, (H, W), uint8 or float, 0..255: two registered sources (thermal and visible, CT and
MRI, ...) and their fusion. A source without any variation has nothing to pass on, and adds 0 to CC,
SCD, MI and VIF.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ivfusion_ros.metrics.eye import contrasts, invented_edges, noise_gain, target_contrast
from ivfusion_ros.metrics.fidelity import qabf, visual_information_fidelity
from ivfusion_ros.metrics.flicker import FLICKER, Moment
from ivfusion_ros.metrics.grey import GreyImage, as_floats
from ivfusion_ros.metrics.similarity import (
    correlation_coefficient,
    mean_squared_error,
    mutual_information,
    peak_signal_noise_ratio,
    ssim,
    sum_of_correlations_of_differences,
)
from ivfusion_ros.metrics.statistics import average_gradient, entropy, spatial_frequency, standard_deviation

__all__ = [
    "EYE_METRICS",
    "FLICKER",
    "METRICS",
    "GreyImage",
    "Moment",
    "as_floats",
    "average_gradient",
    "contrasts",
    "correlation_coefficient",
    "entropy",
    "evaluate",
    "invented_edges",
    "mean_squared_error",
    "mutual_information",
    "noise_gain",
    "peak_signal_noise_ratio",
    "qabf",
    "spatial_frequency",
    "ssim",
    "standard_deviation",
    "sum_of_correlations_of_differences",
    "target_contrast",
    "visual_information_fidelity",
]

Metric = Callable[[GreyImage, GreyImage, GreyImage], float]


def _of_fused(metric: Callable[[GreyImage], float]) -> Metric:
    """Give a metric of the fused image alone the signature of the others."""

    def measure(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> float:
        return metric(as_floats(source_a, source_b, fused)[2])

    return measure


METRICS: dict[str, Metric] = {
    "EN": _of_fused(entropy),
    "SD": _of_fused(standard_deviation),
    "SF": _of_fused(spatial_frequency),
    "AG": _of_fused(average_gradient),
    "MI": mutual_information,
    "CC": correlation_coefficient,
    "MSE": mean_squared_error,
    "PSNR": peak_signal_noise_ratio,
    "SCD": sum_of_correlations_of_differences,
    "VIF": visual_information_fidelity,
    "Qabf": qabf,
    "SSIM": ssim,
    "SSIM_255": partial(ssim, data_range=255.0),
}

"""Those of the papers, by the name that they have there."""

EYE_METRICS: dict[str, Metric] = {"noise_gain": noise_gain, "invented_edges": invented_edges}
"""Our own, of what an eye sees; lower is better; NaN where an image has nothing that they look at."""


def evaluate(source_a: GreyImage, source_b: GreyImage, fused: GreyImage) -> dict[str, float]:
    """All of METRICS for one fused image; ImageError below 41 x 41 pixels or where shapes differ."""
    return {name: metric(source_a, source_b, fused) for name, metric in METRICS.items()}
