"""Write docs/tradeoff.md and docs/tradeoff.png: what each fusion network gives and what it takes.

    python docs/tradeoff.py --pairs PAIRS --videos VIDEO ... --boxes BOXES --work FOLDER

PAIRS and VIDEO are folders with thermal/ and rgb/ (VIDEO: consecutive frames), BOXES a data set of
`ivfusion dataset`. The figures are those of `ivfusion eval`, `bench` and `eval-detection`, whose reports
stay in FOLDER; what is there already is not computed again.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ivfusion_ros.cli import main as ivfusion
from ivfusion_ros.evaluation.fusion.plots import COLOURS
from ivfusion_ros.evaluation.fusion.tables import ALL, to_markdown
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.models import read_models

if TYPE_CHECKING:
    from collections.abc import Mapping

METRICS = ("VIF", "Qabf", "SSIM", "SCD", "EN", "AG")
SIZE = (640, 480)
BACKENDS = ("onnxruntime", "openvino")
TICKS_MS = (5, 10, 30, 100, 300, 1000)

Rows = dict[str, dict[str, Any]]
"""By network."""


def main() -> None:
    """Measure what is missing, and write the page and the plot beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--videos", required=True, nargs="+")
    parser.add_argument("--boxes", required=True)
    parser.add_argument("--work", required=True, type=Path)
    parser.add_argument("--detector", default="yolov5n")
    parser.add_argument("--rounds", default="20")
    options = parser.parse_args()
    names = [entry.name for entry in read_models().values() if entry.task == "fusion"]
    quality = _means(_report(options.work / "quality", "eval", "--data", options.pairs, "--model", *names))
    flicker = _means(
        _report(
            options.work / "flicker",
            *("eval", "--sequence", "--data", *options.videos, "--metrics", "AG", "--model", *names),
        )
    )
    found = _report(
        options.work / "detection",
        *("eval-detection", "--data", options.boxes, "--detector", options.detector, "--model", *names),
    )
    times = _times(options.work / "bench.json", names, options.rounds)
    rows: Rows = {}
    for name in names:
        parameters, multiply_adds = count_operations(read_models()[name].path, SIZE)
        rows[name] = {
            "parameters, M": parameters / 1e6,
            "multiply-adds, G": multiply_adds / 1e9,
            **{f"{backend}, ms": median for backend, median in times[name].items()},
            **{metric: quality[name][metric] for metric in METRICS},
            "Flicker": flicker[name]["Flicker"],
            **{f"AP50 {subset}": _ap50(found, subset, name) for subset in ("all", "night")},
        }
    cameras = {
        camera: {f"AP50 {subset}": _ap50(found, subset, camera) for subset in ("all", "night")}
        for camera in ("thermal", "rgb")
    }
    here = Path(__file__)
    here.with_suffix(".md").write_text(_page(rows, cameras, options.detector), encoding="utf-8")
    _plot(here.with_suffix(".png"), rows)


def _report(folder: Path, *command: str) -> dict[str, Any]:
    """The JSON of an evaluation, computed unless it is there."""
    path = folder / "results.json"
    if not path.exists():
        _run(*command, "--out", str(folder))
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _times(path: Path, names: list[str], rounds: str) -> dict[str, dict[str, float]]:
    """Median ms of each network by what runs it."""
    if not path.exists():
        _run("bench", "--model", *names, "--backend", *BACKENDS, "--rounds", rounds, "--json", str(path))
    times: dict[str, dict[str, float]] = {name: {} for name in names}
    for label, row in json.loads(path.read_text(encoding="utf-8"))["networks"].items():
        name, description = label.split(": ", 1)
        times[name][description.split(" on CPU")[0]] = row["median"]
    return times


def _run(*command: str) -> None:
    status = ivfusion(list(command))
    if status:
        raise SystemExit(status)


def _means(report: Mapping[str, Any]) -> Rows:
    """Means by network, over all data sets."""
    rows = report["means"]
    whole = ALL if any(row["data"] == ALL for row in rows) else rows[0]["data"]
    return {row["network"]: row for row in rows if row["data"] == whole}


def _ap50(report: Mapping[str, Any], subset: str, images: str) -> float:
    return next(
        float(row["AP50"])
        for row in report["results"]
        if (row["subset"], row["images"]) == (subset, images)
    )


def _page(rows: Rows, cameras: Rows, detector: str) -> str:
    table = [{"network": name, **_rounded(row)} for name, row in rows.items()]
    ends = [{"images": name, **_rounded(row)} for name, row in cameras.items()]
    return f"""# Quality and cost of each network

Written by `python docs/tradeoff.py` on a machine without a GPU. Times are medians from image to image at
{SIZE[0]}x{SIZE[1]} on all its cores, of one run: compare them within this table only. VIF to AG are means
over pairs that were never trained on. Flicker, of consecutive frames, is better when lower. AP50 is of the
objects that `{detector}` finds in held-out scenes.

{to_markdown(table)}
For comparison, the cameras alone:

{to_markdown(ends)}
![Quality against time](tradeoff.png)
"""


def _rounded(row: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{value:.4g}" for name, value in row.items()}


def _plot(path: Path, rows: Rows) -> None:
    """VIF, Qabf and SSIM against the time on the fastest backend."""
    figure = Figure(figsize=(11, 4.1), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, metric in zip(figure.subplots(1, 3), ("VIF", "Qabf", "SSIM"), strict=True):
        for index, (name, row) in enumerate(rows.items()):
            fastest = min(value for label, value in row.items() if label.endswith(", ms"))
            axes.scatter(fastest, row[metric], s=70, color=COLOURS[index % len(COLOURS)], label=name)
        axes.set_xscale("log")
        axes.set_xticks(TICKS_MS, [str(tick) for tick in TICKS_MS])
        axes.minorticks_off()
        axes.set_title(f"{metric} \N{UPWARDS ARROW}", fontsize=11, fontweight="bold", loc="left")
        axes.set_xlabel(f"ms at {SIZE[0]}x{SIZE[1]}, fastest backend")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    # Beside no point, and of all panels.
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=len(labels), frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
