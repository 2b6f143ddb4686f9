"""Training of the matcher, which finds the places that both cameras show."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "config": ("MatcherConfig", "SplitConfig"),
        "trainer": ("LAST", "NETWORK", "MatcherTrainer"),
        "views": ("random_motion", "to_unit"),
    },
)
