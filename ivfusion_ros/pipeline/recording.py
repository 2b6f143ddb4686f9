"""One recording through the pipeline, as a replay and each machine of a fleet does it."""

from __future__ import annotations

import itertools
import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BagError, IvfusionError
from ivfusion_ros.pipeline.bag_topics import other_topics, read_other_topics
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.pipeline.skips import reason_of
from ivfusion_ros.sync.clocks import ClockCheck
from ivfusion_ros.sync.pairing import READ_AHEAD
from ivfusion_ros.sync.synchronizer import Synchronizer

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.sources.source import Source, SourceOptions
    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)


def reading(options: SourceOptions, config: PipelineConfig) -> SourceOptions:
    """The options with what the configuration says of reading."""
    return replace(options, max_pixels=config.images.max_pixels, thermal_encoding=config.thermal.encoding)


class RecordingReplay:
    """A source's pairs, fused one after the other; what a bag holds beside its cameras is read on the way.

    Raises BagError for missing topics, ConfigError where the configuration asks for topics and the source
    is no bag.
    """

    def __init__(self, source: Source, config: PipelineConfig, depth_topic: str | None = None) -> None:
        """depth_topic: where registration.depth is true, None to guess."""
        self.source = source
        self._config = config
        self._synchronizer = Synchronizer(config, READ_AHEAD)
        self._clocks = ClockCheck(self._offset_taker())
        self._transforms = read_other_topics(source, config, self._synchronizer.depth, depth_topic)
        self._replay: Replay | None = None

    def results(self, pipeline: Pipeline, stopped: threading.Event) -> Iterator[FusionResult]:
        """The pipeline's results, those that were begun before `stopped` was set; once."""
        self._replay = Replay(
            self._synchronizer,
            pipeline,
            self._transforms,
            follows_cameras=self._config.registration.extrinsics == "tf",
            base_frame=self._config.positions.base_frame if self._config.positions.needs_base else "",
        )
        frames = self._clocks.frames(self.source.frames())
        return self._replay.results(itertools.takewhile(lambda _: not stopped.is_set(), frames))

    def report(self) -> dict[str, Any]:
        """How it went, so far, for machines."""
        return self._started().report()

    def drops(self) -> dict[str, int]:
        """Frames that got into no pair, so far, by reason."""
        return dict(self._started().synchronizer.pairer.drops)

    def figures(self) -> dict[str, Any]:
        """How it went in the end; says what was skipped. Raises what kept all pairs from being fused."""
        if not self.report()["pairs"]:
            raise self._no_pairs(self.report())
        return self.figures_of_part()

    def figures_of_part(self) -> dict[str, Any]:
        """As figures, also of a part of a recording that has no pairs."""
        report, source = self.report(), self.source
        for name, count in source.skipped.items():
            log.warning("skipped %d messages of %s: %s", count, name, source.skip_reasons[name])
        topics: dict[str, Any] = dict(source.names.items())
        return {
            "topics": topics | {"others": other_topics(source)},
            **report,
            "skipped_messages": dict(source.skipped),
            "losses": source.losses,
        }

    def _started(self) -> Replay:
        assert self._replay is not None, "results() comes first"
        return self._replay

    def _offset_taker(self) -> Callable[[int], None] | None:
        """Sets the offset between clocks that are apart; None where the user has set one."""
        config = self._config
        if config.pairing.thermal_time_offset_ms:
            return None

        def take(offset_ns: int) -> None:
            pairing = replace(config.pairing, thermal_time_offset_ms=offset_ns / 1e6)
            self._synchronizer.set_config(replace(config, pairing=pairing))

        return take

    def _no_pairs(self, report: dict[str, Any]) -> IvfusionError:
        """What to tell, and of which kind: the reason that comes first on the way."""
        source, skips = self.source, self._started().skips
        if skips.first is not None:
            kind = type(skips.first) if isinstance(skips.first, IvfusionError) else IvfusionError
            count = sum(skips.counts.values())
            return kind(f"none of the {count} pairs could be fused; the first: {reason_of(skips.first)}")
        frames = report["frames"]
        for camera, name in source.names.items():
            if not frames.get(camera) and (count := source.skipped[name]):
                return BagError(
                    f"none of the {count} messages of {name} could be read; the first: "
                    f"{source.skip_reasons[name]}"
                )
        lost = "".join(f"; {loss}" for loss in source.losses)
        for camera, name in source.names.items():
            if not frames.get(camera):
                return BagError(f"{name} has no {camera} image that could be read{lost}")
        advice = self._clocks.advice() or "set pairing.thermal_time_offset_ms"
        return BagError(
            f"no thermal frame was paired with an RGB frame: {frames['thermal']} thermal and "
            f"{frames['rgb']} RGB frames, dropped {report['drops']}; raise pairing.max_skew_ms, or, if the "
            f"cameras' clocks differ, {advice}{lost}"
        )
