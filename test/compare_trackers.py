"""Our tracker and other people's, with a camera that stands, shakes or turns.

Simulated streets with made-up detections (see measure_tracking), and with --clips FOLDER (rgb/ and
thermal/, films of the same names) what the detector finds there. Others run where they are installed: see
other_trackers. --page docs/tracking.md puts the tables into that page.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from clip_tracks import shaken, watch
from measure_tracking import NAMES, SKILLS, Moment, figures, made_up, play
from other_trackers import other_trackers
from turning_street import Motion, Shot, film

from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, TrackingConfig
from ivfusion_ros.detection.tracking import ByteTracker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from measure_tracking import Tracker

    from ivfusion_ros.types import Detections, Image

MOTIONS: tuple[Motion, ...] = ("still", "shaking", "turning")
Rows = dict[str, dict[str, float]]
"""Of a tracker: its figures, and `ms`, the median time of a call."""
Films = list[list[Moment]]


class Timed:
    """A tracker, and the seconds that each of its calls took."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self.spent_s: list[float] = []

    def __call__(self, detections: Detections, stamp_ns: int, image: Image | None = None) -> Detections:
        start = time.perf_counter()
        found = self._tracker(detections, stamp_ns, image)
        self.spent_s.append(time.perf_counter() - start)
        return found


def trackers(rate_hz: float) -> dict[str, Callable[[], Tracker]]:
    def ours(camera_motion: bool) -> ByteTracker:
        return ByteTracker(TrackingConfig(tracker="bytetrack", camera_motion=camera_motion))

    return {
        "**this package**": lambda: ours(camera_motion=True),
        "with camera_motion off": lambda: ours(camera_motion=False),
        **other_trackers(rate_hz),
    }


def compare(films: Films, rate_hz: float) -> Rows:
    rows = {}
    for name, make in trackers(rate_hz).items():
        timed = [Timed(make()) for _ in films]
        played = [play(moments, tracker) for moments, tracker in zip(films, timed, strict=True)]
        spent = np.concatenate([tracker.spent_s for tracker in timed])
        rows[name] = {**figures(played), "ms": 1e3 * float(np.median(spent))}
        print(f"{rate_hz:5g} Hz {name:32}", told(rows[name]), f"{rows[name]['ms']:.2f} ms", flush=True)
    return rows


def told(row: dict[str, float]) -> str:
    return f"{row['idf1']:.3f} {row['mota']:.3f} {row['num_switches']:.0f}"


def lost(row: dict[str, float]) -> str:
    return f"{row['num_switches']:.0f} {row['num_misses']:.0f}"


def imagined(shots: Sequence[Shot], seed: int) -> list[Moment]:
    """A street as a made-up detector sees it."""
    random, skill = np.random.default_rng(seed), SKILLS["fused"]
    return [
        Moment(round(shot.time_s * 1e9), shot.truth, made_up(shot.truth, skill, random), shot.image)
        for shot in shots
    ]


def streets(options: argparse.Namespace) -> dict[str, dict[float, Rows]]:
    """Rows by the camera's motion and the rate."""
    fastest = max(options.rate)
    films = [film(seed, options.seconds, fastest, *MOTIONS) for seed in options.streets]
    tables: dict[str, dict[float, Rows]] = {}
    for motion in MOTIONS:
        print(motion)
        tables[motion] = {}
        for rate in options.rate:
            every = round(fastest / rate)
            shots = [imagined(street[motion][::every], seed) for seed, street in enumerate(films)]
            tables[motion][rate] = compare(shots, rate)
    return tables


def clips(options: argparse.Namespace) -> dict[str, dict[float, Rows]]:
    """Rows by the camera's motion and the rate."""
    config = PipelineConfig(
        fusion=FusionConfig(model=options.model, threads=1),
        detection=DetectionConfig(model=options.detector, classes=NAMES, threads=1),
    )
    watched = watch(options.clips, config)
    tables: dict[str, dict[float, Rows]] = {}
    for motion in ("still", "swinging"):
        print("clips,", motion)
        tables[motion] = {}
        for rate in options.rate:
            films: Films = []
            for film_hz, images in watched:
                moved = images if motion == "still" else shaken(images, film_hz)
                stamped = [
                    Moment(round(index / film_hz * 1e9), seen.chained, seen.detections, seen.image)
                    for index, seen in enumerate(moved)
                ]
                films.append(stamped[:: round(film_hz / rate)])
            tables[motion][rate] = compare(films, rate)
    return tables


def table(rates: dict[float, Rows], cell: Callable[[dict[str, float]], str]) -> str:
    """Markdown with a row for each tracker and a column for each rate, and the time at the last one."""
    last = rates[max(rates)]
    lines = ["| tracker | " + " | ".join(f"{rate:g} Hz" for rate in rates) + " | ms |"]
    lines.append("| --- |" + " --- |" * (len(rates) + 1))
    for name in last:
        cells = [cell(rows[name]) for rows in rates.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {last[name]['ms']:.2f} |")
    return "\n".join(lines) + "\n"


def rewrite(page: Path, tables: dict[str, str]) -> None:
    """Put tables into a page, each between <!-- NAME --> and <!-- end -->."""
    text = page.read_text(encoding="utf-8")
    for name, lines in tables.items():
        head, mark, rest = text.partition(f"<!-- {name} -->\n")
        assert mark, f"{page} has no place for {name}"
        text = head + mark + lines + rest[rest.index("<!-- end -->") :]
    page.write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rate", type=float, nargs="+", default=[5.0, 15.0, 30.0], help="images a second")
    parser.add_argument("--streets", type=int, nargs="+", default=[6, 7, 8], help="seeds")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--detector", default="yolov5n", help="of the clips")
    parser.add_argument("--model", default="refinefuse_lite", help="fusion network of the clips")
    parser.add_argument("--page", type=Path, help="whose tables are replaced")
    options = parser.parse_args()
    tables = {motion: table(rates, told) for motion, rates in streets(options).items()}
    if options.clips:
        for motion, rates in clips(options).items():
            tables[f"clips {motion}"] = table(rates, lost)
            seen = [f"{rows['**this package**']['num_objects']:.0f}" for rows in rates.values()]
            tables[f"clips {motion}"] += f"\nOf {', '.join(seen)} objects that are followed.\n"
    for name, lines in tables.items():
        print(f"\n{name}\n{lines}")
    if options.page:
        rewrite(options.page, tables)


if __name__ == "__main__":
    main()
