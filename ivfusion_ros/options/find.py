"""Options of `ivfusion find`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import add_json_option, output_folder

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "expression", help="such as 'person > 37 C and night'; docs/fleet.md has all that can be asked"
    )
    parser.set_defaults(stray="; the expression is one word: write it in quotes")
    parser.add_argument("dest", metavar="DEST", help="--out of `ivfusion fleet --detections`")
    parser.add_argument(
        "--gap",
        type=float,
        default=1.0,
        metavar="S",
        help="moments up to so many seconds apart are one find (default: %(default)g)",
    )
    parser.add_argument(
        "--clips",
        type=output_folder,
        metavar="DIR",
        help="also write these seconds of the recordings as bags",
    )
    parser.add_argument(
        "--around",
        type=float,
        default=1.0,
        metavar="S",
        help="seconds before and after that are in a clip too (default: %(default)g)",
    )
    parser.add_argument("--force", action="store_true", help="replace clips that are there already")
    add_json_option(parser)
