"""Options of `ivfusion detect`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import add_json_option
from ivfusion_ros.options.pipeline import add_pipeline_options

if TYPE_CHECKING:
    import argparse

SECTIONS = ("images", "thermal", "detection")
"""Of the configuration; thermal is for images of 16 bits."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", type=Path, help="image, folder of images, or film; fused, RGB or thermal")
    parser.add_argument("output", type=Path, help="folder for pictures with boxes and detections.json")
    parser.add_argument("--force", action="store_true", help="replace existing outputs")
    add_json_option(parser)
    add_pipeline_options(parser, SECTIONS)
