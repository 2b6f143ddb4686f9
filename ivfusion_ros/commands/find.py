"""`ivfusion find`: which recordings of a fleet, and which of their seconds, show what is looked for."""

from __future__ import annotations

import itertools
import logging
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from ivfusion_ros.commands.options import write_json
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import make_folder, scratch_folder
from ivfusion_ros.fleet import (
    Clip,
    bring,
    cut,
    find,
    find_recordings,
    open_results,
    parse,
    unknown_classes,
)
from ivfusion_ros.messages import NS_PER_S
from ivfusion_ros.options.outputs import refuse_existing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.fleet import Condition, Results, Span

log = logging.getLogger(__name__)

_MOST_S = 3600
"""Of the options in seconds."""


def run(options: argparse.Namespace) -> None:
    """Print what is found, and write clips of it. Raises IvfusionError, also where some cannot be cut."""
    for name in ("gap", "around"):
        if not 0 <= getattr(options, name) < _MOST_S:
            raise ConfigError(
                f"--{name} is {getattr(options, name):g}, expected seconds from 0 to {_MOST_S}"
            )
    condition = parse(options.expression)
    results = open_results(options.dest, ("find", options.expression, options.dest))
    spans = find(results, condition, options.gap)
    clips = [_clip(span, options.clips, options.around) for span in spans if options.clips]
    refuse_existing([clip.path for clip in clips], options.force)
    for span in spans:
        print(_line(span))
    _tell(results, condition, spans)
    finds = [asdict(span) for span in spans]
    for row, clip in zip(finds, clips, strict=False):
        row["clip"] = str(clip.path)
    write_json(options.json, {"expression": options.expression, "finds": finds})
    if clips:
        make_folder(options.clips)
        _write(spans, clips)


def _tell(results: Results, condition: Condition, spans: Sequence[Span]) -> None:
    for warning in filter(None, (*unknown_classes(results, condition), results.without_moments())):
        log.warning("%s", warning)
    log.info(
        "%d finds in %d of %d recordings, %.1f s together",
        len(spans), len({span.key for span in spans}), len(results.moments()),
        sum(span.end_s - span.start_s for span in spans),
    )  # fmt: skip


def _line(span: Span) -> str:
    when = datetime.fromtimestamp(span.start_ns / 1e9, timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")
    return f"{span.recording}  {span.start_s:.1f} s to {span.end_s:.1f} s  {when}  {span.pairs} pairs"


def _clip(span: Span, folder: Path, around_s: float) -> Clip:
    around_ns = int(around_s * NS_PER_S)
    name = f"{PurePosixPath(span.folder).name}_{span.start_s:.1f}_{span.end_s:.1f}.mcap"
    return Clip(folder / name, span.start_log_ns - around_ns, span.end_log_ns + around_ns)


def _write(spans: Sequence[Span], clips: Sequence[Clip]) -> None:
    """A recording that is gone or changed costs its own clips."""
    skipped = Skipped("recordings")
    pairs = zip(spans, clips, strict=True)
    for (url, key), own in itertools.groupby(pairs, lambda pair: (pair[0].recording, pair[0].key)):
        with skipped.costs_one(url), scratch_folder("ivfusion-find") as scratch:
            (recording,) = find_recordings([url])
            if recording.key != key:
                raise DataError(
                    f"{url} has changed since it was fused; run the same `ivfusion fleet` again"
                )
            for clip in cut(bring(recording, scratch), [clip for _, clip in own]):
                log.info("clip: %s", clip.path)
    skipped.end()
