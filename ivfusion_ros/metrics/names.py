"""What the metrics are called, known without the libraries that compute them."""

from __future__ import annotations

PAPER_NAMES = (
    "EN",
    "SD",
    "SF",
    "AG",
    "MI",
    "CC",
    "MSE",
    "PSNR",
    "SCD",
    "VIF",
    "Qabf",
    "SSIM",
    "SSIM_255",
)
"""Of METRICS."""

EYE_NAMES = ("noise_gain", "invented_edges")
"""Of EYE_METRICS."""
