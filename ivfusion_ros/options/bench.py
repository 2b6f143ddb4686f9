"""Options of `ivfusion bench`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.backends.table import backend_names
from ivfusion_ros.options.outputs import add_html_option, add_json_option, output_file
from ivfusion_ros.options.pipeline import add_threads_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model",
        nargs="+",
        default=["refinefuse", "refinefuse_lite"],
        help="fusion models: names in models.yaml or ONNX files (default: refinefuse refinefuse_lite)",
    )
    parser.add_argument(
        "--backend",
        nargs="+",
        choices=backend_names("fusion"),
        help="backends to compare (default: all that run here)",
    )
    parser.add_argument(
        "--detector",
        metavar="MODEL",
        help="detection model in the pipelines; the steps around it are timed too",
    )
    parser.add_argument(
        "--size", default="640x480", metavar="WxH", help="image size (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=10, metavar="N", help="runs of each network (default: %(default)s)"
    )
    add_threads_option(parser)
    parser.add_argument(
        "--roofline",
        action="store_true",
        help="also measure the machine's peak and each network's share of it",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="also print where each network's time goes, by kind of layer",
    )
    parser.add_argument(
        "--compare",
        type=Path,
        metavar="BASELINE",
        help="JSON of an earlier run: print time now over time then, with intervals",
    )
    parser.add_argument("--plot", type=output_file(".png"), metavar="FILE", help="plot the times (PNG)")
    add_html_option(parser)
    add_json_option(parser)
