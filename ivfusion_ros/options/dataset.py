"""Options of `ivfusion dataset`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import output_folder
from ivfusion_ros.options.pipeline import add_backend_option
from ivfusion_ros.options.sources import add_camera_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="folders of registered pairs with thermal/ and rgb/, or of images of one of them; beside them "
        "labels/ (maps of MSRS's class ids), boxes/ (YOLO's text files) or a file of COCO's form; or data "
        "sets as published: M3FD, MSRS, LLVIP, KAIST, FLIR, HIT-UAV, or any of the form of YOLO, VOC or "
        "COCO",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="folder of the data set; existing files in it are kept",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="KIND[:SHARE]",
        help="thermal, rgb, or fusion networks by name or ONNX file; several are mixed. SHARE is the "
        "part of the training pairs that is used in this kind, for example mda:0.1; rgb+haze is RGB in "
        "smoke, mda+haze is fused with it",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="detector of COCO's classes (ONNX) that separates touching objects, adds those that labels/ "
        "leaves out of what is trained on, and labels scenes without labels/ and boxes/",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="YAML of `name: name` or `number: name`: what the set's own names or numbers mean, or nothing "
        "after the colon to leave a class out (default: usual names, and COCO's numbers where a set has no "
        "names); others are left out and counted",
    )
    add_camera_option(parser)
    add_backend_option(parser, "fusion")
