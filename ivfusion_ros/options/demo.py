"""Options of `ivfusion demo`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import output_folder
from ivfusion_ros.options.pipeline import add_pipeline_options

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--out",
        type=output_folder,
        default=Path("demo"),
        metavar="DIR",
        help="folder to write; an earlier demo there is replaced (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="length of the scene (default: %(default)g)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="random seed of the scene (default: %(default)s)"
    )
    add_pipeline_options(parser)
