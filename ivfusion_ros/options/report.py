"""Options of `ivfusion report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.cli import named_path
from ivfusion_ros.options.outputs import output_file

if TYPE_CHECKING:
    import argparse
    from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "result",
        type=_place,
        help="folder that eval, eval-detection, demo, train, reproduce or fleet wrote, a bag that replay "
        "or live wrote, a JSON file of --json, or the URL of a fleet's results",
    )
    parser.add_argument(
        "--html",
        type=output_file(".html"),
        metavar="FILE",
        help="page to write (default: report.html in the folder, or beside the file with its name)",
    )
    parser.add_argument("--force", action="store_true", help="replace a page that is there already")


def _place(text: str) -> Path | str:
    """The argparse type of a path, or of a URL as it is."""
    return text if "://" in text else named_path(text)
