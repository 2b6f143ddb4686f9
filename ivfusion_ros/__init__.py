"""Thermal + RGB fusion and detection for robots: one pipeline for ROS topics, bags and folders.

`fuse`, `open`, `Pipeline` and `Result` are for Python users; see docs/python.md.
"""

from ivfusion_ros.faces import later

__version__ = "0.1.0"

__getattr__, _later = later(__name__, {"api": ("Pipeline", "Recording", "Result", "fuse", "open")})

__all__ = ["__version__", *_later]


def __dir__() -> list[str]:
    """For completion: the names that are imported when they are asked for, too."""
    return [*globals(), *_later]
