"""Options of `ivfusion eval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.evaluation.fusion.names import METRIC_NAMES, SHEET_NAMES
from ivfusion_ros.options.outputs import add_html_option, add_json_option, output_folder
from ivfusion_ros.options.pipeline import add_network_options
from ivfusion_ros.options.sources import add_folders_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _add_what_is_judged(parser)
    _add_how(parser)


def _add_what_is_judged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="folders with thermal/ and rgb/, or data sets as they are published, or a part, LLVIP/test",
    )
    add_folders_option(parser)
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="[NAME=]MODEL",
        help="fusion models: names in models.yaml or ONNX files",
    )
    parser.add_argument(
        "--fused",
        nargs="+",
        default=[],
        metavar="NAME=DIR",
        help="folders of images fused by other programs, named like the pairs; with several data "
        "folders, a subfolder for each",
    )


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder for the results"
    )
    add_html_option(parser)
    add_json_option(parser)
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace the results of an earlier evaluation; images that it scored are not scored again",
    )
    parser.add_argument(
        "--metrics",
        nargs="+",
        choices=METRIC_NAMES,
        default=METRIC_NAMES,
        help="metrics to compute (default: all); people: shares of the people in labels/ or boxes/ whom "
        "the fused image hides",
    )
    parser.add_argument(
        "--sequence", action="store_true", help="each data folder is a video: score flicker too"
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="maximum pairs of each data folder (default: all)"
    )
    parser.add_argument(
        "--cost", action="store_true", help="measure the networks' time, memory and operations"
    )
    add_network_options(parser, "fusion")
    parser.add_argument(
        "--jobs", type=int, metavar="N", help="processes that compute metrics (default: all cores)"
    )
    parser.add_argument(
        "--rows", type=int, default=6, metavar="N", help="pairs on the contact sheet (default: %(default)s)"
    )
    parser.add_argument(
        "--sheet-by",
        choices=SHEET_NAMES,
        metavar="METRIC",
        help="metric that chooses these pairs (default: VIF)",
    )
