"""`ivfusion record`: films, folders, a data set or bags -> a bag with both cameras' topics."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.options import (
    add_source_options,
    refuse_input,
    refuse_source_as_output,
    source_options,
)
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.messages import NS_PER_S
from ivfusion_ros.sources import EXPECTED, open_source
from ivfusion_ros.types import CAMERAS, CameraName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.sources import Source
    from ivfusion_ros.types import Frame

log = logging.getLogger(__name__)


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


def run(options: argparse.Namespace) -> None:
    """Write the bag of all frames that can be read. Raises IvfusionError, also where some cannot."""
    skipped = Skipped("frames")
    counts: Counter[str] = Counter()
    refuse_source_as_output(options.source, options.output)
    source = open_source(options.source, source_options(options, skipped.add, MAX_PIXELS))
    with closing(source):
        refuse_input(options.output, *source.paths)
        if source.note:
            log.info("%s", source.note)
        with BagWriter(options.output, compressed=options.compressed, overwrite=options.force) as writer:
            for camera, frame in tqdm(_moved(source.frames(), options.start), unit="frame"):
                writer.write_frame(camera, frame)
                skipped.tried += 1
                counts[camera] += 1
            if not all(counts[camera] for camera in CAMERAS):
                skipped.end()
                raise _nothing(source, counts)
    log.info("%d thermal and %d RGB frames: %s", counts["thermal"], counts["rgb"], options.output)
    for loss in (*source.losses, *_reasons(source)):
        log.warning("lost: %s", loss)
    skipped.end()


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
    return int(seconds * NS_PER_S)


def _moved(
    frames: Iterator[tuple[CameraName, Frame]], start_ns: int | None
) -> Iterator[tuple[CameraName, Frame]]:
    """Frames with all times moved such that the first was taken at start_ns."""
    shift_ns: int | None = None
    for camera, frame in frames:
        if start_ns is None:
            yield camera, frame
            continue
        shift_ns = start_ns - frame.stamp_ns if shift_ns is None else shift_ns
        received_ns = None if frame.received_ns is None else frame.received_ns + shift_ns
        yield camera, replace(frame, stamp_ns=frame.stamp_ns + shift_ns, received_ns=received_ns)


def _nothing(source: Source, counts: Counter[str]) -> DataError:
    said = "; ".join(
        [
            f"{' and '.join(source.names.values())} gave {counts['thermal']} thermal and {counts['rgb']} "
            "RGB frames, expected some of both",
            *_reasons(source),
        ]
    )
    return DataError(said)


def _reasons(source: Source) -> list[str]:
    """Why frames could not be used, by camera."""
    return [f"{count} of {name}: {source.skip_reasons[name]}" for name, count in source.skipped.items()]
