"""Options of what is read."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.cameras import CAMERAS

if TYPE_CHECKING:
    import argparse


def add_camera_option(parser: argparse.ArgumentParser) -> None:
    """--camera, of images whose place does not tell it."""
    parser.add_argument(
        "--camera",
        choices=CAMERAS,
        help="what took the images of a data set of one camera whose folders do not tell (default: thermal "
        "where they are grey)",
    )


def add_folders_option(parser: argparse.ArgumentParser) -> None:
    """What the two folders of a folder of pairs are called."""
    parser.add_argument(
        "--folders",
        nargs=2,
        default=CAMERAS,
        metavar="NAME",
        help="names of the thermal and the RGB folder in there, for example MRI PET (default: "
        f"{' '.join(CAMERAS)})",
    )


def add_topic_options(parser: argparse.ArgumentParser) -> None:
    """Which topics of a bag are the cameras."""
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}-topic",
            metavar="TOPIC",
            help=f"{camera} image topic (default: guessed by name and encoding)",
        )


def add_source_options(parser: argparse.ArgumentParser, *, topics: bool = True) -> None:
    """What a user says about a source; topics: bags are among them."""
    if topics:
        add_topic_options(parser)
    parser.add_argument(
        "--rate",
        type=float,
        metavar="HZ",
        help="frame rate of films and folders whose images have no stamps (default: a film's own)",
    )
    parser.add_argument(
        "--stamps",
        default="auto",
        metavar="HOW",
        help="of images in a folder. auto: a text file beside them, or names that are times; names or "
        "names:UNIT (ns, us, ms, s): their names, whatever they look like; rate: --rate (default: "
        "%(default)s)",
    )
    for camera in CAMERAS:
        parser.add_argument(
            f"--{camera}-stamps",
            type=Path,
            metavar="FILE",
            help=f"text file with the {camera} images' stamps: lines of a stamp and a name, or of a stamp",
        )
