"""Write docs/speed.md and its plots: where the time of each network, of a pipeline and of a replay goes.

    python docs/speed.py --work FOLDER

The figures are those of `ivfusion bench --profile --roofline` and `ivfusion replay`, whose reports stay in
FOLDER; what is there already is not measured again. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.cli import main as ivfusion
from ivfusion_ros.commands.demo import true_calibration
from ivfusion_ros.evaluation.fusion.plots import COLOURS
from ivfusion_ros.evaluation.fusion.tables import to_markdown
from ivfusion_ros.evaluation.speed.roofline import Peak
from ivfusion_ros.geometry.calibration import write_calibration
from ivfusion_ros.models import read_models
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

BACKENDS = ("openvino", "onnxruntime")
SECONDS = 10.0
"""Of the bags that are replayed."""

SIZES = {(640, 480): 8.0, (1280, 1024): 5.0, (3840, 2160): 1.0}
"""Of the RGB images in bags that are replayed by size, and their seconds; thermal images are 640x512."""
SIZED = ("refinefuse_lite",)
"""RefineFuse would take a quarter of an hour; docs/large-images.md has its ratios."""
MOST_MB = "import re,sys; from ivfusion_ros.cli import main; code = main(sys.argv[1:]); " + (
    "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]); sys.exit(code)"
)
"""A program that runs a command and prints the most memory that it had, kB."""

WORK = {
    "convolutions": (
        "Conv FusedConv NhwcFusedConv QLinearConv ConvTranspose Convolution GroupConvolution Deconvolution"
    ),
    "layout": (
        "Reorder ReorderInput ReorderOutput Transpose DepthToSpace SpaceToDepth Split VariadicSplit Concat "
        "Concatenation Slice StridedSlice Reshape Unsqueeze Squeeze Gather Pad Expand Broadcast Tile"
    ),
    "arithmetic": (
        "Subgraph Eltwise Math Add Sub Mul Div Max Min Cast Convert Clip LeakyRelu PRelu Relu Erf "
        "Sigmoid QuickGelu Sqrt Abs Where Round Softmax SoftMax MVN LayerNormalization Tanh Exp Pow "
        "FakeQuantize QuantizeLinear DequantizeLinear"
    ),
    "sizes and reductions": (
        "Interpolate Resize Upsample Pooling MaxPool AveragePool GlobalAveragePool Reduce ReduceMean "
        "ReduceMax ReduceSum ReduceMin TopK"
    ),
    "matrix products": "MatMul FusedMatMul FullyConnected Gemm FusedGemm",
}
"""What backends' words for layers stand for; what is in no list is "others"."""
OTHERS = "others"

Rows = dict[str, dict[str, Any]]


def main() -> None:
    """Measure what is missing, and write the page and the plots beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--rounds", default="10", help="runs of each network (default: %(default)s)")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    fusion, detection = (
        [entry.name for entry in read_models().values() if entry.task == task]
        for task in ("fusion", "detection")
    )
    first, *others = detection
    bench = _bench(options, first, fusion)
    profiles = bench["profiles"]
    for detector in others:
        # One fusion network, the smallest: it has been profiled already.
        found = _bench(options, detector, ["refinefuse_lite"])["profiles"]
        profiles |= {name: rows for name, rows in found.items() if name.startswith(f"{detector}:")}
    replays = _replays(options.work)
    by_size = _by_size(options.work)
    here = Path(__file__)
    here.with_suffix(".md").write_text(_page(bench, profiles, replays, by_size), encoding="utf-8")
    peak = Peak(**bench["peak"])
    totals = {f"{name}, {_ms(row['ms'])} ms": row["work"] for name, row in _totals(profiles, peak).items()}
    _plot(here.with_name("speed-layers.png"), totals, "share of the time, %")
    stages = {name: _shares(_medians(row["stages"])) for name, row in bench["pipelines"].items()}
    named = {f"{name}, {_ms(bench['pipelines'][name]['median'])} ms": row for name, row in stages.items()}
    _plot(here.with_name("speed-stages.png"), named, "share of the time, %")


def _bench(options: argparse.Namespace, detector: str, models: Iterable[str]) -> dict[str, Any]:
    """The report of a benchmark with this detector, measured unless it is there."""
    words = ("--model", *models, "--detector", detector, "--backend", *BACKENDS, "--rounds", options.rounds)
    return _report(options.work / f"{detector}.json", "bench", "--profile", "--roofline", *words)


def _report(path: Path, *command: str) -> dict[str, Any]:
    """The JSON of a command, which runs unless it is there."""
    if not path.exists():
        status = ivfusion([*command, "--json", str(path)])
        if status:
            raise SystemExit(status)
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report


def _replays(work: Path) -> Rows:
    """Reports of replays of the same scene by how its images are recorded."""
    replays = {}
    for name in ("raw", "compressed"):
        bag, report = work / f"{name}.mcap", work / f"replay_{name}.json"
        if not bag.exists() and not report.exists():
            with BagWriter(bag, compressed=name == "compressed") as writer:
                for camera, frame in Simulator(SceneConfig(seed=7, duration_s=SECONDS)).frames():
                    writer.write_frame(camera, frame)
        words = ["replay", str(bag), str(work / f"fused_{name}.mcap"), "--force"]
        words += ["--compressed"] if name == "compressed" else []
        replays[name] = _report(report, *words)
    return replays


def _by_size(work: Path) -> list[dict[str, str]]:
    """Rates and memory of replays by the size of the RGB images, in processes of their own."""
    rows = []
    for (width, height), seconds in SIZES.items():
        size = f"{width}x{height}"
        bag, calibration = work / f"{size}.mcap", work / f"{size}.yaml"
        if not calibration.exists():
            rig = RigConfig(
                RgbConfig(width, height), ThermalCameraConfig(rate_hz=30.0, clock_offset_ms=0.0)
            )
            simulator = Simulator(SceneConfig(seed=7, duration_s=seconds), rig)
            with BagWriter(bag, overwrite=True) as writer:
                for camera, frame in simulator.frames():
                    writer.write_frame(camera, frame)
            write_calibration(calibration, true_calibration(simulator))
        for model in SIZED:
            for resolution in ("full", "thermal"):
                row = _sized(work, bag, calibration, model, resolution)
                if row:
                    rows.append({"RGB": size, "network": model, "fusion.resolution": resolution} | row)
    return rows


def _sized(work: Path, bag: Path, calibration: Path, model: str, resolution: str) -> dict[str, str]:
    """A replay's rate and most memory, measured unless they are there; nothing of one that is no choice."""
    report = work / f"{bag.stem}_{model}_{resolution}.json"
    if resolution == "thermal" and bag.stem == "640x480":
        # No finer than the thermal camera.
        return {}
    if not report.exists():
        fused = work / "fused.mcap"
        words = ["replay", str(bag), str(fused), "--force", "--model", model, "--json", str(report)]
        words += ["--set", f"fusion.resolution={resolution}"]
        words += ["--set", f"registration.calibration={json.dumps(str(calibration))}"]
        command = [sys.executable, "-c", MOST_MB, *words]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        fused.unlink()
        figures = json.loads(report.read_text(encoding="utf-8"))
        figures["most_mb"] = int(done.stdout.split()[-1]) // 1024
        report.write_text(json.dumps(figures), encoding="utf-8")
    figures = json.loads(report.read_text(encoding="utf-8"))
    stages = {stage: _ms(ms) for stage, ms in _medians(figures["stages_ms"]).items()}
    return {"pairs/s": f"{figures['pairs_per_second']:.3g}", "most MB": str(figures["most_mb"])} | stages


def _class_of(kind: str) -> str:
    return next((work for work, kinds in WORK.items() if kind in kinds.split()), OTHERS)


def _totals(profiles: Mapping[str, Rows], peak: Peak) -> Rows:
    """By network: ms of all its layers, ms at the peak, and the share of each class of work, in percent."""
    totals: Rows = {}
    for name, rows in profiles.items():
        work = dict.fromkeys((*WORK, OTHERS), 0.0)
        for kind, row in rows.items():
            work[_class_of(kind)] += row["ms"]
        adds = sum(row["multiply_adds"] or 0 for row in rows.values())
        totals[name] = {
            "ms": sum(work.values()),
            "least_ms": 2e3 * adds / peak.operations_per_s,
            "work": _shares(work),
        }
    return totals


def _shares(times: Mapping[str, float]) -> dict[str, float]:
    """Of each part, in percent."""
    total = sum(times.values())
    return {name: 100 * value / total for name, value in times.items()}


def _medians(stages: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {name: row["median"] for name, row in stages.items()}


def _page(
    bench: Mapping[str, Any],
    profiles: Mapping[str, Rows],
    replays: Rows,
    by_size: Sequence[Mapping[str, str]],
) -> str:
    peak = Peak(**bench["peak"])
    networks = [
        {
            "network": name,
            "ms": _ms(row["ms"]),
            "ms at the peak": _ms(row["least_ms"]),
            **{f"{work}, %": f"{share:.0f}" for work, share in row["work"].items()},
        }
        for name, row in _totals(profiles, peak).items()
    ]
    pipelines = [
        {"pipeline": name, "ms": _ms(row["median"]), "pairs/s": f"{row['pairs_per_second']:.3g}"}
        | {stage: _ms(ms) for stage, ms in _medians(row["stages"]).items()}
        for name, row in bench["pipelines"].items()
    ]
    steps = [{"step": name, "ms": _ms(row["median"])} for name, row in bench["steps"].items()]
    whole = [
        {"bag": name, "pairs/s": f"{row['pairs_per_second']:.3g}"}
        | {stage: _ms(ms) for stage, ms in _medians(row["stages_ms"]).items()}
        for name, row in replays.items()
    ]
    kinds = "\n".join(_kinds(name, rows) for name, rows in _fastest(profiles).items())
    return f"""# Where the time goes

Written by `python docs/speed.py --work FOLDER` on a machine with {os.cpu_count()} cores and no GPU, of
`ivfusion bench --profile --roofline` and `ivfusion replay`. Images are {bench["size"]}, times are of one
run: compare them within this page only. The measured peak of the machine is
{peak}.

## Networks by kind of layer

Times are sums over the layers; measuring each makes them a little longer than they are in use. "ms at the
peak" is what the multiply-adds alone would take at the measured peak, which is that of wide convolutions in
floating point: int8 may do better.

![Shares of each kind of work](speed-layers.png)

{to_markdown(networks)}
## Pipelines by stage

From both images in memory to the fused image and its detections, by `{_detector(bench)}`. Medians in ms;
pairs/s while one pair is begun as the one before ends.

![Shares of each stage](speed-stages.png)

{to_markdown(pipelines)}
The steps around the networks, one by one, some of which only some settings take:

{to_markdown(steps)}
## From bag to bag

`ivfusion replay` of {SECONDS:g} simulated seconds at its default settings. raw: images as they are, in and
out; compressed: JPEG for colour and PNG for thermal in, JPEG out. Medians of each stage in ms; several
threads share the stages.

{to_markdown(whole)}
## By size

The same of raw images with thermal images of 640x512, and the most memory that the process had, by the size
of the RGB images; [Large images](large-images.md) tells what `fusion.resolution` does.

{to_markdown(by_size)}
## Layers of each network

By its fastest backend. "of peak" is the time that the machine's peak of arithmetic and of copying allows
over the time that was measured. Above 100%: what stays in a cache is faster than a copy in memory.

{kinds}"""


def _detector(bench: Mapping[str, Any]) -> str:
    fusion = {name.partition(":")[0] for name in bench["networks"]}
    return next(name for name in (key.partition(":")[0] for key in bench["profiles"]) if name not in fusion)


def _fastest(profiles: Mapping[str, Rows]) -> dict[str, Rows]:
    """Of each network the profile with the least time."""
    found: dict[str, str] = {}
    for name, rows in profiles.items():
        model = name.partition(":")[0]
        if model not in found or _sum(rows) < _sum(profiles[found[model]]):
            found[model] = name
    return {name: profiles[name] for name in found.values()}


def _sum(rows: Rows) -> float:
    """Ms of all layers."""
    return float(sum(row["ms"] for row in rows.values()))


def _ms(milliseconds: float) -> str:
    """With three digits."""
    return f"{milliseconds:.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def _kinds(name: str, rows: Rows) -> str:
    table = [
        {
            "layers": f"{row['layers']} {kind}",
            "ms": _ms(row["ms"]),
            "share, %": f"{100 * row['share']:.0f}",
            "G multiply-adds": f"{row['multiply_adds'] / 1e9:.3g}" if row["multiply_adds"] else "",
            "MB": f"{row['moved_bytes'] / 1e6:.3g}" if row["moved_bytes"] else "",
            "of peak, %": f"{100 * row['share_of_peak']:.0f}" if row.get("share_of_peak") else "",
        }
        for kind, row in rows.items()
    ]
    return f"### {name}\n\n{to_markdown(table)}"


def _plot(path: Path, rows: Mapping[str, Mapping[str, float]], title: str) -> None:
    """A bar of 100% for each row, of its parts."""
    figure = Figure(figsize=(10, 1.3 + 0.27 * len(rows)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ends = [0.0] * len(rows)
    for index, part in enumerate(dict.fromkeys(part for row in rows.values() for part in row)):
        widths = [row.get(part, 0.0) for row in rows.values()]
        axes.barh(range(len(rows)), widths, left=ends, color=COLOURS[index % len(COLOURS)], label=part)
        ends = [end + width for end, width in zip(ends, widths, strict=True)]
    axes.set_yticks(range(len(rows)), list(rows), fontsize=7)
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel(title, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    # Above the bars, as they leave no room.
    figure.legend(loc="outside upper left", ncols=7, frameon=False, fontsize=8)
    figure.savefig(path)


if __name__ == "__main__":
    main()
