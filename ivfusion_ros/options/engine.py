"""Options of `ivfusion engine`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import add_json_option

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("models", nargs="+", help="names in models.yaml or ONNX files")
    parser.add_argument(
        "--half",
        action="store_true",
        help="build in half precision, which the backend uses unless fusion.precision is f32; a model "
        "that fails its self-test in half precision is built in f32",
    )
    parser.add_argument(
        "--size",
        nargs="+",
        default=["640x480"],
        metavar="WxH",
        help="image sizes of the reference camera (default: 640x480)",
    )
    parser.add_argument(
        "--workspace", type=int, default=0, metavar="MIB", help="memory limit of a layer (default: none)"
    )
    parser.add_argument(
        "--graphs",
        type=Path,
        metavar="DIR",
        help="build nothing, but write the ONNX graphs that the engines would be compiled of into this "
        "folder, for trtexec; needs neither TensorRT nor a GPU",
    )
    parser.add_argument(
        "--rebuild", action="store_true", help="also build engines that are in the cache already"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="folder of the engines; the node finds it by the environment variable IVFUSION_ENGINES "
        "(default: ~/.cache/ivfusion_ros/engines)",
    )
    add_json_option(parser)
