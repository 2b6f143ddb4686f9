"""Options of `ivfusion eval-detection`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.evaluation.detection.levels import ENOUGH_IMAGES, FALSE_ALARMS
from ivfusion_ros.options.outputs import add_html_option, add_json_option, output_folder
from ivfusion_ros.options.pipeline import add_network_options
from ivfusion_ros.options.sources import add_camera_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    _add_what_is_judged(parser)
    _add_how(parser)


def _add_what_is_judged(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        metavar="DIR",
        help="data set of `ivfusion dataset --images thermal rgb`, of which a part is judged; or a folder "
        "that `ivfusion dataset` takes, which is judged whole",
    )
    parser.add_argument(
        "--part",
        choices=("val", "train"),
        default="val",
        help="part of the data set; val is held out (default: %(default)s)",
    )
    parser.add_argument(
        "--detector",
        required=True,
        metavar="MODEL",
        help="detection model: name in models.yaml or ONNX file",
    )
    parser.add_argument(
        "--model",
        nargs="+",
        default=[],
        metavar="[NAME=]MODEL",
        help="fusion models, compared with thermal and rgb alone: names in models.yaml or ONNX files",
    )
    parser.add_argument(
        "--fused",
        nargs="+",
        default=[],
        metavar="NAME=DIR",
        help="folders of images fused by other programs, named like those of the data set",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="class map as for `ivfusion dataset`, to the classes that the detector has",
    )
    add_camera_option(parser)


def _add_how(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=output_folder, required=True, metavar="DIR", help="folder for the results"
    )
    add_html_option(parser)
    add_json_option(parser)
    parser.add_argument(
        "--limit", type=int, metavar="N", help="maximum scenes, evenly spaced (default: all)"
    )
    add_network_options(parser, "fusion", "detection")
    parser.add_argument(
        "--tiles",
        type=int,
        choices=range(1, 9),
        default=1,
        metavar="N",
        help="as detection.tiles: look at the image in N tiles along its longer side too (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--set-threshold",
        nargs="*",
        metavar="CLASS=SCORE",
        help="write into the detector's file, which must be your own, the threshold at which these "
        f"images, {ENOUGH_IMAGES} at least, have {FALSE_ALARMS:g} false alarms each, all kinds together: "
        "its own detection.confidence from then on. Or those of classes that you know better, such as "
        "person=0.3; it is judged with them",
    )
    parser.add_argument(
        "--rows",
        type=int,
        default=8,
        metavar="N",
        help="scenes on the sheet of misses (default: %(default)s)",
    )
