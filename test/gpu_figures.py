"""The parts of test/gpu.sh that are no command of the package: which backends, memory, and the table.

python test/gpu_figures.py backends           names of those that run on this GPU
python test/gpu_figures.py memory --json F    the GPU's and the process's memory over thousands of frames
python test/gpu_figures.py table FOLDER       FOLDER/README.md of what the steps left in FOLDER
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ivfusion_ros.backends import BACKENDS, available_backends, backend_names, load_backend
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.files import write_whole
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.fuser import Fuser

FRAMES = 10_000
SIZE = (640, 480)
MODEL = "refinefuse_lite"
READINGS = 10


def gpu_backends() -> list[str]:
    """Backends that compute on this machine's GPU."""
    status = available_backends()
    return [
        name
        for name in backend_names("fusion")
        if "gpu" in BACKENDS[name].devices and status[name].usable and on_gpu(name)
    ]


def on_gpu(name: str) -> bool:
    """Whether a backend that can run on either does so here; torch's CPU builds find no GPU."""
    if BACKENDS[name].devices == ("gpu",):
        return True
    backend = load_backend(resolve_model("mst"), name)
    found = "cuda" in backend.description
    backend.close()
    return found


def gpu_bytes_in_use() -> int | None:
    """Of the whole GPU; None where CUDA cannot be asked."""
    try:
        from cuda.bindings import runtime

        status, free, total = runtime.cudaMemGetInfo()
    except (ImportError, OSError, RuntimeError):
        return None
    return None if int(status) else int(total) - int(free)


def measure_memory(frames: int = FRAMES) -> dict[str, list[dict[str, Any]]]:
    """Readings over frames by backend: frames, seconds, MiB of the GPU, peak MiB of the process."""
    found = {}
    thermal, rgb = sample_pair(SIZE)
    for name in gpu_backends():
        fuser, begin_s, rows = Fuser(load_backend(resolve_model(MODEL), name)), time.monotonic(), []
        for count in tqdm(range(1, frames + 1), desc=name):
            fuser(thermal, rgb)
            if count in (10, 100) or count % (frames // READINGS) == 0:
                used = gpu_bytes_in_use()
                rows.append(
                    {
                        "frames": count,
                        "seconds": round(time.monotonic() - begin_s, 2),
                        "gpu_mib": None if used is None else round(used / 2**20, 1),
                        "peak_process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    }
                )
        fuser.backend.close()
        found[name] = rows
    return found


def read(folder: Path, name: str) -> Any:
    """What a step wrote, None where it did not."""
    path = folder / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def markdown(header: tuple[str, ...], rows: list[tuple[Any, ...]]) -> list[str]:
    """A table; empty without rows."""
    if not rows:
        return ["not run", ""]
    lines = [header, tuple("---" for _ in header), *rows]
    return [f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines] + [
        ""
    ]


def network_rows(figures: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (name, row["median"], row["p95"], row.get("least_ms"), percent(row.get("share_of_peak")))
        for name, row in sorted(figures["networks"].items(), key=lambda item: item[1]["median"])
    ]


def pipeline_rows(figures: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            name,
            row["median"],
            row["p95"],
            row["pairs_per_second"],
            ", ".join(f"{stage} {times['median']:.2f}" for stage, times in row["stages"].items()),
        )
        for name, row in figures["pipelines"].items()
    ]


def engine_rows(engines: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (
            row["model"],
            row["runs_in"],
            round(row["plan_bytes"] / 1e6, 1),
            row["build_seconds"],
            row["check"],
        )
        for row in engines.values()
    ]


def percent(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def report(folder: Path) -> str:
    """The page of one run, in Markdown; what was not run is said."""
    networks, pipeline, memory = (
        read(folder, f"{name}.json") for name in ("networks", "pipeline", "memory")
    )
    engines = {**(read(folder, "engines_half.json") or {}), **(read(folder, "engines_f32.json") or {})}
    steps = folder / "steps.tsv"
    lines = [line.split("\t") for line in steps.read_text().splitlines()] if steps.is_file() else []
    pipelines = pipeline_rows(pipeline or networks) if pipeline or networks else []
    readings = [
        (name, row["frames"], row["seconds"], row["gpu_mib"], row["peak_process_mib"])
        for name, rows in (memory or {}).items()
        for row in rows
    ]
    peak = (networks or {}).get("peak")
    bound = (
        f"Peak that was measured: {peak['operations_per_s'] / 1e12:.1f} T operations/s, " if peak else ""
    )
    bound += f"{peak['bytes_per_s'] / 1e9:.0f} GB/s, by {peak['by']}." if peak else "Peak: not run."
    parts = [
        ["# Figures of one GPU", "", "By test/gpu.sh, 640x480, times in ms.", "", bound, ""],
        ["## Networks, host to host", ""],
        markdown(
            ("network", "median", "p95", "shortest at the peak", "share of the peak"),
            network_rows(networks) if networks else [],
        ),
        ["## Pair to fused image and detections, host to host", ""],
        markdown(("pipeline", "median", "p95", "pairs/s", "stages"), pipelines),
        ["## Engines", ""],
        markdown(("model", "runs in", "MB", "built in s", "self-test"), engine_rows(engines)),
        [f"## Memory, {MODEL}", ""],
        markdown(("backend", "frames", "s", "GPU MiB", "peak MiB of the process"), readings),
        ["## Steps", ""],
        markdown(("step", "exit status", "s"), [tuple(line) for line in lines]),
    ]
    return "\n".join(line for part in parts for line in part)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("backends")
    commands.add_parser("memory").add_argument("--json", type=Path, required=True)
    commands.add_parser("table").add_argument("folder", type=Path)
    options = parser.parse_args()
    try:
        if options.command == "backends":
            names = gpu_backends()
            if not names:
                print("no backend finds a GPU here; `ivfusion doctor` says why", file=sys.stderr)
                return 1
            print(*names)
        elif options.command == "memory":
            write_whole(options.json, json.dumps(measure_memory(), indent=1).encode())
        else:
            write_whole(options.folder / "README.md", report(options.folder).encode())
    except IvfusionError as error:
        print(f"gpu_figures: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
