"""The halves of a pipeline at the same time: what comes out, in which order, and what stops it."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, TrackingConfig
from ivfusion_ros.errors import ModelError
from ivfusion_ros.pipeline import overlap as overlap_module
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.overlap import THREAD_NAME, Overlap
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import Detections, Frame, FramePair, FusionResult

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.pipeline.fuser import Fuser
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.types import Image

PATIENCE_S = 20.0


@pytest.fixture
def pipeline(blend_model: Path, box_model: Path) -> Iterator[Pipeline]:
    config = PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(box_model), backend="onnxruntime"),
        tracking=TrackingConfig(tracker="bytetrack"),
    )
    with build_pipeline(config) as pipeline:
        yield pipeline


@pytest.fixture(autouse=True)
def _two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap_module, "usable_cores", lambda: 2)


def pairs(count: int) -> list[FramePair]:
    random = np.random.default_rng(0)
    return [
        FramePair(
            Frame(
                random.integers(0, 256, (64, 96), np.uint8), index * 33_000_000, "thermal", None, 5 * index
            ),
            Frame(random.integers(0, 256, (64, 96, 3), np.uint8), index * 33_000_000, "rgb"),
        )
        for index in range(count)
    ]


def assert_same(found: FusionResult, expected: FusionResult) -> None:
    np.testing.assert_array_equal(found.fused, expected.fused)
    assert found.detections is not None and expected.detections is not None
    for name in ("boxes_xyxy", "thermal_boxes_xyxy", "scores", "track_ids"):
        np.testing.assert_array_equal(
            getattr(found.detections, name), getattr(expected.detections, name), err_msg=name
        )
    assert (found.stamp_ns, found.received_ns) == (expected.stamp_ns, expected.received_ns)
    assert list(found.timings_ms) == list(expected.timings_ms)


def test_results_are_those_of_one_thread(pipeline: Pipeline) -> None:
    expected = [pipeline.process(pair) for pair in pairs(6)]
    pipeline.reset()
    with Overlap(pipeline) as overlap:
        coming = [overlap.submit(pipeline.begin(pair)) for pair in pairs(6)]
        found = [future.result(PATIENCE_S) for future in coming]
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)


class Held:
    """A detector that finds nothing, and that only when it is let."""

    def __init__(self) -> None:
        self.started, self.allowed = threading.Semaphore(0), threading.Semaphore(0)
        self.threads: set[str] = set()

    def __call__(self, image: object, resident: object = None, thermal: object = None) -> Detections:
        self.threads.add(threading.current_thread().name)
        self.started.release()
        assert self.allowed.acquire(timeout=PATIENCE_S)
        return Detections.empty(("person",))

    backend = None

    def close(self) -> None: ...


def test_a_frame_is_fused_while_the_one_before_is_searched(pipeline: Pipeline) -> None:
    held = Held()
    pipeline.detector = held  # type: ignore[assignment]
    first, second = pairs(2)
    with Overlap(pipeline) as overlap:
        coming = overlap.submit(pipeline.begin(first))
        assert held.started.acquire(timeout=PATIENCE_S)
        begun = pipeline.begin(second)
        assert not coming.done()
        handed = threading.Thread(target=lambda: overlap.submit(begun))
        handed.start()
        # One image at a time: the second waits for the first.
        handed.join(0.05)
        assert handed.is_alive()
        held.allowed.release()
        handed.join(PATIENCE_S)
        assert coming.done()
        held.allowed.release()
    assert held.threads == {THREAD_NAME}
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_one_core_has_one_thread(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap_module, "usable_cores", lambda: 1)
    with Overlap(pipeline) as overlap:
        assert overlap.submit(pipeline.begin(pairs(1)[0])).done()
        assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_an_error_comes_with_its_frame_alone(pipeline: Pipeline) -> None:
    good = pipeline.detector
    assert good is not None

    def fail(image: object, resident: object = None, thermal: object = None) -> Detections:
        raise ModelError("no")

    with Overlap(pipeline) as overlap:
        pipeline.detector = fail  # type: ignore[assignment]
        bad = overlap.submit(pipeline.begin(pairs(1)[0]))
        overlap.settle()
        pipeline.detector = good
        after = overlap.submit(pipeline.begin(pairs(2)[1]))
        with pytest.raises(ModelError):
            bad.result(PATIENCE_S)
        assert after.result(PATIENCE_S).detections is not None


class Failing:
    """A detector that always fails."""

    backend = None

    def __call__(self, image: object, resident: object = None, thermal: object = None) -> Detections:
        raise ModelError("no")

    def close(self) -> None: ...


@pytest.fixture
def only_by_count() -> Iterator[None]:
    """What nothing refers to is freed at once, and what refers to itself is not."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("only_by_count")
@pytest.mark.parametrize("cores", [1, 2])
def test_a_replay_with_a_failing_detector_keeps_one_pair(
    pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch, cores: int
) -> None:
    monkeypatch.setattr(overlap_module, "usable_cores", lambda: cores)
    pipeline.detector = Failing()  # type: ignore[assignment]
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    given = [(camera, frame) for pair in pairs(6) for camera, frame in pair.frames.items()]
    frames = [weakref.ref(frame) for _, frame in given]
    assert list(replay.results(given)) == [] and replay.report()["failed_pairs"]
    del given
    # The last pair is in work until a next one comes.
    assert sum(frame() is not None for frame in frames) <= 2


class SecondFirst:
    """A detector that is done with an image only when it has the next one."""

    backend = None

    def __init__(self) -> None:
        self.both = threading.Barrier(2, timeout=PATIENCE_S)

    def __call__(self, image: object, resident: object = None, thermal: object = None) -> Detections:
        self.both.wait()
        return Detections.empty(("person",))

    def close(self) -> None: ...


class Noted:
    """A tracker that notes whose turn it was."""

    def __init__(self) -> None:
        self.stamps_ns: list[int] = []

    def __call__(self, detections: Detections, stamp_ns: int, image: object) -> Detections:
        self.stamps_ns.append(stamp_ns)
        return detections


def test_two_images_are_searched_at_once_and_concluded_in_order(pipeline: Pipeline) -> None:
    pipeline.detector, pipeline.tracker = SecondFirst(), Noted()  # type: ignore[assignment]
    pipeline.looks = 2
    six = pairs(6)
    with Overlap(pipeline) as overlap:
        coming = [overlap.submit(pipeline.begin(pair)) for pair in six]
        found = [future.result(PATIENCE_S) for future in coming]
    stamps_ns = [pair.rgb.stamp_ns for pair in six]
    assert [result.stamp_ns for result in found] == stamps_ns
    assert pipeline.tracker.stamps_ns == stamps_ns  # type: ignore[union-attr]
    assert THREAD_NAME not in {thread.name for thread in threading.enumerate()}


def test_an_error_among_images_searched_at_once_comes_alone(pipeline: Pipeline) -> None:
    good = pipeline.detector
    assert good is not None
    calls: list[int] = []

    def fail_once(image: object, resident: object = None, thermal: object = None) -> Detections:
        calls.append(1)
        if len(calls) == 1:
            raise ModelError("no")
        return good(image, resident, thermal)  # type: ignore[arg-type]

    pipeline.detector, pipeline.looks = fail_once, 2  # type: ignore[assignment]
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    frames = [frame for pair in pairs(6) for frame in (("thermal", pair.thermal), ("rgb", pair.rgb))]
    results = list(replay.results(iter(frames)))  # type: ignore[arg-type]
    pipeline.detector = good
    assert len(results) == 5 and sum(replay.skips.counts.values()) == 1
    assert [result.stamp_ns for result in results] == sorted(result.stamp_ns for result in results)


class Noting:
    """A fuser that notes in whose thread it is used."""

    def __init__(self, fuser: Fuser) -> None:
        self.fuser, self.backend, self.threads = fuser, fuser.backend, []  # type: ignore[var-annotated]

    def __call__(self, thermal: Image, rgb: Image, thermal_pixel: float = 1.0) -> Image:
        self.threads.append(threading.current_thread().name)
        return self.fuser(thermal, rgb, thermal_pixel)

    def resident(self, image: Image) -> None: ...


def test_who_is_free_fuses(pipeline: Pipeline) -> None:
    held, noting = Held(), Noting(pipeline.fuser)
    pipeline.detector, pipeline.fuser, pipeline.looks = held, noting, 2  # type: ignore[assignment]
    mine = threading.current_thread().name
    begun = [pipeline.begin(pair) for pair in pairs(4)]
    assert not noting.threads
    with Overlap(pipeline) as overlap:
        coming = []
        for rest in begun[:2]:
            assert not overlap.is_full
            coming.append(overlap.submit(rest))
        for _ in range(2):
            assert held.started.acquire(timeout=PATIENCE_S)
        assert noting.threads == [THREAD_NAME] * 2
        # Nobody would begin with the third: it waits for a thread fused, and the fourth for its place.
        assert overlap.is_full
        begun[2]()
        assert noting.threads == [THREAD_NAME, THREAD_NAME, mine]
        coming.append(overlap.submit(begun[2]))
        assert not any(future.done() for future in coming)
        handed = threading.Thread(target=lambda: coming.append(overlap.submit(begun[3])), name="handing")
        handed.start()
        handed.join(0.05)
        assert handed.is_alive()
        for _ in range(4):
            held.allowed.release()
        handed.join(PATIENCE_S)
        found = [future.result(PATIENCE_S) for future in coming]
    assert [result.stamp_ns for result in found] == [pair.rgb.stamp_ns for pair in pairs(4)]
    # Each was fused once.
    assert noting.threads == [THREAD_NAME, THREAD_NAME, mine, THREAD_NAME]


def test_a_pair_that_cannot_be_fused_is_skipped_whoever_fuses(pipeline: Pipeline) -> None:
    fuser = pipeline.fuser
    calls: list[str] = []

    class Failing(Noting):
        def __call__(self, thermal: Image, rgb: Image, thermal_pixel: float = 1.0) -> Image:
            calls.append(threading.current_thread().name)
            if len(calls) in (1, 4):
                raise ModelError("no")
            return super().__call__(thermal, rgb, thermal_pixel)

    pipeline.fuser, pipeline.looks = Failing(fuser), 2  # type: ignore[assignment]
    replay = Replay(Synchronizer(PipelineConfig()), pipeline)
    frames = [frame for pair in pairs(8) for frame in (("thermal", pair.thermal), ("rgb", pair.rgb))]
    results = list(replay.results(iter(frames)))  # type: ignore[arg-type]
    pipeline.fuser = fuser
    assert len(results) == 6 and replay.skips.counts == {"no": 2}
    assert [result.stamp_ns for result in results] == sorted(result.stamp_ns for result in results)
