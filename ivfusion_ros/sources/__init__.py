"""Whatever sends frames without ROS: bags, films, folders, data sets as published."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "bag": ("BagSource",),
        "choice": ("KINDS", "open_source"),
        "expected": ("EXPECTED",),
        "layouts": ("LAYOUTS", "Layout", "find_pairs"),
        "live": ("LivePairs", "parse_options"),
        "pairs": ("images_in", "pairs_in_time", "pairs_of_equal_names"),
        "published": ("pairs_to_judge_by", "pairs_to_learn_from"),
        "scenes": ("Scene", "find_scenes"),
        "source": ("OnSkip", "Source", "SourceOptions"),
        "stream": ("CameraStream",),
        "two_cameras": ("STREAMS", "open_stream"),
    },
)
