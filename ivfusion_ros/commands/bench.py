"""`ivfusion bench`: networks, backends and the steps around them, timed side by side."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Callable

import numpy as np
from tqdm import tqdm

from ivfusion_ros.backends import BACKENDS, available_backends
from ivfusion_ros.benchmark import Times, alternate, detection_overhead, fusion_candidates, stage_candidates
from ivfusion_ros.commands.options import add_json_option, write_json
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.replay import summary

PRECISIONS = {"openvino": ("auto", "f32")}
"""Backends that offer more than one precision on a CPU."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--model", nargs="+", default=["refinefuse"], help="fusion models: names or ONNX files"
    )
    parser.add_argument("--backend", nargs="+", choices=tuple(BACKENDS), help="default: all that run here")
    parser.add_argument("--detector", help="also time the steps around this detection model")
    parser.add_argument("--size", default="640x480", metavar="WxH", help="image size (default 640x480)")
    parser.add_argument("--rounds", type=int, default=10, help="runs of each network (default 10)")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    add_json_option(parser)


def run(options: argparse.Namespace) -> None:
    """Time and print. Raises IvfusionError."""
    size = _size(options.size)
    if options.rounds < 1:
        raise ConfigError(f"--rounds is {options.rounds}, expected at least 1")
    usable = [name for name, status in available_backends().items() if status.usable]
    backends = [
        (name, precision)
        for name in options.backend or usable
        for precision in PRECISIONS.get(name, ("auto",))
    ]
    networks = fusion_candidates(options.model, backends, size, options.threads)
    steps = stage_candidates(size)
    if options.detector:
        steps |= detection_overhead(options.detector, size)
    network_rows = _table("network", networks, options.rounds)
    step_rows = _table("step", steps, 20 * options.rounds)
    total = sum(row["median"] for row in step_rows.values())
    print(f"all steps around the networks: {total:.2f} ms a pair (sum of medians)")
    figures = {
        "machine": platform.processor() or platform.machine(),
        "size": options.size,
        "networks": network_rows,
        "steps": step_rows,
        "steps_total_ms": round(total, 3),
    }
    write_json(options.json, figures)


def _table(
    title: str, candidates: dict[str, Callable[[], object]], rounds: int
) -> dict[str, dict[str, float]]:
    times: Times = alternate(candidates, tqdm(range(rounds), desc=title, leave=False))
    slowest = max(np.median(values) for values in times.values())
    rows = {}
    print(f"{title:58} {'median ms':>10} {'p95 ms':>9} {'speed-up':>9}")
    for name, values in sorted(times.items(), key=lambda item: -float(np.median(item[1]))):
        row = summary(values)
        row["speed_up"] = round(float(slowest / np.median(values)), 2)
        print(f"{name:58} {row['median']:10.2f} {row['p95']:9.2f} {row['speed_up']:9.2f}")
        rows[name] = row
    return rows


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) >= 8 and int(height) >= 8):
        raise ConfigError(f"--size is {text!r}, expected WIDTHxHEIGHT of at least 8x8, for example 640x480")
    return int(width), int(height)
