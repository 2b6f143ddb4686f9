"""How fast networks, backends and whole pipelines are, and how fast they could be."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "benchmark": (
            "PipelineRun",
            "Times",
            "alternate",
            "detection_overhead",
            "detector_networks",
            "fusion_candidates",
            "fusion_fusers",
            "fusion_networks",
            "layers",
            "stage_candidates",
        ),
        "clocks": ("read_clocks",),
        "cost": ("Cost", "measure_cost"),
        "guard": ("TIMES", "YARDSTICK", "compare", "yardstick"),
        "plot": ("write_plot",),
        "profile": ("by_kind",),
        "roofline": ("Peak", "measure_peak"),
        "scheduling": ("read_scheduling",),
    },
)
