"""`ivfusion record`: films, folders, a data set or bags -> a bag with both cameras' topics."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.options import refuse_source_as_output, source_options
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.options.outputs import refuse_input
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.types import CAMERAS, CameraName

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.types import Frame

log = logging.getLogger(__name__)


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
