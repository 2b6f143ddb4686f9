"""The parts of test/gpu.sh that are no command of the package: which backends, measures, and the table.

python test/gpu_figures.py backends            names of those that run on this GPU (--cpu: on a CPU)
python test/gpu_figures.py MEASURE --json F    parity, graphs, timeline or memory; see gpu_measures.py
python test/gpu_figures.py table FOLDER        FOLDER/README.md of what the steps left in FOLDER
python test/gpu_figures.py docs FOLDER         the tables of FOLDER/README.md into docs/jetson.md
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import gpu_measures
from places import ROOT

from ivfusion_ros.backends import is_usable
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.files import whole_file, write_whole

PAGE = ROOT / "docs" / "jetson.md"
BEGIN, END = "<!-- figures of a GPU: test/gpu_figures.py docs -->", "<!-- end of the figures -->"
DRY = "A dry run on a CPU, to see that the script works: none of these figures is one of a GPU."
NOT_RUN = "not run"
_SHOWN_PAIRS = 8
"""The last ones, in the timeline's plot."""

Rows = list[tuple[Any, ...]]


def read(folder: Path, name: str) -> Any:
    """What a step wrote, None where it did not."""
    path = folder / name
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def markdown(header: tuple[str, ...], rows: Rows) -> list[str]:
    """A table; what was not run is said."""
    if not rows:
        return [NOT_RUN, ""]
    lines = [header, tuple("---" for _ in header), *rows]
    return [f"| {' | '.join('' if cell is None else str(cell) for cell in line)} |" for line in lines] + [
        ""
    ]


def network_rows(figures: dict[str, Any]) -> Rows:
    return [
        (name, row["median"], row["p95"], row.get("least_ms"), percent(row.get("share_of_peak")))
        for name, row in sorted(figures["networks"].items(), key=lambda item: item[1]["median"])
    ]


def graph_rows(figures: dict[str, Any], least_ms: dict[str, float]) -> Rows:
    """On the GPU alone; the share of the peak is that of the graph, else of the calls."""
    rows = []
    for name, row in figures.items():
        graph, eager = row["graph_ms"], row["eager_ms"]
        least = least_ms.get(name.partition(": ")[0])
        ratio = None if not graph else f"{eager / graph:.1f}"
        share = None if least is None else percent(least / (graph or eager))
        rows.append((name, graph or NOT_RUN, eager, ratio, share))
    return rows


def pipeline_rows(figures: dict[str, Any]) -> Rows:
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


def timeline_rows(folder: Path) -> Rows:
    found = [json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("timeline_*.json"))]
    return [
        (
            f"{row['model']}: {row['backend']}, {row['detector'] or 'no detector'}",
            "before the networks" if row["on_gpu"] else "with the fused image",
            row["first_half_ms"],
            row["second_half_ms"],
            row["pairs_per_second"],
            percent(row["hidden"]),
        )
        for row in found
    ]


def engine_rows(engines: dict[str, Any]) -> Rows:
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


def machine(folder: Path) -> list[str]:
    """GPU, driver and clocks, as doctor found them."""
    found = read(folder, "doctor.json") or {}
    rows = [*(found.get("gpu") or {}).items(), *(found.get("clocks") or {}).items()]
    return markdown(("machine", ""), rows)


def tables(folder: Path) -> list[str]:
    """What was measured, and what was not run."""
    networks, pipeline, memory, graphs, parity = (
        read(folder, f"{name}.json") for name in ("networks", "pipeline", "memory", "graphs", "parity")
    )
    engines = {**(read(folder, "engines_half.json") or {}), **(read(folder, "engines_f32.json") or {})}
    least_ms = {
        name.partition(": ")[0]: row["least_ms"]
        for name, row in (networks or {"networks": {}})["networks"].items()
        if "least_ms" in row
    }
    readings = [
        (name, row["frames"], row["seconds"], row["gpu_mib"], row["peak_process_mib"])
        for name, rows in (memory or {}).items()
        for row in rows
    ]
    peak = (networks or {}).get("peak")
    bound = f"Peak: {NOT_RUN}."
    if peak:
        bound = f"Peak that was measured: {peak['operations_per_s'] / 1e12:.1f} T operations/s, "
        bound += f"{peak['bytes_per_s'] / 1e9:.0f} GB/s, by {peak['by']}."
    parts: list[tuple[str, tuple[str, ...], Rows]] = [
        (
            "Networks on the GPU alone, ms",
            ("network", "by CUDA graph", "call by call", "ratio", "share of the peak"),
            graph_rows(graphs or {}, least_ms),
        ),
        (
            "Networks, host to host, ms",
            ("network", "median", "p95", "shortest at the peak", "share of the peak"),
            network_rows(networks) if networks else [],
        ),
        (
            "Pair to fused image and detections, host to host, ms",
            ("pipeline", "median", "p95", "pairs/s", "stages"),
            pipeline_rows(pipeline or networks) if pipeline or networks else [],
        ),
        (
            "Two pairs in flight, ms",
            (
                "pipeline",
                "first half ends",
                "first half",
                "second half",
                "pairs/s",
                "of the shorter hidden",
            ),
            timeline_rows(folder),
        ),
        (
            "Beside ONNX Runtime on the CPU",
            ("model", "passes", "errors"),
            [(name, "yes" if row["passed"] else "NO", row["text"]) for name, row in (parity or {}).items()],
        ),
        ("Engines", ("model", "runs in", "MB", "built in s", "self-test"), engine_rows(engines)),
        (
            f"Memory, {gpu_measures.MODEL}",
            ("backend", "frames", "s", "GPU MiB", "peak MiB of the process"),
            readings,
        ),
    ]
    lines = [bound, ""]
    for title, header, rows in parts:
        lines += [f"### {title}", "", *markdown(header, rows)]
    return lines


def report(folder: Path, *, cpu: bool = False) -> str:
    """The page of one run, in Markdown."""
    steps = folder / "steps.tsv"
    lines = [line.split("\t") for line in steps.read_text().splitlines()] if steps.is_file() else []
    head = [
        "# Figures of one GPU",
        "",
        DRY if cpu else "By test/gpu.sh; 640x480 unless said otherwise.",
        "",
    ]
    end = ["## Steps", "", *markdown(("step", "exit status", "s"), [tuple(line) for line in lines])]
    return "\n".join([*head, *machine(folder), "## Measured", "", *tables(folder), *end])


def into_docs(folder: Path, page: Path = PAGE) -> None:
    """Put a run's machine and tables between the marks of a page. Raises SystemExit for a dry run."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    if DRY in text:
        raise SystemExit(f"gpu_figures: {folder} is a dry run on a CPU; its figures are not for the docs")
    body = text.split("\n", 2)[2].partition("## Steps")[0].replace("## Measured\n\n", "").strip()
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    write_whole(page, f"{before}{BEGIN}\n\n{body}\n\n{END}{after}".encode())


def plot_timeline(path: Path, found: dict[str, Any]) -> None:
    """Draw the two threads' spans of the last pairs. Raises ImportError where matplotlib is missing."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    ends_ms = sorted(end for half, _, end in found["spans"] if half == "second")
    for row, half in enumerate(("second", "first")):
        spans = [(start, end - start) for name, start, end in found["spans"] if name == half]
        axes.broken_barh(spans, (row - 0.4, 0.8), edgecolor="white", facecolor=f"C{row}")
    axes.set_yticks([0, 1], ["second half", "first half"])
    axes.set_xlim(0.0 if len(ends_ms) <= _SHOWN_PAIRS else ends_ms[-_SHOWN_PAIRS - 1], ends_ms[-1])
    axes.set_xlabel("ms")
    axes.set_title(f"{found['backend']}: {found['hidden']:.0%} of the shorter half hidden")
    with whole_file(path) as staged:
        figure.savefig(staged, format="png", dpi=120)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """What the command named is measured by."""
    width, _, height = options.size.partition("x")
    size, names = (int(width), int(height)), options.backends
    if options.command == "parity":
        return gpu_measures.parity(names, size)
    if options.command == "memory":
        return gpu_measures.memory(names, size, options.frames)
    if options.command == "graphs":
        able = ["torch"] if options.cpu and is_usable("torch") else gpu_measures.backends()
        return gpu_measures.graphs(able, size, options.runs)
    (name,) = names
    found = gpu_measures.timeline("refinefuse", options.detector, name, size, options.pairs)
    try:
        plot_timeline(options.json.with_suffix(".png"), found)
    except ImportError as error:
        print(f"gpu_figures: no plot: {error}", file=sys.stderr)
    return found


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("backends", "parity", "graphs", "timeline", "memory", "table", "docs"):
        command = commands.add_parser(name)
        command.add_argument("--cpu", action="store_true")
        if name in ("table", "docs"):
            command.add_argument("folder", type=Path)
        elif name != "backends":
            command.add_argument("--json", type=Path, required=True)
            command.add_argument("--backends", nargs="+", default=[])
            command.add_argument("--size", default="640x480")
            command.add_argument("--detector", default="yolov5n")
            for count, default in (("frames", 10_000), ("runs", 100), ("pairs", 300)):
                command.add_argument(f"--{count}", type=int, default=default)
    return parser


def main() -> int:
    options = build_parser().parse_args()
    try:
        if options.command == "backends":
            names = gpu_measures.backends(cpu=options.cpu)
            if not names:
                print("no backend finds a GPU here; `ivfusion doctor` says why", file=sys.stderr)
                return 1
            print(*names)
        elif options.command == "table":
            write_whole(options.folder / "README.md", report(options.folder, cpu=options.cpu).encode())
        elif options.command == "docs":
            into_docs(options.folder)
        else:
            write_whole(options.json, json.dumps(measure(options), indent=1).encode())
    except IvfusionError as error:
        print(f"gpu_figures: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
