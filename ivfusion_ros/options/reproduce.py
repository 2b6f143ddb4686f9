"""Options of `ivfusion reproduce`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import output_folder
from ivfusion_ros.options.pipeline import add_network_options

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paper", help="name of a file in config/reproduce: refinefuse")
    parser.add_argument("--table", type=int, required=True, metavar="N", help="number of the table")
    for name, help_text in (
        ("data", "folders of pairs, for example msrs=DIR; what is missing is named with what it holds"),
        ("fused", "folders of images that a row's method fused elsewhere, named like the pairs"),
        ("weights", "checkpoints instead of a training here, by setting, for example refinefuse_paper"),
    ):
        value = "NAME=FILE" if name == "weights" else "NAME=DIR"
        parser.add_argument(f"--{name}", nargs="+", default=[], metavar=value, help=help_text)
    parser.add_argument(
        "--out",
        type=output_folder,
        default=Path("runs/reproduce"),
        metavar="DIR",
        help="folder for the table and what is trained for it, shared by all tables (default: %(default)s)",
    )
    parser.add_argument("--quick", action="store_true", help="at toy size: see that it runs, in minutes")
    add_network_options(parser, "fusion")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="processes that compute metrics (default: all cores)"
    )
