"""Options of `ivfusion replay`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.options.outputs import add_html_option, add_json_option, output_file
from ivfusion_ros.options.pipeline import add_pipeline_options
from ivfusion_ros.options.sources import add_source_options
from ivfusion_ros.options.viewers import add_viewer_options, add_web_option
from ivfusion_ros.sources.expected import EXPECTED

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", nargs="+", type=Path, help=EXPECTED)
    parser.add_argument("output", type=Path, help="bag to write: NAME.mcap, or a rosbag2 folder")
    add_source_options(parser)
    parser.add_argument(
        "--depth-topic",
        metavar="TOPIC",
        help="depth images in the view of the reference camera; sets registration.depth",
    )
    parser.add_argument("--compressed", action="store_true", help="write fused images as JPEG")
    parser.add_argument("--originals", action="store_true", help="also copy the input's topics")
    parser.add_argument(
        "--registered",
        action="store_true",
        help="also write thermal/image_registered: counts or kelvin in the reference camera's pixels",
    )
    parser.add_argument("--force", action="store_true", help="replace an existing output")
    parser.add_argument(
        "--video",
        type=output_file(".mp4"),
        metavar="FILE",
        help="also write a film (MP4): thermal, RGB, and fused with boxes",
    )
    parser.add_argument(
        "--sheet",
        type=output_file(*SUFFIXES),
        metavar="FILE",
        help="also write a contact sheet (PNG or JPEG) of the same",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="say what would be read and written, and end"
    )
    add_html_option(parser)
    add_web_option(parser)
    add_viewer_options(parser)
    add_json_option(parser)
    add_pipeline_options(parser)
