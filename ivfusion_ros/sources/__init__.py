"""Whatever sends frames without ROS: bags, films, folders, data sets as published."""

from ivfusion_ros.sources.bag import BagSource
from ivfusion_ros.sources.choice import EXPECTED, KINDS, open_source
from ivfusion_ros.sources.layouts import LAYOUTS, Layout, find_pairs
from ivfusion_ros.sources.live import LivePairs, parse_options
from ivfusion_ros.sources.pairs import images_in, pairs_in_time, pairs_of_equal_names
from ivfusion_ros.sources.scenes import Scene, find_scenes
from ivfusion_ros.sources.source import OnSkip, Source, SourceOptions
from ivfusion_ros.sources.stream import CameraStream
from ivfusion_ros.sources.two_cameras import STREAMS, open_stream

__all__ = [
    "EXPECTED",
    "KINDS",
    "LAYOUTS",
    "STREAMS",
    "BagSource",
    "CameraStream",
    "Layout",
    "LivePairs",
    "OnSkip",
    "Scene",
    "Source",
    "SourceOptions",
    "find_pairs",
    "find_scenes",
    "images_in",
    "open_source",
    "open_stream",
    "pairs_in_time",
    "pairs_of_equal_names",
    "parse_options",
]
