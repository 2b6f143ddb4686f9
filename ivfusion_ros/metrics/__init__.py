"""Image fusion quality: one pure function per metric, as the published tables compute them.

Images are grey, (H, W), uint8 or float, 0..255: two registered sources (thermal and visible, CT and
MRI, ...) and their fusion. A source without any variation has nothing to pass on, and adds 0 to CC,
SCD, MI and VIF.
"""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "eye": ("contrasts", "invented_edges", "noise_gain", "target_contrast"),
        "fidelity": ("qabf", "visual_information_fidelity"),
        "flicker": ("FLICKER", "Moment"),
        "grey": ("GreyImage", "as_floats"),
        "names": ("EYE_NAMES", "PAPER_NAMES"),
        "similarity": (
            "correlation_coefficient",
            "mean_squared_error",
            "mutual_information",
            "peak_signal_noise_ratio",
            "ssim",
            "sum_of_correlations_of_differences",
        ),
        "statistics": ("average_gradient", "entropy", "spatial_frequency", "standard_deviation"),
        "table": ("EYE_METRICS", "METRICS", "evaluate"),
    },
)
