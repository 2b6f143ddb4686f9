"""Calibrating a thermal and an RGB camera: with a board that both see, or from ordinary scenes."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "boards": ("parse_board",),
        "choices": ("KINDS", "SHIPPED_MATCHER", "SPECIFICATION", "SceneModel"),
        "matcher": ("INPUTS", "OUTPUTS", "Matcher", "PairMatching", "load_matcher", "matched_start"),
        "outcome": ("Outcome", "calibrate_by_board", "calibrate_by_scenes"),
        "output": ("write_outputs",),
        "pairs": ("PairSource", "open_pairs"),
        "targetless": ("Fields",),
    },
)
