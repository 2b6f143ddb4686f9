"""Options of `ivfusion record`."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

from ivfusion_ros.options.sources import add_source_options
from ivfusion_ros.sources.expected import EXPECTED


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("source", nargs="+", type=Path, help=EXPECTED)
    parser.add_argument("output", type=Path, help="bag to write: NAME.mcap, or a rosbag2 folder")
    add_source_options(parser)
    parser.add_argument(
        "--start",
        type=_time,
        metavar="TIME",
        help="when the first frame was taken, in ISO 8601 (UTC where no zone is named) or in seconds since "
        "1970; all stamps are moved by the same (default: as the source has them; films count from 1 s)",
    )
    parser.add_argument("--compressed", action="store_true", help="write JPEG for colour, PNG for thermal")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def _time(text: str) -> int:
    """Nanoseconds since 1970; argparse's type of --start."""
    try:
        try:
            return _as_header_holds(Decimal(text))
        except ArithmeticError:
            when = datetime.fromisoformat(text.replace("Z", "+00:00"))
            when = when if when.tzinfo else when.replace(tzinfo=timezone.utc)
            apart = when - datetime(1970, 1, 1, tzinfo=timezone.utc)
            return _as_header_holds(Decimal(apart // timedelta(microseconds=1)) / 1_000_000)
    except (ValueError, OverflowError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time that a header holds, expected such as 2026-11-29T06:00:00Z or "
            "1795932000.5, from 1970 to 2037"
        ) from error


def _as_header_holds(seconds: Decimal) -> int:
    """Nanoseconds. Raises ValueError for what ROS's 31 bits of seconds since 1970 do not hold."""
    if not 0 <= seconds < 2**31:
        raise ValueError
    return int(seconds * 10**9)
