"""`ivfusion bench`: networks, backends, whole pipelines and the steps around them, timed side by side."""

from __future__ import annotations

import importlib.util
import json
import logging
import platform
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ivfusion_ros.backends.choice import available_backends
from ivfusion_ros.backends.table import BACKENDS, backend_names
from ivfusion_ros.commands.options import check_at_least, parse_size, write_json
from ivfusion_ros.errors import BackendError, DataError, refusing
from ivfusion_ros.evaluation.speed.benchmark import (
    PipelineRun,
    Times,
    alternate,
    detection_overhead,
    detector_networks,
    fusion_candidates,
    fusion_fusers,
    fusion_networks,
    layers,
    stage_candidates,
)
from ivfusion_ros.evaluation.speed.clocks import read_clocks
from ivfusion_ros.evaluation.speed.guard import TIMES, YARDSTICK, compare, yardstick
from ivfusion_ros.evaluation.speed.profile import by_kind
from ivfusion_ros.files import read_bytes
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.replay import summary
from ivfusion_ros.report import check_renderer, speed_page, write_page

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from pathlib import Path

    from ivfusion_ros.evaluation.speed.roofline import Peak
    from ivfusion_ros.pipeline.fuser import Fuser
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

Rows = dict[str, dict[str, Any]]

_MOST_BYTES = 1 << 26
"""Of a baseline's file."""


def run(options: argparse.Namespace) -> None:
    """Time and print. Raises IvfusionError."""
    size = parse_size(options.size)
    check_at_least(options, rounds=1)
    if options.html:
        check_renderer()
    for option, package in (("roofline", "onnx"), ("plot", "matplotlib")):
        if getattr(options, option) and importlib.util.find_spec(package) is None:
            raise BackendError(f"--{option} needs {package}; run: pip install {package}")
    if options.detector:
        resolve_model(options.detector, "detection")
    for model in options.model:
        resolve_model(model, "fusion")
    backends = [
        (name, precision)
        for name in options.backend or _usable_backends()
        for precision in BACKENDS[name].precisions
    ]
    clocks = read_clocks()
    if clocks:
        print("; ".join(f"{name}: {value}" for name, value in clocks.items()))
    baseline = None if options.compare is None else _read_baseline(options.compare)
    peak = _peak(options, backends)
    fusers = fusion_fusers(options.model, backends, options.threads)
    networks = fusion_candidates(fusers, size) | {YARDSTICK: yardstick()}
    least_ms = _least_ms(options, peak, size)
    network_rows = _table("network", networks, options.rounds, _warm_up(backends), least_ms)
    unit = {YARDSTICK: network_rows.pop(YARDSTICK)}
    profiles = _profiles(options, fusers, backends, size, peak) if options.profile else {}
    fusers.clear()
    networks.clear()
    pipeline_rows = _pipelines(options, backends, size)
    steps = stage_candidates(size)
    if options.detector:
        steps |= detection_overhead(options.detector, size, options.threads)
    step_rows = _table("step", steps, 20 * options.rounds, 2, compare=False)
    total = sum(row["median"] for row in step_rows.values())
    print(f"all steps around the networks: {total:.2f} ms a pair (sum of medians)")
    figures = {
        "machine": platform.processor() or platform.machine(),
        "clocks": clocks,
        "size": options.size,
        "networks": network_rows,
        **unit,
        "pipelines": pipeline_rows,
        "steps": step_rows,
        "steps_total_ms": round(total, 3),
        **({"peak": asdict(peak)} if peak else {}),
        **({"profiles": profiles} if options.profile else {}),
    }
    write_json(options.json, figures)
    if options.html:
        write_page(options.html, speed_page(f"bench, {options.size}", figures))
        log.info("page: %s", options.html)
    if options.plot:
        from ivfusion_ros.evaluation.speed.plot import write_plot

        write_plot(options.plot, network_rows, pipeline_rows, profiles)
        log.info("plot: %s", options.plot)
    if baseline is not None:
        _compare(network_rows | unit, baseline)


def _usable_backends() -> list[str]:
    status = available_backends()
    usable = [name for name in backend_names("fusion") if status[name].usable]
    if not usable:
        raise BackendError("no backend runs here; `ivfusion doctor` says what each of them is missing")
    return usable


def _peak(options: argparse.Namespace, backends: list[tuple[str, str]]) -> Peak | None:
    """The machine's, where it is asked for, or welcome and onnx is there to measure it."""
    if not options.roofline and not (options.profile and importlib.util.find_spec("onnx")):
        return None
    from ivfusion_ros.evaluation.speed.roofline import measure_peak

    peak = measure_peak(tqdm(backends, desc="peak", leave=False), options.threads)
    print(f"peak of this machine: {peak}")
    return peak


def _least_ms(options: argparse.Namespace, peak: Peak | None, size: Size) -> dict[str, float]:
    """Shortest time of each model by the machine's measured peak; empty unless asked for."""
    if peak is None or not options.roofline:
        return {}
    from ivfusion_ros.graphs.operations import count_operations

    images = size[0] * size[1] * (1 + 3 + 3)
    bounds = {}
    for model in options.model:
        path = resolve_model(model, "fusion")
        work = count_operations(path, size)[1]
        bounds[model] = peak.least_ms(work, path.stat().st_size + images)
    return bounds


def _profiles(
    options: argparse.Namespace,
    fusers: dict[str, Fuser],
    backends: list[tuple[str, str]],
    size: Size,
    peak: Peak | None,
) -> dict[str, Rows]:
    """Print and return the kinds of layers of each network, longest first."""
    networks = fusion_networks(fusers, size)
    if options.detector:
        networks |= detector_networks(options.detector, backends, size, options.threads)
    profiles = {}
    for name, network in tqdm(networks.items(), desc="profile", leave=False):
        rows = by_kind(layers(network, options.rounds), peak)
        if not rows:
            log.info("%s: its backend does not tell the times of layers", name)
            continue
        profiles[name] = rows
        print(
            f"{name:46} {'layers':>6} {'ms':>9} {'share':>7} {'G mult-adds':>12} {'MB':>9} {'of peak':>8}"
        )
        for kind, row in rows.items():
            print(f"    {kind[:42]:42} {row['layers']:6} {row['ms']:9.3f} {row['share']:7.1%} {_work(row)}")
    return profiles


def _work(row: dict[str, Any]) -> str:
    """Multiply-adds, bytes and share of the peak, blank where they are not known."""
    adds, moved, share = (row.get(key) for key in ("multiply_adds", "moved_bytes", "share_of_peak"))
    cells = ["" if adds is None else f"{adds / 1e9:.3f}", "" if moved is None else f"{moved / 1e6:.3f}"]
    return f"{cells[0]:>12} {cells[1]:>9} {'' if share is None else f'{share:.1%}':>8}"


def _read_baseline(path: Path) -> Rows:
    """The networks of an earlier run, and its yardstick. Raises DataError, OSError."""
    with refusing(DataError, str(path), "what `ivfusion bench --json` writes"):
        figures = json.loads(read_bytes(path, _MOST_BYTES))
        return {**figures["networks"], **{key: figures[key] for key in (YARDSTICK,) if key in figures}}


def _compare(rows: Rows, baseline: Rows) -> None:
    print(f"{'network, time now over time then':58} {'ratio':>10} {'95% interval':>18}")
    for name, ratio in compare(rows, baseline).items():
        print(f"{name:58} {ratio.ratio:10.3f} {ratio.low:9.3f}-{ratio.high:.3f}  {ratio.verdict}")


def _pipelines(options: argparse.Namespace, backends: list[tuple[str, str]], size: Size) -> Rows:
    """Times of whole pipelines, each with those of its stages."""
    rows: Rows = {}
    runs: dict[str, PipelineRun] = {}
    try:
        for model in options.model:
            for backend in backends:
                if options.detector and backend[0] not in backend_names("detection"):
                    continue
                built = PipelineRun(model, options.detector or "", backend, size, options.threads)
                runs[f"{model}: {built.pipeline.fuser.backend.description}"] = built
        warm_up = _warm_up(backends)
        alternate(runs, tqdm(range(options.rounds), desc="pipeline", leave=False), warm_up)
        rates = {name: one.pairs_per_second(options.rounds) for name, one in runs.items()}
    finally:
        for one in runs.values():
            one.pipeline.close()
    title = "pipeline, from host memory to host memory"
    print(f"{title:58} {'median ms':>10} {'p95 ms':>9} {'pairs/s':>9}")
    for name, one in runs.items():
        warm = {stage: values[warm_up:] for stage, values in one.stages_ms.items()}
        total = summary([sum(stages) for stages in zip(*warm.values(), strict=True)])
        stages = {stage: summary(values) for stage, values in warm.items()}
        rows[name] = {**total, "pairs_per_second": round(rates[name], 2), "stages": stages}
        print(f"{name:58} {total['median']:10.2f} {total['p95']:9.2f} {rates[name]:9.1f}")
        parts = ", ".join(f"{stage} {row['median']:.2f}" for stage, row in stages.items())
        print(f"    {parts}")
    return rows


def _table(
    title: str,
    candidates: dict[str, Callable[[], object]],
    rounds: int,
    warm_up: int,
    least_ms: dict[str, float] | None = None,
    *,
    compare: bool = True,
) -> Rows:
    """Print and return times. compare: the candidates do the same, so that their ratio says something."""
    times: Times = alternate(candidates, tqdm(range(rounds), desc=title, leave=False), warm_up)
    slowest = max(np.median(values) for name, values in times.items() if name != YARDSTICK)
    rows: Rows = {}
    bounds = least_ms or {}
    roof = f" {'of peak':>8}" if bounds else ""
    speed_up = f" {'speed-up':>9}" if compare else ""
    print(f"{title:58} {'median ms':>10} {'p95 ms':>9}{speed_up}{roof}")
    for name, values in sorted(times.items(), key=lambda item: -float(np.median(item[1]))):
        row: dict[str, Any] = {**summary(values), TIMES: [round(value, 4) for value in values]}
        line = f"{name:58} {row['median']:10.2f} {row['p95']:9.2f}"
        if compare and name != YARDSTICK:
            row["speed_up"] = round(float(slowest / np.median(values)), 2)
            line += f" {row['speed_up']:9.2f}"
        bound = bounds.get(name.partition(": ")[0])
        if bound is not None:
            row["least_ms"] = round(bound, 4)
            row["share_of_peak"] = round(bound / float(np.median(values)), 4)
            line += f" {row['share_of_peak']:8.1%}"
        print(line)
        rows[name] = row
    return rows


def _warm_up(backends: list[tuple[str, str]]) -> int:
    """Untimed runs: where engines are built and CUDA graphs recorded, it takes a few."""
    return max(BACKENDS[name].warm_ups for name, _ in backends)
