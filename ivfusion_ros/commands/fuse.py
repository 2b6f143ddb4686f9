"""`ivfusion fuse`: image files, folders or any source in, fused images out."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.bags.files import is_bag
from ivfusion_ros.bags.writer import NO_FOLDERS
from ivfusion_ros.commands.options import (
    pipeline_config,
    refuse_source_as_output,
    source_options,
    write_json,
)
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.files import alone_in, make_folder
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.pairs import PairPaths
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.options.outputs import refuse_existing, refuse_input
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.replay import summary
from ivfusion_ros.report import start_page, write_page
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.sources.pairs import pairs_in_time, pairs_of_equal_names
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator, Sequence

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Job:
    """A pair to fuse: its name to people, where its fused image goes, and what reads it."""

    name: str
    output: Path
    read: Callable[[], FramePair]


def run(options: argparse.Namespace) -> None:
    """Fuse each pair on its own; one that cannot be fused is skipped. Raises IvfusionError, also then."""
    config = pipeline_config(options)
    config = dataclasses.replace(config, detection=dataclasses.replace(config.detection, model=""))
    skipped, page = Skipped("pairs"), start_page(options.html)
    rows: list[dict[str, Any]] = []
    with ExitStack() as stack:
        jobs, count = _jobs(options, config, skipped, stack)
        pipeline = stack.enter_context(build_pipeline(config))
        for job in tqdm(jobs, total=count, unit="pair", disable=count == 1):
            result = None
            with skipped.costs_one(job.name):
                pipeline.reset()
                result = pipeline.process(job.read())
            if result is not None:
                make_folder(job.output.parent)
                write_image(job.output, result.fused, replace=options.force)
                if options.json:
                    rows.append(_row(job, result))
                if page:
                    page.add(result, job.name)
    if page:
        figures = {"model": pipeline.fusion_model, "pairs": skipped.tried, "skipped": skipped.skipped}
        write_page(options.html, page.page(options.output.name, figures))
    if skipped.tried:
        model = f"{pipeline.fusion_model} by {pipeline.fuser.backend.description}"
        write_json(options.json, _figures(options, model, skipped, rows))
    page_told = f", page: {options.html}" if options.html else ""
    log.info("pairs fused: %d, in %s%s", skipped.tried - skipped.skipped, options.output, page_told)
    skipped.end()
    if not skipped.tried:
        raise DataError(f"{' and '.join(map(str, options.source))} gave no pair")


def _row(job: Job, result: FusionResult) -> dict[str, Any]:
    """A pair in the figures."""
    return {
        "pair": job.name,
        "file": str(job.output),
        "size": list(result.size),
        "mode": result.mode,
        "faults": list(result.faults.labels),
        "stages_ms": {stage: round(time, 3) for stage, time in result.timings_ms.items()},
    }


def _figures(
    options: argparse.Namespace, model: str, skipped: Skipped, rows: list[dict[str, Any]]
) -> dict[str, Any]:
    """What --json has."""
    times: dict[str, list[float]] = {}
    for row in rows:
        for stage, time in row["stages_ms"].items():
            times.setdefault(stage, []).append(time)
    return {
        "input": list(map(str, options.source)),
        "output": str(options.output),
        "models": {"fusion": model},
        "pairs": len(rows),
        **skipped.report(),
        "stages_ms": {stage: summary(values) for stage, values in times.items()},
        "results": rows,
    }


def _jobs(
    options: argparse.Namespace, config: PipelineConfig, skipped: Skipped, stack: ExitStack
) -> tuple[Iterable[Job], int | None]:
    """Pairs, and how many there are, as far as that is known. Raises IvfusionError."""
    paths, output = options.source, options.output
    refuse_source_as_output(paths, output)
    chosen = source_options(options, skipped.add, config.images.max_pixels, config.thermal.encoding)
    found = None if chosen.names_times and len(paths) == 2 else _pairs_on_disk(paths)
    if found is None:
        source = stack.enter_context(closing(open_source(paths, chosen)))
        refuse_input(output, *source.paths)
        if not output.is_dir() and (output.exists() or output.suffix.lower() in (*NO_FOLDERS, ".mcap")):
            raise DataError(f"the output is {output}, expected a folder for the images of a recording")
        stack.enter_context(alone_in(output))
        return _in_time(source, config, output, options.force), source.expected
    chosen.refuse_unused((), "images that are pairs by their names")
    refuse_input(output, *paths)
    if output.exists() and not output.is_dir() and (len(found) > 1 or paths[0].is_dir()):
        raise DataError(f"the output, {output}, is a file, expected a folder for {len(found)} images")
    if len(found) == 1 and not paths[0].is_dir() and not output.is_dir():
        _check_files(paths, output)
        pictures = [output]
    else:
        stack.enter_context(alone_in(output))
        pictures = [output / f"{pair.stem}.png" for pair in found]
    for pair, picture in zip(found, pictures, strict=True):
        refuse_input(picture, pair.thermal, pair.rgb)
    refuse_existing(pictures, options.force)
    most = config.images.max_pixels
    jobs = [
        Job(pair.stem, picture, partial(_read, pair, most))
        for pair, picture in zip(found, pictures, strict=True)
    ]
    return jobs, len(jobs)


def _check_files(images: Sequence[Path], output: Path) -> None:
    """What would be told when the networks are loaded. Raises ImageError."""
    for image in images:
        if not image.exists():
            raise ImageError(f"cannot read {image}: there is no such file")
    if output.suffix.lower() not in SUFFIXES:
        raise ImageError(
            f"the output of two images is {output}, expected an image ({', '.join(SUFFIXES)}), or a folder "
            "that is there"
        )


def _read(pair: PairPaths, max_pixels: int) -> FramePair:
    thermal = read_camera_image(pair.thermal, "thermal", max_pixels)
    return FramePair(Frame(thermal, 0), Frame(read_camera_image(pair.rgb, "rgb", max_pixels), 0))


def _in_time(source: Source, config: PipelineConfig, output: Path, force: bool) -> Iterator[Job]:
    for pair in pairs_in_time(source, config.pairing):
        name = str(pair.rgb.stamp_ns)
        picture = output / f"{name}.png"
        refuse_existing([picture], force)
        yield Job(name, picture, lambda pair=pair: pair)  # type: ignore[misc]


def _pairs_on_disk(paths: Sequence[Path]) -> list[PairPaths] | None:
    """Of two images, two folders or a data set; None for what has frames in time."""
    if len(paths) == 1 and paths[0].is_dir() and not is_bag(paths[0]):
        return find_pairs(paths[0])
    if len(paths) != 2 or any(map(is_bag, paths)):
        return None
    thermal, rgb = paths
    if thermal.is_dir() and rgb.is_dir():
        return pairs_of_equal_names(thermal, rgb)
    if thermal.is_dir() != rgb.is_dir():
        for path in (thermal, rgb):
            if not path.exists():
                raise DataError(f"there is no file or folder {path}")
        raise DataError(f"{thermal} and {rgb} must be two files or two folders")
    if {path.suffix.lower() for path in paths} <= set(SUFFIXES):
        return [PairPaths(thermal, rgb, None)]
    return None
