"""Figures of tracking: python test/measure_tracking.py [--seconds 12] [--detector NAME_OR_ONNX].

Simulated streets, whose people and cars are known by identity. Detections are made up from the true boxes
(missed, jittered and with false ones, as the mode's Skill says), or those of a detector on the images of
the pipeline. The mode changes every two seconds (fused, rgb_only, fused, thermal_only) or never.
IDF1, MOTA and switches of identity by motmetrics, over all streets.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import motmetrics
import numpy as np

from ivfusion_ros.commands.demo import true_calibration
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, TrackingConfig
from ivfusion_ros.detection.tracking import ByteTracker
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.simulate import SceneConfig, Simulator, TrueObject
from ivfusion_ros.types import UNTRACKED, Detections, FramePair, Image, Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Tracker = Callable[[Detections, int, Image | None], Detections]
    """Detections, stamp in nanoseconds and the image -> the same with track_ids."""

NAMES = ("person", "car")
MODES: tuple[Mode, ...] = ("fused", "rgb_only", "fused", "thermal_only")
MODE_S = 2.0
MIN_VISIBLE, MIN_SIDE = 0.25, 6.0
"""Of an object that counts: share of its pixels that nothing hides, and pixels."""


@dataclass(frozen=True)
class Skill:
    """How well a made-up detector sees: 1 is a good one on good images.

    false_rate: mean number of false objects per image.
    """

    person: float
    car: float
    false_rate: float = 0.3


SKILLS: dict[Mode, Skill] = {
    "fused": Skill(1.0, 1.0),
    "rgb_only": Skill(0.45, 0.8, 0.5),
    "thermal_only": Skill(0.9, 0.7, 0.5),
}


@dataclass(frozen=True, eq=False)
class Moment:
    """What is there, and what a detector says."""

    stamp_ns: int
    truth: list[TrueObject]
    detections: Detections
    image: Image | None = None


def mode_at(time_s: float, switching: bool) -> Mode:
    return MODES[int(time_s / MODE_S) % len(MODES)] if switching else "fused"


def street(seed: int, seconds: float, rate_hz: float) -> list[list[TrueObject]]:
    """The true objects of each image of a simulated street."""
    simulator = Simulator(SceneConfig(seed=seed, duration_s=seconds))
    return [known(simulator, index / rate_hz) for index in range(round(seconds * rate_hz))]


def known(simulator: Simulator, time_s: float) -> list[TrueObject]:
    def counts(item: TrueObject) -> bool:
        left, top, right, bottom = item.box_xyxy
        return item.visible_fraction >= MIN_VISIBLE and min(right - left, bottom - top) >= MIN_SIDE

    return [item for item in simulator.boxes(time_s, "rgb") if counts(item)]


def made_up(objects: Sequence[TrueObject], skill: Skill, random: np.random.Generator) -> Detections:
    """Detections of true objects: small and hidden ones are found less often and with lower scores."""
    rows = []
    for item in objects:
        left, top, right, bottom = item.box_xyxy
        size = np.array([right - left, bottom - top])
        quality = item.visible_fraction * min(1.0, np.sqrt(size.prod()) / 40)
        quality *= skill.person if item.class_name == "person" else skill.car
        if random.uniform() < 1 - np.exp(-6 * quality):
            box = np.array(item.box_xyxy) + random.normal(0, 0.04, 4) * np.tile(size, 2)
            score = np.clip(random.normal(0.35 + 0.5 * quality, 0.12), 0.25, 0.97)
            rows.append((*box, score, NAMES.index(item.class_name)))
    for _ in range(random.poisson(skill.false_rate)):
        x, y, width = random.uniform([0, 150, 10], [600, 400, 60])
        rows.append((x, y, x + width, y + 1.8 * width, random.uniform(0.25, 0.5), random.integers(2)))
    table = np.array(sorted(rows, key=lambda row: -row[4]), np.float64).reshape(-1, 6)
    boxes, scores = table[:, :4].astype(np.float32), table[:, 4].astype(np.float32)
    return Detections(boxes, scores, table[:, 5].astype(np.int64), NAMES)


def imagined(truth: Sequence[list[TrueObject]], rate_hz: float, switching: bool, seed: int) -> list[Moment]:
    """A street as a made-up detector sees it; thermal images have the stamps of a clock 8 ms ahead."""
    random = np.random.default_rng(seed)
    moments = []
    for index, objects in enumerate(truth):
        mode = mode_at(index / rate_hz, switching)
        stamp_ns = round(index / rate_hz * 1e9) + (8_000_000 if mode == "thermal_only" else 0)
        moments.append(Moment(stamp_ns, objects, made_up(objects, SKILLS[mode], random)))
    return moments


def detected(
    seed: int, seconds: float, rate_hz: float, switching: bool, config: PipelineConfig
) -> list[Moment]:
    """A street as the pipeline's detector sees it."""
    simulator = Simulator(SceneConfig(seed=seed, duration_s=seconds))
    moments = []
    with build_pipeline(config) as pipeline:
        assert pipeline.detector is not None, "give a detector with --detector"
        pipeline.registrar.warp = Warp(true_calibration(simulator))
        for index in range(round(seconds * rate_hz)):
            time_s = index / rate_hz
            thermal, rgb = simulator.frame(time_s, "thermal"), simulator.frame(time_s, "rgb")
            mode = mode_at(time_s, switching)
            if mode == "fused":
                result = pipeline.process(FramePair(thermal, rgb))
            elif mode == "rgb_only":
                result = pipeline.detect(pipeline.rgb_only(rgb))
            else:
                result = pipeline.detect(pipeline.thermal_only(thermal, rgb.size))
            assert result.detections is not None
            truth = known(simulator, time_s)
            moments.append(Moment(result.stamp_ns, truth, result.detections, result.fused))
    return moments


def play(moments: Sequence[Moment], tracker: Tracker) -> motmetrics.MOTAccumulator:
    """Track, and match tracks with true objects of their class by an overlap of at least a half."""
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for moment in moments:
        found = tracker(moment.detections, moment.stamp_ns, moment.image)
        assert found.track_ids is not None
        tracked = np.flatnonzero(found.track_ids != UNTRACKED)
        distances = np.full((len(moment.truth), len(tracked)), np.nan)
        for row, item in enumerate(moment.truth):
            overlaps = box_iou(np.array(item.box_xyxy, np.float32), found.boxes_xyxy[tracked])
            same = np.array([found.class_names[found.class_ids[index]] for index in tracked], str)
            good = (overlaps >= 0.5) & (same == item.class_name)
            distances[row, good] = 1 - overlaps[good]
        identities = [item.identity for item in moment.truth]
        accumulator.update(identities, found.track_ids[tracked].tolist(), distances)
    return accumulator


def track_time(moments: Sequence[Moment]) -> float:
    """Seconds that tracking takes, without judging."""
    tracker = ByteTracker(TrackingConfig(tracker="bytetrack"))
    start = time.perf_counter()
    for moment in moments:
        tracker(moment.detections, moment.stamp_ns, moment.image)
    return time.perf_counter() - start


def figures(accumulators: Sequence[motmetrics.MOTAccumulator]) -> dict[str, float]:
    """idf1, mota, num_switches and others, over all accumulators."""
    metrics = ["idf1", "mota", "num_switches", "num_fragmentations", "num_false_positives", "num_misses"]
    table = motmetrics.metrics.create().compute_many(
        list(accumulators), metrics=[*metrics, "num_objects"], generate_overall=True
    )
    return {name: float(value) for name, value in table.loc["OVERALL"].items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--rate", type=float, nargs="+", default=[15.0, 5.0], help="images a second")
    parser.add_argument("--streets", type=int, default=3)
    parser.add_argument("--detector", help="name or ONNX file; without: made-up detections")
    parser.add_argument(
        "--model", default=FusionConfig().model, help="fusion network of the detector's images"
    )
    options = parser.parse_args()
    config = PipelineConfig(
        fusion=FusionConfig(model=options.model, threads=1),
        detection=replace(DetectionConfig(classes=NAMES, threads=1), model=options.detector or ""),
    )
    print(f"{'images':24} {'IDF1':>6} {'MOTA':>6} {'switches':>9} {'misses':>7} {'false':>6} {'ms':>6}")
    for rate in options.rate:
        truths = [street(seed, options.seconds, rate) for seed in range(options.streets)]
        for switching in (False, True):
            spent, count, accumulators = 0.0, 0, []
            for seed, truth in enumerate(truths):
                moments = (
                    detected(seed, options.seconds, rate, switching, config)
                    if options.detector
                    else imagined(truth, rate, switching, seed)
                )
                accumulators.append(play(moments, ByteTracker(TrackingConfig(tracker="bytetrack"))))
                spent, count = spent + track_time(moments), count + len(moments)
            row = figures(accumulators)
            print(
                f"{f'{rate:g} Hz, ' + ('switching' if switching else 'fused'):24} {row['idf1']:6.3f} "
                f"{row['mota']:6.3f} {row['num_switches']:9.0f} {row['num_misses']:7.0f} "
                f"{row['num_false_positives']:6.0f} {spent / count * 1e3:6.2f}"
            )


if __name__ == "__main__":
    main()
