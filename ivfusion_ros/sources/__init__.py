"""Whatever sends frames without ROS: bags, films, folders, data sets as published."""

from ivfusion_ros.sources.choice import EXPECTED, KINDS, open_source
from ivfusion_ros.sources.layouts import LAYOUTS, Layout, find_pairs
from ivfusion_ros.sources.scenes import Scene, find_scenes
from ivfusion_ros.sources.source import Source, SourceOptions
from ivfusion_ros.sources.stream import CameraStream
from ivfusion_ros.sources.two_cameras import STREAMS, open_stream

__all__ = [
    "EXPECTED",
    "KINDS",
    "LAYOUTS",
    "STREAMS",
    "CameraStream",
    "Layout",
    "Scene",
    "Source",
    "SourceOptions",
    "find_pairs",
    "find_scenes",
    "open_source",
    "open_stream",
]
