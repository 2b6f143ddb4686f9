"""Results to look at: pages that open from disk, the live page, and what other viewers take."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "anything": ("any_page",),
        "bars": ("Bars", "plain_bars", "spread_bars", "stacked_bars"),
        "calibration": ("calibration_page",),
        "chart": ("Chart", "Line", "chart_of"),
        "foxglove_server": ("FoxgloveServer",),
        "live_server": ("LiveServer", "parse_address"),
        "objects": ("objects_page",),
        "page": ("Page", "check_renderer", "figure_texts", "render", "write_page"),
        "quality": ("quality_page",),
        "recorded": ("recorded_page",),
        "replay": ("ReplayReport", "start_page"),
        "rerun_file": ("RerunFile",),
        "shot": ("Shot", "shot_of"),
        "speed": ("speed_page",),
        "table": ("table_of",),
        "window": ("Window",),
    },
)
