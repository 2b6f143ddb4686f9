"""`ivfusion replay`: a source in, fused bag out."""

from __future__ import annotations

import logging
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.bags import BagWriter, check_bag_target
from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.commands.options import (
    pipeline_config,
    refuse_source_as_output,
    source_options,
    write_json,
)
from ivfusion_ros.commands.skipped import log_skipped
from ivfusion_ros.commands.web import open_page, open_viewers, open_window, unmeasured
from ivfusion_ros.images.film import Pictures
from ivfusion_ros.options.outputs import STDOUT, refuse_input
from ivfusion_ros.options.pipeline import TASKS
from ivfusion_ros.pipeline.bag_topics import copy_originals
from ivfusion_ros.pipeline.build import build_locator, build_pipeline, detection_model_name, model_files
from ivfusion_ros.pipeline.recording import RecordingReplay, reading
from ivfusion_ros.report import start_page, write_page
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.sources.source import SourceOptions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)

USUAL_RATE_HZ = 30.0
"""Of the film, where a source does not say."""


@dataclass(frozen=True)
class Outputs:
    """What a replay writes; None leaves a picture out."""

    bag: Path
    compressed: bool = False
    originals: bool = False
    registered: bool = False
    overwrite: bool = False
    video: Path | None = None
    sheet: Path | None = None
    html: Path | None = None
    web: str | None = None
    rerun: Path | None = None
    foxglove: int | None = None
    window: bool = False

    @property
    def files(self) -> list[Path]:
        """All that are written."""
        return [path for path in (self.bag, self.video, self.sheet, self.html, self.rerun) if path]


def run(options: argparse.Namespace) -> None:
    """Replay as the options say. Raises IvfusionError."""
    outputs = Outputs(
        options.output,
        options.compressed,
        options.originals,
        options.registered,
        options.force,
        options.video,
        options.sheet,
        options.html,
        options.web,
        options.rerun,
        options.foxglove,
        options.window,
    )
    refuse_source_as_output(options.source, options.output)
    config = pipeline_config(options)
    if options.depth_topic is not None:
        config = replace(config, registration=replace(config.registration, depth=True))
    chosen = source_options(options, log_skipped, config.images.max_pixels)
    if options.dry_run:
        _tell(options, outputs, config, chosen)
        return
    figures = replay_source(options.source, outputs, config, chosen, options.depth_topic)
    write_json(options.json, figures)
    end_if_interrupted(figures)


def _tell(
    options: argparse.Namespace, outputs: Outputs, config: PipelineConfig, chosen: SourceOptions
) -> None:
    """What --dry-run prints. Raises what a replay would of its source, its bag and its models."""
    with closing(open_source(options.source, chosen)) as source:
        refuse_input(outputs.bag, *source.paths)
        check_bag_target(outputs.bag, overwrite=outputs.overwrite)
        plan: dict[str, Any] = {"reads": list(map(str, options.source))}
        # What it reads beside the cameras is looked for here.
        RecordingReplay(source, config, options.depth_topic)
        build_locator(config)
        plan.update(source.names.items())
        if source.expected is not None:
            plan["pairs"] = f"about {source.expected}"
    files = model_files(config)
    for task in TASKS:
        plan[f"{task} model"] = str(files.get(task, "none"))
    if "matching" in files:
        plan["matcher"] = str(files["matching"])
    written = (*outputs.files, options.json)
    plan["writes"] = [
        f"{path}{', which it replaces' if path.exists() else ''}"
        for path in written
        if path and path != STDOUT
    ]
    if options.json == STDOUT:
        write_json(STDOUT, plan)
        return
    for name, value in plan.items():
        for line in value if isinstance(value, list) else [value]:
            print(f"{name}: {line}")


def replay_source(
    paths: Sequence[Path],
    outputs: Outputs,
    config: PipelineConfig,
    options: SourceOptions | None = None,
    depth_topic: str | None = None,
) -> dict[str, Any]:
    """Fuse a source into a bag. Prints and returns the figures.

    depth_topic: where registration.depth is true, None to guess.

    SIGINT and SIGTERM end it after the pairs in progress; the outputs are complete up to there.

    Raises BagError for unreadable bags, missing topics and when there is no pair at all, DataError where
    the output is an input, or for what no source is, ConfigError, ModelError and BackendError as
    build_pipeline does.
    """
    report_page = start_page(outputs.html)
    with ExitStack() as stack:
        chosen = reading(options or SourceOptions(), config)
        source = stack.enter_context(closing(open_source(paths, chosen)))
        refuse_input(outputs.bag, *source.paths)
        log.info("%s", source.note or " and ".join(source.names.values()))
        replay = RecordingReplay(source, config, depth_topic)
        # The outputs before the networks, which take seconds to load.
        pictures, writer = _open_outputs(outputs, source, config, stack)
        title = f"replay of {paths[0].name}"
        windows = open_window(title, stack, wanted=outputs.window)
        viewers = open_viewers(outputs.rerun, outputs.foxglove, stack)
        live = open_page(outputs.web, title, stack, records=False)
        pipeline = stack.enter_context(build_pipeline(config, recorded=True))
        if report_page is not None:
            report_page.drops = replay.drops
        # Pages show temperatures; only results that measured them have the topic.
        watched = report_page is not None or bool(viewers)
        pipeline.measures = lambda: outputs.registered or watched or (live is not None and live.watched)
        sinks = [pictures.add, *([report_page.add] if report_page else []), *viewers, *windows]
        write = writer.write_result if outputs.registered else partial(_write_unmeasured, writer)
        if live is not None:
            sinks.append(partial(live.offer, status=lambda: _status(replay)))
        interrupted = _write(replay, pipeline, writer, [write, *sinks])
        figures = {
            "input": list(map(str, paths)),
            "output": str(outputs.bag),
            "models": _models(config, pipeline),
            "interrupted": interrupted,
            **replay.figures(),
        }
    if report_page and outputs.html:
        write_page(outputs.html, report_page.page(outputs.bag.name, figures))
    _print(figures, outputs)
    return figures


def _open_outputs(
    outputs: Outputs, source: Source, config: PipelineConfig, stack: ExitStack
) -> tuple[Pictures, BagWriter]:
    """Both are closed with the stack: the bag first, so that a sheet that fails does not lose it."""
    pictures = stack.enter_context(Pictures(outputs.video, outputs.sheet, source.rate_hz or USUAL_RATE_HZ))
    writer = stack.enter_context(
        BagWriter(
            outputs.bag,
            compressed=outputs.compressed,
            overwrite=outputs.overwrite,
            layout=config.detection.message_layout,
            jpeg_quality=config.outputs.jpeg_quality,
        )
    )
    if outputs.originals:
        copy_originals(source, writer)
    return pictures, writer


def end_if_interrupted(figures: dict[str, Any]) -> None:
    """What is left to do when the figures are written. Raises KeyboardInterrupt."""
    if figures["interrupted"]:
        raise KeyboardInterrupt(f"{figures['output']} has the {figures['pairs']} pairs up to then")


def _write(
    replay: RecordingReplay,
    pipeline: Pipeline,
    writer: BagWriter,
    sinks: Sequence[Callable[[FusionResult], None]],
) -> bool:
    """Fuse and write; a signal ends the frames early, which it returns. Raises KeyboardInterrupt."""
    with held_back() as stopped, tqdm(total=replay.source.expected, unit="pair") as progress:
        for result in replay.results(pipeline, stopped):
            for take in sinks:
                take(result)
            progress.update()
        if stopped.is_set() and not progress.n:
            raise KeyboardInterrupt
    if writer.left_out:
        log.warning(
            "not copied, since the output has topics of these names, or ROS 2 no such messages: %s",
            ", ".join(sorted(writer.left_out)),
        )
    return stopped.is_set()


def _write_unmeasured(writer: BagWriter, result: FusionResult) -> None:
    writer.write_result(unmeasured(result))


def _status(replay: RecordingReplay) -> dict[str, str]:
    """How it goes, for the live page."""
    report = replay.report()
    drops = ", ".join(f"{reason} {count}" for reason, count in report["drops"].items()) or "none"
    return {
        "pairs": f"{report['pairs']}, {report['pairs_per_second']:.1f} a second",
        "drops": drops,
        "pairs that failed": str(sum(report["failed_pairs"].values())),
    }


def _models(config: PipelineConfig, pipeline: Pipeline) -> dict[str, str]:
    models = {"fusion": f"{pipeline.fusion_model} by {pipeline.fuser.backend.description}"}
    if pipeline.detector is not None:
        name = detection_model_name(config.detection)
        models["detection"] = f"{name} by {pipeline.detector.backend.description}"
    if config.registration.refine.matcher:
        models["matching"] = config.registration.refine.matcher
    return models


def _print(figures: dict[str, Any], outputs: Outputs) -> None:
    for loss in figures["losses"]:
        log.warning("lost: %s", loss)
    if failed := sum(figures["failed_pairs"].values()):
        reasons = "; ".join(f"{count}: {reason}" for reason, count in figures["failed_pairs"].items())
        log.warning("skipped %d pairs: %s", failed, reasons)
    full = sum(count for reason, count in figures["drops"].items() if reason.endswith("_overflow"))
    if full:
        log.warning(
            "%d frames waited in vain because the queue was full: one camera was recorded later than the "
            "other, by more than a replay waits; raise pairing.queue_size",
            full,
        )
    stages = ", ".join(f"{name} {times['median']:.1f}" for name, times in figures["stages_ms"].items())
    for what, name in (("depth", "depth"), ("transform", "transform"), ("base", "transform to the robot")):
        if count := figures.get(f"pairs_without_{what}"):
            log.warning("%d of %d pairs had no %s", count, figures["pairs"], name)
    drops = ", ".join(f"{reason} {count}" for reason, count in figures["drops"].items()) or "none"
    log.info(
        "%d pairs in %.1f s: %.1f a second; median ms: %s; skew median %.1f, max %.1f ms; drops: %s",
        figures["pairs"], figures["seconds"], figures["pairs_per_second"], stages,
        figures["skew_ms"]["median"], figures["skew_ms"]["max"], drops,
    )  # fmt: skip
    if figures["detections"]:
        log.info("detected: %s", _counts(figures["detections"]))
    _print_positions(figures)
    log.info("written: %s", ", ".join(map(str, outputs.files)))


def _print_positions(figures: dict[str, Any]) -> None:
    """How many objects got one, and by which method; a warning where none did."""
    if "positions" not in figures:
        return
    known, missing = figures["positions"], figures["without_position"]
    of_all = f"{sum(known.values())} of {sum(known.values()) + sum(missing.values())} objects"
    whys = f"; none: {_counts(missing)}" if missing else ""
    if known:
        log.info("positions of %s: %s%s", of_all, _counts(known), whys)
    elif missing:
        log.warning("positions of %s%s", of_all, whys)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())
