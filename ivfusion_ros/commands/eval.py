"""`ivfusion eval`: networks and folders of fused images judged side by side on registered pairs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.backends.cpu import usable_cores
from ivfusion_ros.commands.interruption import going_on_by_itself
from ivfusion_ros.commands.options import check_at_least, write_json
from ivfusion_ros.commands.result_pictures import ResultPictures
from ivfusion_ros.errors import ConfigError, DataError, ImageError
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.evaluation.fusion.judge import Result, judge
from ivfusion_ros.evaluation.fusion.methods import Method, NetworkMethod, make_methods
from ivfusion_ros.evaluation.fusion.pairs import Pair, read_pairs
from ivfusion_ros.evaluation.fusion.plots import write_plot
from ivfusion_ros.evaluation.fusion.report import figures, page
from ivfusion_ros.evaluation.fusion.scores import columns
from ivfusion_ros.evaluation.fusion.sheet import write_sheet
from ivfusion_ros.evaluation.fusion.tables import image_rows, mean_rows, metric_names, to_csv, to_markdown
from ivfusion_ros.evaluation.speed.cost import Cost, measure_cost
from ivfusion_ros.files import alone_in, make_folder, write_whole
from ivfusion_ros.images.files import read_image
from ivfusion_ros.metrics.flicker import FLICKER
from ivfusion_ros.options.outputs import refuse_existing
from ivfusion_ros.report import check_renderer, quality_page, write_page

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.types import Size

RESULTS = "results.json"

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Score, then write tables and pictures. Raises IvfusionError, also where images were skipped."""
    with alone_in(options.out):
        _evaluate(options)


def _evaluate(options: argparse.Namespace) -> None:
    _check(options)
    refuse_existing([options.out / RESULTS], options.force)
    pairs = read_pairs(options.data, tuple(options.folders), limit=options.limit, sequence=options.sequence)
    methods = make_methods(
        options.model,
        options.fused,
        backend=options.backend,
        precision=options.precision,
        threads=options.threads,
    )
    make_folder(options.out)
    costs = _costs(methods, _usual_size(pairs), options) if options.cost else {}
    with going_on_by_itself(options.out), Journal(options.out / "scores.jsonl") as journal:
        results = judge(pairs, methods, options.metrics, journal, options.jobs or usable_cores())
    scored = sum(bool(result.scores) for result in results)
    if not scored:
        raise DataError(
            f"none of the {len(results)} images could be scored; the first: {results[0].reason}"
        )
    _warn_of_gaps(pairs, results)
    pictures = _write_pictures(options, pairs, methods, results)
    _write_tables(options.out, results, costs, pictures)
    numbers = figures(results, methods, costs, pairs)
    write_json(options.out / RESULTS, numbers)
    write_json(options.json, numbers)
    if options.html:
        write_page(options.html, quality_page(options.out.name, numbers, ResultPictures(pairs, methods)))
        log.info("page: %s", options.html)
    print(page(results, costs, ()))
    skipped = [result for result in results if not result.scores]
    log.info("scored %d images, skipped %d: %s", scored, len(skipped), options.out)
    if skipped:
        first, count = skipped[0], f"{len(skipped)} of {len(results)}"
        name = f"{first.pair} of {first.data} by {first.method}"
        raise DataError(f"{count} images were skipped; the first, {name}: {first.reason}")


def _check(options: argparse.Namespace) -> None:
    if not options.model and not options.fused:
        raise ConfigError("nothing to evaluate; give networks with --model or fused images with --fused")
    check_at_least(options, limit=1, jobs=1, rows=1, threads=0)
    if options.html:
        check_renderer()
    if options.sheet_by and options.sheet_by not in columns(options.metrics):
        raise ConfigError(
            f"--sheet-by {options.sheet_by} is not among --metrics {' '.join(options.metrics)}"
        )


def _warn_of_gaps(pairs: Sequence[Pair], results: Sequence[Result]) -> None:
    """Warn of frames that follow others and have no flicker all the same."""
    following = {(pair.data, pair.stem) for pair in pairs if pair.previous is not None}
    scored = [item for item in results if item.scores and (item.data, item.pair) in following]
    without = sum(not item.scores.keys() >= FLICKER.keys() for item in scored)
    if without:
        log.warning(
            "%d of %d images have no flicker: the frame before has another size or cannot be read",
            without, len(scored),
        )  # fmt: skip


def _costs(methods: Sequence[Method], size: Size, options: argparse.Namespace) -> dict[str, Cost]:
    return {
        method.label: measure_cost(method.path, size, options.backend, options.precision, options.threads)
        for method in methods
        if isinstance(method, NetworkMethod)
    }


def _usual_size(pairs: Sequence[Pair]) -> Size:
    """(width, height) of the first pair that can be read."""
    for pair in pairs:
        try:
            height, width = read_image(pair.rgb).shape[:2]
        except ImageError:
            continue
        return width, height
    raise DataError(f"no image of the {len(pairs)} pairs can be read, the first is {pairs[0].rgb}")


def _write_pictures(
    options: argparse.Namespace, pairs: Sequence[Pair], methods: Sequence[Method], results: Sequence[Result]
) -> list[str]:
    """Plot and contact sheet; returns the names of those that were written."""
    names = metric_names(results)
    metric = options.sheet_by or ("VIF" if "VIF" in names else names[0])
    write_sheet(options.out / "sheet.png", pairs, methods, results, metric, options.rows)
    try:
        write_plot(options.out / "plot.png", results)
    except ImportError as error:
        log.warning("no plot, it needs matplotlib (%s); run: pip install matplotlib", error)
        return ["sheet.png"]
    return ["plot.png", "sheet.png"]


def _write_tables(
    folder: Path,
    results: Sequence[Result],
    costs: dict[str, Cost],
    pictures: Sequence[str],
) -> None:
    rows = image_rows(results)
    write_whole(folder / "images.csv", to_csv(rows))
    write_whole(folder / "images.md", to_markdown(rows))
    write_whole(folder / "means.csv", to_csv(mean_rows(results, costs)))
    write_whole(folder / "results.md", page(results, costs, pictures))
