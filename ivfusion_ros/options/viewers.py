"""--web, --window, --rerun and --foxglove: where else results are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.options.outputs import output_file

if TYPE_CHECKING:
    import argparse

USUAL_PORT = "8080"


def add_web_option(parser: argparse.ArgumentParser) -> None:
    """--web [[HOST:]PORT]."""
    parser.add_argument(
        "--web",
        nargs="?",
        const=USUAL_PORT,
        metavar="[HOST:]PORT",
        help="also serve a page that shows what is fused now: to this machine, or at another HOST "
        f"(0.0.0.0: all) to who has the printed token (without a value {USUAL_PORT}; needs the extra web)",
    )


def add_viewer_options(parser: argparse.ArgumentParser) -> None:
    """--window, --rerun FILE and --foxglove PORT."""
    parser.add_argument(
        "--window",
        action="store_true",
        help="also show what is fused now in a window (needs a display, and opencv-python in place of "
        "opencv-python-headless)",
    )
    parser.add_argument(
        "--rerun",
        type=output_file(".rrd"),
        metavar="FILE",
        help="also write a recording for Rerun's viewer (.rrd; needs rerun-sdk)",
    )
    parser.add_argument(
        "--foxglove",
        type=int,
        metavar="PORT",
        help="also serve images, boxes and status to Foxglove or Lichtblick on this machine (usual: 8765; "
        "needs foxglove-sdk)",
    )
