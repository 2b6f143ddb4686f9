"""All metrics by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from ivfusion_ros.metrics.eye import invented_edges, noise_gain
from ivfusion_ros.metrics.fidelity import qabf, visual_information_fidelity
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
