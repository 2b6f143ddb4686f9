"""The page of a replay: takes results as they come, and keeps pictures of a bounded number."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from ivfusion_ros.images.film import EvenSample
from ivfusion_ros.report.chart import chart_of
from ivfusion_ros.report.page import Page, check_renderer, figure_texts
from ivfusion_ros.report.shot import Shot, shot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ivfusion_ros.report.chart import Chart
    from ivfusion_ros.types import FusionResult

_SHOTS = 40
"""Evenly over the run, at most; the notable ones come on top."""
_NAMED = 3


class _Worst:
    """The results of the largest values, with their shots."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.kept: list[tuple[float, Shot]] = []

    def wants(self, value: float) -> bool:
        """Whether a result with this value is among them so far."""
        return len(self.kept) < _NAMED or value > self.kept[-1][0]

    def add(self, value: float, shot: Shot) -> None:
        """Take one that is wanted."""
        self.kept = sorted([*self.kept, (value, shot)], key=lambda each: -each[0])[:_NAMED]


class ReplayReport:
    """Results in, a Page out. drops: asked with each result for the frames lost so far, by reason."""

    def __init__(self) -> None:
        self.drops: Callable[[], Mapping[str, int]] = dict
        self._dropped: dict[str, list[float]] = {}
        self._alone: dict[str, list[float]] = {}
        self._sample: EvenSample[Shot] = EvenSample(_SHOTS)
        self._worst = {
            "time": _Worst("slowest, {:.1f} ms"),
            "skew": _Worst("frames farthest apart, {:.1f} ms"),
        }
        self._first_of_fault: dict[str, Shot] = {}
        self._first_stamp_ns = 0
        self._times: dict[str, list[float]] = {}
        self._skews_ms: list[float] = []
        self._confidence: list[float] = []
        self._objects: list[Counter[str]] = []
        self._faulty: list[int] = []

    def add(self, result: FusionResult, name: str = "") -> None:
        """Take the next result. name: of what has no time."""
        index = len(self._skews_ms)
        self._first_stamp_ns = self._first_stamp_ns or result.stamp_ns
        self._count(result)
        values = {"time": sum(result.timings_ms.values()), "skew": abs(result.skew_ns) / 1e6}
        # What a first image costs is no news.
        worst = [name for name, each in self._worst.items() if index and each.wants(values[name])]
        new_faults = [label for label in result.faults.labels if label not in self._first_of_fault]
        sampled = self._sample.wants(index)
        if not (sampled or worst or new_faults):
            return
        seconds = (result.stamp_ns - self._first_stamp_ns) / 1e9
        shot = shot_of(result, index, name or f"pair {index}, {seconds:.2f} s")
        if sampled:
            self._sample.add(index, shot)
        for name in worst:
            self._worst[name].add(values[name], shot)
        self._first_of_fault |= dict.fromkeys(new_faults, shot)

    def _count(self, result: FusionResult) -> None:
        index = len(self._skews_ms)
        self._skews_ms.append(result.skew_ns / 1e6)
        confidence = result.registration.confidence
        self._confidence.append(math.nan if confidence is None else confidence)
        if result.mode != "fused":
            pairs = self._alone.setdefault(result.mode.replace("_", " "), [])
            pairs += [0.0] * (index - len(pairs)) + [1.0]
        for reason, lost in self.drops().items():
            so_far = self._dropped.setdefault(reason, [])
            so_far += [0.0] * (index - len(so_far)) + [float(lost)]
        for stage, milliseconds in result.timings_ms.items():
            times = self._times.setdefault(stage, [])
            times += [math.nan] * (index - len(times)) + [milliseconds]
        found = result.detections
        names = () if found is None else (found.class_names[class_id] for class_id in found.class_ids)
        self._objects.append(Counter(names))
        if result.faults.labels:
            self._faulty.append(index)

    def page(self, title: str, figures: Mapping[str, Any]) -> Page:
        """figures: of Replay.report() and what else is to be told; nested ones are written in a line."""
        notable = [
            (f"{shot.title}: {each.reason.format(value)}", shot)
            for each in self._worst.values()
            for value, shot in each.kept
            if value > 0
        ]
        notable += [
            (f"{shot.title}: first with fault {label}", shot)
            for label, shot in self._first_of_fault.items()
        ]
        shots = {shot.index: shot for _, shot in [*self._sample.chosen(), *notable]}
        return Page(
            title,
            figure_texts(figures),
            [shots[index] for index in sorted(shots)],
            self._charts(),
            len(self._skews_ms),
            [(reason, shot.index) for reason, shot in notable],
        )

    def _charts(self) -> list[Chart]:
        """Of what is known; no chart of nothing."""
        count = len(self._skews_ms)
        # With what a first pair costs no other would be seen.
        begin = 1 if count > 1 else 0
        times = {
            stage: [math.nan] * begin + values[begin:] + [math.nan] * (count - len(values))
            for stage, values in self._times.items()
        }
        classes = Counter(name for found in self._objects for name in found.elements())
        objects = {
            name: [float(found[name]) for found in self._objects] for name, _ in classes.most_common(8)
        }
        skews = {"skew": [abs(skew) for skew in self._skews_ms]} if any(self._skews_ms) else {}
        told = not all(map(math.isnan, self._confidence))
        confidence = {"confidence": self._confidence} if told else {}
        charts = {
            "time by stage, ms; without the first pair": times,
            "skew between the frames, ms; marked: faults": skews,
            "frames without a partner, so far": self._dropped,
            "one camera alone, 1: yes": {
                mode: [*pairs, *[0.0] * (count - len(pairs))] for mode, pairs in self._alone.items()
            },
            "objects": objects,
            "confidence of the online registration": confidence,
        }
        return [
            chart_of(title, values, self._faulty if values is skews else ())
            for title, values in charts.items()
            if values
        ]


def start_page(html: Path | None) -> ReplayReport | None:
    """For a page that is wanted, None where no file is named. Raises ConfigError without jinja2."""
    if html is None:
        return None
    check_renderer()
    return ReplayReport()
