"""Options of `ivfusion fleet`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import add_json_option
from ivfusion_ros.options.pipeline import add_pipeline_options

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source",
        nargs="+",
        help="recordings: folders, patterns, lists (.txt, .csv, .parquet), on disk or by URL (s3://...)",
    )
    parser.add_argument("--out", required=True, metavar="DEST", help="folder or URL of the results")
    parser.add_argument(
        "--address",
        metavar="RAY",
        help="cluster, such as auto or ray://head:10001 (default: this machine)",
    )
    parser.add_argument(
        "--threads", type=int, default=1, metavar="N", help="CPUs of each replica (default: %(default)s)"
    )
    parser.add_argument(
        "--replicas", type=int, default=0, metavar="N", help="replicas (default: as many as fit)"
    )
    parser.add_argument(
        "--disk-limit",
        type=float,
        metavar="GB",
        help="most that copies of recordings behind URLs take in each machine's temporary folder "
        "(default: half of what is free there)",
    )
    for camera in ("thermal", "rgb"):
        parser.add_argument(f"--{camera}-topic", metavar="TOPIC", help="default: found in each recording")
    parser.add_argument("--compressed", action="store_true", help="write fused images as JPEG")
    parser.add_argument(
        "--detections",
        action="store_true",
        help="also write a table of each recording's moments, for `ivfusion find`, `mine` and `report`",
    )
    parser.add_argument(
        "--piece-minutes",
        type=float,
        default=0.0,
        metavar="M",
        help="cut longer recordings on this machine into pieces for several replicas (default: do not)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be fused, and end")
    add_json_option(parser)
    add_pipeline_options(parser)
