"""Whatever sends frames without ROS: where public data sets keep their pairs."""

from ivfusion_ros.sources.layouts import LAYOUTS, Layout, find_pairs, matching

__all__ = ["LAYOUTS", "Layout", "find_pairs", "matching"]
