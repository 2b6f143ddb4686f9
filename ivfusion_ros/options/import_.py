"""Options of `ivfusion import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.sources import add_folders_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("network", help="name of the network, for example mda")
    parser.add_argument("file", type=Path, help="the authors' checkpoint")
    parser.add_argument("output", type=Path, help="checkpoint to write, for `export` or `train --init`")
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        default=[],
        metavar="DIR",
        help="folders of pairs such as the network will see: what it makes of them is stretched from black "
        "to white, all images alike (default: what it makes of road scenes)",
    )
    add_folders_option(parser)
