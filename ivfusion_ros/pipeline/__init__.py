"""From a pair of frames to a fused image with detections: the stages and what joins them."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "bag_topics": ("copy_originals", "read_fixes"),
        "build": (
            "Networks",
            "build_detector",
            "build_locator",
            "build_pipeline",
            "detection_model_name",
            "fusion_model_name",
            "load_networks",
            "model_files",
            "model_names",
        ),
        "bumps": ("Bumps",),
        "fuser": ("Fuser",),
        "overlap": ("Overlap", "THREAD_NAME"),
        "pipeline": ("Fused", "Pipeline", "Rest"),
        "recording": ("RecordingReplay", "reading"),
        "replay": ("Replay", "summary"),
        "skips": ("Skips", "countable", "reason_of", "trace_of"),
    },
)
