"""Options of `ivfusion live`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.cameras import CAMERAS
from ivfusion_ros.options.outputs import add_json_option
from ivfusion_ros.options.pipeline import add_pipeline_options
from ivfusion_ros.options.viewers import add_viewer_options, add_web_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}",
            required=True,
            metavar="SRC",
            help=f"{camera} camera: /dev/video0, an address (rtsp://, http://, tcp://, udp:// ...), or a "
            "film that stands in for one",
        )
        parser.add_argument(
            f"--{camera}-option",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help="FFmpeg's option for it, such as input_format=gray16le (Y16) or video_size=640x512",
        )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="BAG",
        help="bag to write: NAME.mcap, or a rosbag2 folder",
    )
    parser.add_argument("--originals", action="store_true", help="also write the cameras' images")
    parser.add_argument("--compressed", action="store_true", help="write images as JPEG, grey as PNG")
    parser.add_argument(
        "--registered",
        action="store_true",
        help="also write thermal/image_registered: counts or kelvin in the reference camera's pixels",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--duration", type=float, metavar="S", help="seconds after the first pair (default: until Ctrl-C)"
    )
    parser.add_argument(
        "--wait",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds in which the first pair must come (default: %(default)s)",
    )
    add_web_option(parser)
    add_viewer_options(parser)
    add_json_option(parser)
    add_pipeline_options(parser)
