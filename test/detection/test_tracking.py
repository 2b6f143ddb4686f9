"""Tracks of simulated people and cars, judged by motmetrics; ids in messages; the pipeline's switches."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sample_frames import make_frames

from ivfusion_ros.bags.messages import make
from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, TrackingConfig
from ivfusion_ros.detection.tracking import ByteTracker
from ivfusion_ros.messages.detections import make_detections
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import UNTRACKED, Detections, FramePair, Header

if TYPE_CHECKING:
    from pathlib import Path

SECOND = 1_000_000_000
TRACKING = TrackingConfig(tracker="bytetrack")
NAMES = ("person", "car")


def seen(*objects: tuple[float, float], score: float = 0.9, class_id: int = 0) -> Detections:
    """Objects of 40x80 px with their left upper corners there."""
    boxes = np.array([(x, y, x + 40, y + 80) for x, y in objects], np.float32).reshape(-1, 4)
    count = len(objects)
    return Detections(boxes, np.full(count, score, np.float32), np.full(count, class_id, np.int64), NAMES)


def ids(detections: Detections) -> list[int]:
    assert detections.track_ids is not None
    return detections.track_ids.tolist()


def test_simulated_streets_keep_their_identities_through_the_switches() -> None:
    pytest.importorskip("motmetrics")
    from measure_tracking import figures, imagined, play, street

    truth = street(seed=0, seconds=8, rate_hz=5)
    for switching, least_idf1, least_mota in ((False, 0.85, 0.85), (True, 0.75, 0.7)):
        moments = imagined(truth, 5, switching, seed=0)
        found = figures([play(moments, ByteTracker(TRACKING))])
        assert found["num_objects"] > 250
        assert found["idf1"] > least_idf1 and found["mota"] > least_mota, (switching, found)
    # The yardstick itself: a tracker that starts afresh with each image has no identities to show.
    forgetful = ByteTracker(replace(TRACKING, lost_after_s=0.0, iou=1.0))
    assert figures([play(moments, forgetful)])["idf1"] < 0.2


def test_boxes_order_and_scores_are_untouched_and_numbers_count_from_one() -> None:
    tracker = ByteTracker(TRACKING)
    first = seen((10, 10), (200, 10), (400, 10))
    for index in range(4):
        found = tracker(first, index * SECOND // 10)
        assert found.boxes_xyxy is first.boxes_xyxy and found.scores is first.scores
        assert ids(found) == [1, 2, 3]
    # The same people in another order, one of them gone and one new.
    found = tracker(seen((400, 12), (12, 10), (300, 200)), 4 * SECOND // 10)
    assert ids(found) == [3, 1, 4]


def test_unsure_objects_continue_a_track_but_start_none() -> None:
    tracker = ByteTracker(TRACKING)
    assert ids(tracker(seen((10, 10), score=0.4), 0)) == [UNTRACKED]
    assert ids(tracker(seen((10, 10), score=0.6), SECOND // 10)) == [1]
    assert ids(tracker(seen((11, 10), (300, 10), score=0.3), SECOND // 5)) == [1, UNTRACKED]


def test_a_person_on_a_bicycle_are_two_tracks() -> None:
    tracker = ByteTracker(TRACKING)
    person, bicycle = seen((10, 10)), seen((14, 20), class_id=1)
    assert ids(tracker(person, 0)) == [1]
    assert ids(tracker(bicycle, SECOND // 10)) == [2]
    assert ids(tracker(person, SECOND // 5)) == [1]


def test_life_of_a_track_is_measured_in_stamps() -> None:
    nothing = seen()
    for pause_s, expected in ((0.9, 1), (1.3, 2)):
        tracker = ByteTracker(replace(TRACKING, lost_after_s=1.0))
        for index in range(5):
            tracker(seen((10, 10)), index * SECOND // 10)
        tracker(nothing, SECOND // 2)
        later = round((0.4 + pause_s) * SECOND)
        assert ids(tracker(nothing, later)) == []
        assert ids(tracker(seen((10, 10)), later)) == [expected]


@pytest.mark.parametrize("start_ns", [0, -5 * SECOND, 1_700_000_000 * SECOND])
def test_stamps_of_two_clocks_and_jumps_back(start_ns: int) -> None:
    tracker = ByteTracker(TRACKING)
    tracker(seen((400, 10)), start_ns)
    assert ids(tracker(seen((10, 10)), start_ns + SECOND // 10)) == [2]
    # Another camera's clock is 40 ms behind: no new start.
    assert ids(tracker(seen((10, 10)), start_ns + SECOND // 10 - 40_000_000)) == [2]
    # A looped bag: everything starts over.
    assert ids(tracker(seen((10, 10)), start_ns - 3 * SECOND)) == [1]


def test_ids_in_messages() -> None:
    detections = seen((10, 10), (200, 10), (400, 10))
    assert [detections.id_of(index) for index in range(3)] == ["", "", ""]
    tracked = replace(detections, track_ids=np.array([7, UNTRACKED, 12]))
    message = make_detections(make, Header(0, "rgb"), tracked)
    assert [item.id for item in message.detections] == ["7", "", "12"]
    with pytest.raises(ValueError, match="track_ids"):
        replace(detections, track_ids=np.array([7]))


def test_pipeline_keeps_ids_through_its_modes_until_reset(blend_model: Path, box_model: Path) -> None:
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), threads=1),
        detection=DetectionConfig(model=str(box_model), threads=1),
        tracking=TRACKING,
    )
    frames = [frame for _, frame in make_frames(6)]
    pairs = [FramePair(thermal, rgb) for rgb, thermal in zip(frames[::2], frames[1::2], strict=True)]
    with build_pipeline(config) as pipeline:
        results = [
            pipeline.process(pairs[0]),
            pipeline.detect(pipeline.rgb_only(pairs[1].rgb)),
            pipeline.detect(pipeline.thermal_only(pairs[2].thermal, pairs[2].rgb.size)),
            pipeline.process(pairs[3]),
        ]
        assert [ids(result.detections) for result in results] == [[1]] * 4
        assert {result.mode for result in results} == {"fused", "rgb_only", "thermal_only"}
        assert all("track" in result.timings_ms for result in results)
        assert pipeline.tracker is not None
        pipeline.tracker(seen((300, 300)), pairs[4].rgb.stamp_ns)
        pipeline.reset()
        assert ids(pipeline.process(pairs[5]).detections) == [1]
    with build_pipeline(replace(config, tracking=TrackingConfig())) as pipeline:
        untracked = pipeline.process(pairs[0])
        assert untracked.detections.track_ids is None and "track" not in untracked.timings_ms
