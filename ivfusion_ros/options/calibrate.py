"""Options of `ivfusion calibrate`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, get_args

from ivfusion_ros.calibrate.choices import KINDS, SHIPPED_MATCHER, SPECIFICATION, SceneModel
from ivfusion_ros.cameras import CAMERAS
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M, DISTORTION_LENGTHS
from ivfusion_ros.options.calibrate_import import add_import_options
from ivfusion_ros.options.outputs import add_html_option, add_json_option, output_file
from ivfusion_ros.options.sources import add_source_options
from ivfusion_ros.sources.expected import EXPECTED

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "input",
        nargs="*",
        type=Path,
        help=f"{EXPECTED}; images of the same name in two folders are a pair",
    )
    parser.add_argument(
        "--out",
        type=output_file(".yaml", ".yml"),
        default=Path("calibration.yaml"),
        metavar="FILE",
        help="YAML file to write, with a picture beside it; both are replaced if they exist (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--time-offset",
        action="store_true",
        help="first estimate the offset between the clocks from motion",
    )
    add_json_option(parser)
    add_html_option(parser)
    add_source_options(parser)
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML; its pairing and thermal parameters are used"
    )
    _add_board_options(parser.add_argument_group("by a board"))
    _add_scene_options(parser.add_argument_group("by ordinary scenes, without --board"))
    add_import_options(parser.add_argument_group("from another tool's calibration"))


def _add_board_options(group: argparse._ArgumentGroup) -> None:
    kinds = "; ".join(f"{kind}: {meaning}" for kind, meaning in KINDS.items())
    group.add_argument(
        "--board",
        metavar="SPEC",
        help=f"board that both cameras see, {SPECIFICATION} in metres, such as checkerboard:8x6:0.08. "
        f"{kinds}",
    )
    for camera in CAMERAS:
        group.add_argument(
            f"--{camera}-lens",
            choices=tuple(DISTORTION_LENGTHS),
            default="plumb_bob",
            help=f"distortion model of the {camera} camera (default: %(default)s)",
        )
    group.add_argument(
        "--plane-distance",
        type=float,
        metavar="M",
        help=f"distance at which both images are aligned, metres (default: {DEFAULT_PLANE_DISTANCE_M:g})",
    )


def _add_scene_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--model",
        choices=get_args(SceneModel),
        help="rig takes the lenses from camera_info (default: rig where both cameras publish lenses that "
        "fit the images, else homography)",
    )
    group.add_argument(
        "--baseline",
        type=float,
        metavar="M",
        help="distance between the two lenses, metres, which gives the rig its scale; without it, the "
        "calibration is a map for the scenes' median distance",
    )
    group.add_argument(
        "--matcher",
        metavar="MODEL",
        help="what finds a second start of the search, of whose results the surer one is taken: "
        f"{SHIPPED_MATCHER}, which ships, an ONNX file of your own (docs/calibration.md has its contract), "
        f"or none (default: {SHIPPED_MATCHER}, where ONNX Runtime is installed)",
    )
    group.add_argument(
        "--hfov",
        type=float,
        nargs=2,
        metavar=("THERMAL", "RGB"),
        help="horizontal fields of view of both lenses, degrees, as in their datasheets: for lenses of "
        "very different fields without camera_info (default: camera_info, else the size that fits best)",
    )
