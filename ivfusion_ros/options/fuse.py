"""Options of `ivfusion fuse`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import add_html_option, add_json_option
from ivfusion_ros.options.pipeline import add_pipeline_options
from ivfusion_ros.options.sources import add_source_options
from ivfusion_ros.sources.expected import EXPECTED

if TYPE_CHECKING:
    import argparse

SECTIONS = ("images", "pairing", "thermal", "registration", "faults", "fusion")
"""Of the configuration: each pair is fused on its own, and nothing is detected."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        nargs="+",
        type=Path,
        help="an image without colour (thermal, MRI, ...) and one that gives the result size and colour "
        "(RGB, PET, ...; grey ones such as CT too); or two folders of images of the same names; or "
        f"{EXPECTED}, whose fused images are named by stamps",
    )
    parser.add_argument("output", type=Path, help="image to write, or folder for PNG images")
    add_source_options(parser)
    parser.add_argument("--force", action="store_true", help="replace existing outputs")
    add_html_option(parser)
    add_json_option(parser)
    add_pipeline_options(parser, SECTIONS)
