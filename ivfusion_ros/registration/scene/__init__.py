"""Aligning two cameras by what their images show of ordinary scenes."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "align": (
            "Alignment",
            "ImagePair",
            "Matches",
            "align_from",
            "align_many",
            "far_apart",
            "match_places",
            "surest",
        ),
        "dense": ("Residual", "dense_residual"),
        "two_views": ("Sightings", "TwoViews", "fit_two_views", "nearest_rotation"),
    },
)
