"""Options of `ivfusion export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

DETECTOR_SIZE = "640x480"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "network",
        help="last.pt of a run of `ivfusion train`, or name of a network without weights: mst; with "
        "--detector a .pt of ultralytics, for example yolov5su.pt, or for another size the name or ONNX "
        "file of a YOLOv5 with anchors, for example yolov5n; with --int8 a detector or fusion network in "
        "ONNX",
    )
    parser.add_argument("output", type=Path, help="ONNX file to write")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--half", action="store_true", help="export in half precision, unless the self-test fails"
    )
    kind.add_argument(
        "--int8",
        action="store_true",
        help="convert a detector or fusion network (ONNX file or name) to int8, for OpenVINO on CPUs",
    )
    parser.add_argument(
        "--images",
        type=Path,
        metavar="DIR",
        help="for --int8: a data set of `ivfusion dataset`, or images like those that the detector will "
        "see; for a fusion network, registered pairs in thermal/ and rgb/",
    )
    parser.add_argument("--detector", action="store_true", help="the input is a detector")
    parser.add_argument(
        "--size", metavar="WxH", help=f"for --detector: input size (default: {DETECTOR_SIZE})"
    )
