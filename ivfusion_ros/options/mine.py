"""Options of `ivfusion mine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.fleet.mine_settings import MineSettings
from ivfusion_ros.options.outputs import output_folder

if TYPE_CHECKING:
    import argparse

_DEFAULTS = MineSettings()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("dest", metavar="DEST", help="--out of `ivfusion fleet --detections`")
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DATASET",
        help="folder of the data set: thermal/, rgb/, boxes/, provenance/; recordings in it are kept",
    )
    parser.add_argument(
        "--every",
        type=float,
        default=_DEFAULTS.every_s,
        metavar="S",
        help="at most one moment in so many seconds (default: %(default)g)",
    )
    parser.add_argument(
        "--most",
        type=int,
        default=_DEFAULTS.most,
        metavar="N",
        help="moments of a recording, those with most to learn (default: %(default)s)",
    )
    parser.add_argument(
        "--sure",
        type=float,
        default=_DEFAULTS.sure,
        metavar="SCORE",
        help="score from which on a detection is sure (default: %(default)g)",
    )
