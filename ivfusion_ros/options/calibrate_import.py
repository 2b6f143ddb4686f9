"""Options of `ivfusion calibrate --import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.cameras import CAMERAS
from ivfusion_ros.geometry.choices import TOOLS

if TYPE_CHECKING:
    import argparse

UNITS_M = {"m": 1.0, "cm": 0.01, "mm": 0.001}


def add_import_options(group: argparse._ArgumentGroup) -> None:
    """Declare the options."""
    group.add_argument(
        "--import",
        dest="imported",
        nargs="+",
        type=Path,
        metavar="FILE",
        help=f"instead of images: {', '.join(TOOLS.values())}; both cameras' files where each has one",
    )
    for camera in CAMERAS:
        group.add_argument(
            f"--{camera}-camera",
            metavar="NAME",
            help=f"which of the file's cameras is the {camera} one, such as cam0 (default: by topics and "
            "names)",
        )
    for camera in CAMERAS:
        group.add_argument(
            f"--{camera}-size", metavar="WxH", help=f"size of the {camera} images, where the file says none"
        )
    group.add_argument(
        "--unit", choices=tuple(UNITS_M), default="m", help="of the file's lengths (default: %(default)s)"
    )
