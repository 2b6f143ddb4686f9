"""The small correction that is learned while a pipeline runs."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "leap": ("Matching",),
        "refine": ("OnlineRefinement",),
    },
)
