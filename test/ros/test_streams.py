"""What becomes of the frames of two live cameras, and the thread that works on them; needs no ROS."""

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rig_samples
from places import ROOT

from ivfusion_ros.config.node import FusionNodeConfig, NodeConfig
from ivfusion_ros.config.parameters import iter_parameters, load_config, make_config
from ivfusion_ros.config.pipeline import (
    FaultConfig,
    FusionConfig,
    PipelineConfig,
    RegistrationConfig,
)
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.pipeline.pipeline import Fused, Pipeline
from ivfusion_ros.ros import throttled_log
from ivfusion_ros.ros.streams import Job, SilenceWatch, Streams, View
from ivfusion_ros.ros.throttled_log import ThrottledLog
from ivfusion_ros.ros.worker import Worker, any_at_work
from ivfusion_ros.types import CameraInfo, Frame, FusionResult

S = 1_000_000_000
PERIOD_NS = S // 10
INFO = CameraInfo(20, 10)


def frame(stamp_ns: int, value: int = 0, size: tuple[int, int] = (16, 12), **fields: Any) -> Frame:
    return Frame(np.full((size[1], size[0]), value, np.uint8), stamp_ns, **fields)


class Recorder:
    """Streams, and what they asked for."""

    def __init__(self, reference: Any = "rgb", **node: Any) -> None:
        self.jobs: list[Job] = []
        self.changes: list[Any] = []
        config = FusionNodeConfig(
            registration=RegistrationConfig(reference=reference), node=NodeConfig(**node)
        )
        self.streams = Streams(config, self.jobs.append, self.changes.append)

    def play(self, start_ns: int, count: int, *cameras: Any) -> int:
        """10 Hz of the named cameras; the stamp after the last."""
        for index in range(count):
            for camera in cameras:
                self.streams.add(camera, frame(start_ns + index * PERIOD_NS))
        return start_ns + count * PERIOD_NS

    def kinds(self) -> list[str]:
        return ["pair" if job.rgb and job.thermal else "rgb" if job.rgb else "thermal" for job in self.jobs]


def test_pairs_while_both_cameras_send() -> None:
    recorder = Recorder()
    recorder.play(0, 20, "rgb", "thermal")
    assert recorder.kinds() == ["pair"] * 20 and recorder.changes == []
    assert [job.rgb.stamp_ns for job in recorder.jobs if job.rgb] == [i * PERIOD_NS for i in range(20)]


@pytest.mark.parametrize(("stopped", "goes_on"), [("thermal", "rgb"), ("rgb", "thermal")])
def test_a_silent_camera_is_replaced_until_it_returns(stopped: str, goes_on: str) -> None:
    recorder = Recorder(silent_after_s=1.0)
    now = recorder.play(0, 10, "rgb", "thermal")
    now = recorder.play(now, 30, goes_on)
    # Of the 30 frames, those of the first 1.0 s wait in vain.
    alone = recorder.kinds().count(goes_on)
    assert recorder.kinds() == ["pair"] * 10 + [goes_on] * alone and alone in (20, 21)
    recorder.play(now, 20, stopped, goes_on)
    assert recorder.kinds()[10 + alone :] in (["pair"] * 19, ["pair"] * 20)
    assert recorder.changes == [stopped, None]
    stamps = [(job.rgb or job.thermal).stamp_ns for job in recorder.jobs]
    assert stamps == sorted(set(stamps))


def test_a_camera_that_never_sent_is_silent_too() -> None:
    recorder = Recorder(silent_after_s=0.5)
    recorder.play(0, 10, "thermal")
    assert recorder.kinds() == ["thermal"] * 4 and recorder.jobs[0].view is None


def test_silence_publishes_nothing() -> None:
    recorder = Recorder(silent_after_s=0.5, when_silent="silence")
    recorder.play(0, 30, "rgb")
    assert recorder.jobs == [] and recorder.changes == ["thermal"]


@pytest.mark.parametrize(("reference", "other"), [("rgb", "thermal"), ("thermal", "rgb")])
def test_a_lone_frame_gets_the_view_of_the_reference_camera(reference: str, other: str) -> None:
    recorder = Recorder(reference, silent_after_s=0.5)
    info = CameraInfo(40, 30)
    recorder.streams.add(reference, frame(0, size=(40, 30), frame_id="its_frame", camera_info=info))
    recorder.play(0, 20, other)
    job = recorder.jobs[-1]
    assert job.view == View((40, 30), "its_frame", info)
    lone = job.thermal if other == "thermal" else job.rgb
    assert lone is not None and lone.size == (16, 12) and lone.stamp_ns == 19 * PERIOD_NS


@pytest.mark.parametrize(("reference", "other"), [("rgb", "thermal"), ("thermal", "rgb")])
def test_a_lone_frame_of_the_reference_camera_keeps_its_own_view(reference: str, other: str) -> None:
    recorder = Recorder(reference, silent_after_s=0.5)
    recorder.streams.add(other, frame(0, size=(40, 30)))
    recorder.play(0, 20, reference)
    assert recorder.kinds()[-1] == reference and recorder.jobs[-1].view is None


@pytest.mark.parametrize("jump_s", [-100, 3600])
def test_a_jump_of_time_is_no_silence(jump_s: int) -> None:
    recorder = Recorder(silent_after_s=1.0)
    now = recorder.play(100 * S, 20, "rgb", "thermal")
    recorder.play(now + jump_s * S, 20, "rgb", "thermal")
    assert recorder.changes == []
    assert recorder.kinds().count("pair") >= 38


def test_both_silent_is_not_one_silent() -> None:
    watch = SilenceWatch()
    assert watch.arrived("rgb", 0, S) is None and watch.arrived("thermal", 0, S) is None
    assert watch.arrived("thermal", 60 * S, S) is None
    assert watch.arrived("rgb", 60 * S, S) is None


@pytest.mark.parametrize(("held", "goes_on"), [("thermal", "rgb"), ("rgb", "thermal")])
@pytest.mark.parametrize("held_count", [8, 13, 25])
def test_a_backlog_in_one_burst_takes_no_output_back_in_time(
    held: Any, goes_on: Any, held_count: int
) -> None:
    """A link that stalls and then delivers all: with and without a silence meanwhile."""
    recorder = Recorder(silent_after_s=1.0)
    now = recorder.play(0, 20, "rgb", "thermal")
    recorder.play(now, held_count, goes_on)
    now = recorder.play(now, held_count, held)
    recorder.play(now, 20, "rgb", "thermal")
    stamps = [(job.rgb or job.thermal).stamp_ns for job in recorder.jobs]
    assert stamps == sorted(set(stamps)) and stamps[-1] == now + 19 * PERIOD_NS
    assert recorder.changes == ([] if held_count < 10 else [held, None])
    assert recorder.kinds()[-20:] == ["pair"] * 20


def test_restart_forgets_silence_and_keeps_counters() -> None:
    recorder = Recorder(silent_after_s=0.5)
    recorder.play(0, 20, "rgb")
    assert recorder.streams.silent == "thermal"
    recorder.streams.restart()
    assert recorder.streams.silent is None
    recorder.play(0, 4, "rgb", "thermal")
    assert (
        recorder.kinds()[-4:] == ["pair"] * 4
        and recorder.streams.synchronizer.pairer.drops["rgb_no_partner"] > 0
    )


def test_complaints_come_once_and_then_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    now_s = 0.0
    monkeypatch.setattr(throttled_log.time, "monotonic", lambda: now_s)
    complain = ThrottledLog(said.append)
    for _ in range(5):
        complain("size", "bad size")
        complain("data", "no data")
    assert said == ["bad size", "no data"]
    now_s = throttled_log.PERIOD_S
    complain("size", "bad size")
    assert said[2:] == ["bad size (and 4 more like it)"] and complain.total == 11


def test_complaints_hold_few_kinds() -> None:
    said: list[str] = []
    complain = ThrottledLog(said.append)
    for index in range(1000):
        complain(str(index), str(index))
    assert said == [str(index) for index in range(1000)] and complain.total == 1000
    # Of the last 100 kinds it knows when they were said; one from before was forgotten.
    complain("999", "again")
    complain("899", "again")
    assert said[1000:] == ["again"]


class Log:
    def __init__(self) -> None:
        self.errors: list[str] = []

    def error(self, message: str) -> None:
        self.errors.append(message)


@pytest.fixture
def results() -> list[FusionResult]:
    return []


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def config(blend_model: Path) -> FusionNodeConfig:
    fusion = {"model": str(blend_model), "backend": "onnxruntime", "threads": 1}
    return make_config(FusionNodeConfig, {"fusion": fusion, "detection": {"model": ""}})


@pytest.fixture
def worker(config: FusionNodeConfig, results: list[FusionResult], log: Log) -> Iterator[Worker]:
    worker = Worker(config, lambda result, job: results.append(result), log)
    worker.load(threading.Event.wait)
    yield worker
    assert worker.stop(10) and not any_at_work()


def pair(stamp_ns: int, thermal: Any = None) -> Job:
    rgb = Frame(np.full((12, 16, 3), 50, np.uint8), stamp_ns)
    return Job(thermal or frame(stamp_ns, 150), rgb)


def drain(worker: Worker, done: int) -> None:
    idle = threading.Event()
    for _ in range(1000):
        if worker.done + worker.failed >= done:
            return
        idle.wait(0.01)
    raise AssertionError(f"{worker.done} done, {worker.failed} failed")


def test_worker_takes_the_newest_and_counts_the_rest(
    config: FusionNodeConfig, results: list[FusionResult], log: Log
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def keep(result: FusionResult, _: Job) -> None:
        results.append(result)
        begun.set()
        assert go_on.wait(60)

    worker = Worker(config, keep, log)
    worker.load(threading.Event.wait)
    worker.mailbox.put(pair(0))
    assert begun.wait(60)
    for index in range(1, 12):
        worker.mailbox.put(pair(index))
    go_on.set()
    drain(worker, 2)
    assert worker.stop(10)
    assert [result.stamp_ns for result in results] == [0, 11]
    assert (worker.done, worker.mailbox.superseded, worker.failed) == (2, 10, 0)
    assert results[0].fused[0, 0].tolist() == [100, 100, 100]


def test_worker_logs_a_failure_with_its_stamps_and_goes_on(
    worker: Worker, results: list[FusionResult], log: Log
) -> None:
    worker.mailbox.put(Job(frame(7), Frame(np.zeros((12, 16), np.uint16), 8)))
    drain(worker, 1)
    assert "thermal at 7 ns and rgb at 8 ns" in log.errors[0] and worker.failed == 1
    for job in (Job(None, frame(9)), Job(frame(10), None, view=View((20, 10), "f", INFO))):
        count = worker.done + worker.failed
        worker.mailbox.put(job)
        drain(worker, count + 1)
    assert [(item.mode, item.fused.shape) for item in results] == [
        ("rgb_only", (12, 16, 3)),
        ("thermal_only", (10, 20, 3)),
    ]
    assert (results[1].frame_id, results[1].camera_info, results[1].stamp_ns) == ("f", INFO, 10)


def test_a_fused_image_is_handed_out_before_it_is_searched(
    monkeypatch: pytest.MonkeyPatch, config: FusionNodeConfig, results: list[FusionResult], log: Log
) -> None:
    handed_out: list[FusionResult] = []

    def look(pipeline: Pipeline, fused: Fused) -> None:
        assert handed_out[-1] is fused.result

    monkeypatch.setattr(Pipeline, "look", look)
    monkeypatch.setattr(
        Pipeline, "conclude", lambda _, fused, looked: replace(fused.result, detector_stride=7)
    )
    worker = Worker(config, lambda result, job: results.append(result), log, handed_out.append)
    worker.load(threading.Event.wait)
    for index in range(2):
        worker.mailbox.put(pair(index))
        drain(worker, index + 1)
    assert worker.stop(10) and log.errors == []
    assert [result.detector_stride for result in handed_out] == [1, 1]
    assert [result.detector_stride for result in results] == [7, 7]


def test_parameters_and_services_do_not_wait_for_the_pair_in_work(
    monkeypatch: pytest.MonkeyPatch, worker: Worker, config: FusionNodeConfig, results: list[FusionResult]
) -> None:
    """An engine may be under construction for it."""
    begun, go_on, begin = threading.Event(), threading.Event(), Pipeline.begin

    def begin_late(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return begin(*given)

    monkeypatch.setattr(Pipeline, "begin", begin_late)
    worker.mailbox.put(pair(0))
    assert begun.wait(60)
    asked = threading.Thread(
        target=worker.set_config, args=[replace(config, fusion=replace(config.fusion, strength=0.0))]
    )
    asked.start()
    asked.join(10)
    assert not asked.is_alive()
    with pytest.raises(ConfigError, match="nothing is learned"):
        worker.accept_calibration()
    far = replace(config.registration, plane_distance_m=3.0)
    with pytest.raises(ConfigError, match="only a calibration with a rig"):
        worker.set_config(replace(config, registration=far))
    go_on.set()
    drain(worker, 1)
    worker.mailbox.put(pair(1))
    drain(worker, 2)
    # (150 + 50) / 2 by the network; then none of it.
    assert [result.fused[0, 0].tolist() for result in results] == [[100] * 3, [50] * 3]


class Failing:
    """A detector that always fails."""

    backend = None
    class_names = ("person",)

    def __call__(self, image: Any, resident: Any = None, thermal: Any = None) -> Any:
        raise ModelError("no")

    def close(self) -> None: ...


def test_a_failing_detector_keeps_no_images(config: FusionNodeConfig, log: Log) -> None:
    worker = Worker(config, lambda result, job: None, log)
    worker.load(threading.Event.wait).detector = Failing()
    frames = []
    gc.collect()
    # What refers to itself waits for a collection, which may come after gigabytes.
    gc.disable()
    try:
        for index in range(6):
            job = pair(index * S)
            frames.append(weakref.ref(job.rgb))
            worker.mailbox.put(job)
            del job
            drain(worker, index + 1)
        assert worker.failed == 6
        # One is in work until the next one comes; the worker may still be letting go of the one before.
        deadline = time.monotonic() + 10
        while sum(frame() is not None for frame in frames) > 1 and time.monotonic() < deadline:
            time.sleep(0.01)
        assert sum(frame() is not None for frame in frames) <= 1
    finally:
        gc.enable()
        assert worker.stop(10)


def test_worker_brings_lone_rgb_frames_to_a_thermal_reference(
    config: FusionNodeConfig, results: list[FusionResult], log: Log
) -> None:
    config = replace(config, registration=RegistrationConfig(reference="thermal"))
    worker = Worker(config, lambda result, job: results.append(result), log)
    worker.load(threading.Event.wait)
    worker.mailbox.put(Job(None, frame(9), view=View((8, 6), "f", INFO)))
    drain(worker, 1)
    assert (results[0].mode, results[0].fused.shape, results[0].stamp_ns) == ("rgb_only", (6, 8, 3), 9)
    assert (results[0].frame_id, results[0].camera_info) == ("f", INFO)
    assert worker.stop(10)


def counts(stamp_ns: int, low: int) -> Job:
    """A 16-bit thermal ramp of 2000 counts on black."""
    ramp = np.tile(np.linspace(low, low + 2000, 64).astype(np.uint16), (12, 1))
    return Job(Frame(ramp, stamp_ns), Frame(np.zeros((12, 64, 3), np.uint8), stamp_ns))


@pytest.mark.parametrize("how", ["restart", "jump back", "neither"])
def test_worker_forgets_the_smoothing_at_a_restart(
    worker: Worker, results: list[FusionResult], how: str
) -> None:
    worker.mailbox.put(counts(S, 29000))
    drain(worker, 1)
    if how == "restart":
        worker.mailbox.restart()
    worker.mailbox.put(counts(S // 2 if how == "jump back" else S + 1000, 29500))
    drain(worker, 2)
    same = np.array_equal(results[0].thermal, results[1].thermal)
    assert same == (how != "neither")


def test_worker_registers_by_new_extrinsics_from_the_next_job_on(
    config: FusionNodeConfig, results: list[FusionResult], log: Log, tmp_path: Path
) -> None:
    rig = rig_samples.write_rig(tmp_path / "rig.yaml", None)
    registration = RegistrationConfig(calibration=str(rig), extrinsics="tf", depth=True)
    config = replace(config, registration=registration, faults=FaultConfig(gate=False))
    worker = Worker(config, lambda result, job: results.append(result), log)
    worker.load(threading.Event.wait)
    thermal, rgb = Frame(rig_samples.THERMAL, 0), Frame(rig_samples.RGB, 0)
    depth = np.full(rig_samples.SIZE[::-1], 3.0, np.float32)
    worker.mailbox.put(Job(thermal, rgb))
    drain(worker, 1)
    worker.mailbox.set_extrinsics(rig_samples.side_by_side())
    for index, image in enumerate((None, depth)):
        worker.mailbox.put(Job(thermal, rgb, depth=image))
        drain(worker, 2 + index)
    assert worker.stop(10) and log.errors == []
    # Both in one place, then side by side on the plane, then at a depth.
    expected = [rig_samples.fused(baseline_m=0.0), rig_samples.fused(), rig_samples.fused(3.0)]
    for result, picture in zip(results, expected, strict=True):
        assert np.abs(result.fused.astype(int) - picture).max() <= 1


def test_worker_survives_a_failing_publisher(config: FusionNodeConfig, log: Log) -> None:
    def publish(result: FusionResult, job: Job) -> None:
        raise OSError("no network")

    worker = Worker(config, publish, log)
    worker.load(threading.Event.wait)
    worker.mailbox.put(pair(1))
    drain(worker, 1)
    assert "no network" in log.errors[0]
    assert worker.stop(10)


def test_worker_passes_on_why_it_cannot_load(tmp_path: Path, log: Log) -> None:
    config = FusionNodeConfig(fusion=FusionConfig(model=str(tmp_path / "none.onnx")))
    worker = Worker(config, lambda result, job: None, log)
    with pytest.raises(ModelError, match=r"none\.onnx"):
        worker.load(threading.Event.wait)
    assert worker.stop(10)


def test_loading_can_be_interrupted(
    monkeypatch: pytest.MonkeyPatch, config: FusionNodeConfig, log: Log
) -> None:
    go_on = threading.Event()

    def build_slowly(config: FusionNodeConfig, *, live: bool) -> None:
        go_on.wait(30)
        raise ModelError("too late")

    monkeypatch.setattr("ivfusion_ros.ros.worker.build_pipeline", build_slowly)
    worker = Worker(config, lambda result, job: None, log)
    with pytest.raises(InterruptedError):
        worker.load(lambda _: False)
    assert any_at_work() and not worker.stop(0.05)
    go_on.set()
    assert worker.stop(10)


def test_node_parameters_extend_those_of_the_pipeline() -> None:
    names = [item.name for item in iter_parameters(FusionNodeConfig)]
    assert names[:2] == ["pairing.max_skew_ms", "pairing.thermal_time_offset_ms"]
    assert [name for name in names if name.startswith("node.")] == [
        "node.thermal_transport",
        "node.rgb_transport",
        "node.image_buffers",
        "node.silent_after_s",
        "node.when_silent",
        "node.watch_time_offset",
        "node.lazy",
        "node.autostart",
    ]


def test_one_parameter_file_serves_node_and_replay() -> None:
    path = ROOT / "config/fusion.yaml"
    values = read_yaml(path)["/**"]["ros__parameters"]
    live, desk = make_config(FusionNodeConfig, values), load_config(PipelineConfig, path)
    for section in ("pairing", "thermal", "registration", "faults", "fusion", "detection"):
        assert getattr(live, section) == getattr(desk, section)
