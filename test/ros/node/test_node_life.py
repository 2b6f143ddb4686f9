"""Lifecycle, parameters, signals: a node from start to end, in a process of its own."""

from __future__ import annotations

import inspect
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest

from ivfusion_ros.errors import DeviceLostError

if TYPE_CHECKING:
    from pathlib import Path

SLEEPING = {"program": "sleeping_node.py", "fusion__backend": "sleeping"}
END_S = 2.0
HANG_S = "1000"
"""What a backend sleeps that would hold up the end, had the end to wait for it."""


def pair(red: int = 50, size: tuple[int, int] = (64, 96)) -> tuple[Any, Any]:
    rgb = np.full((*size, 3), red, np.uint8)
    return harness.image(rgb, "rgb8"), harness.image(np.full(size, 150, np.uint8), "mono8")


def first_value(message: Any) -> int:
    return int(message.data[0])


def test_failure_to_configure_says_why_and_another_model_works_in_the_same_process(
    probe: Any, blend_model: Path, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    node = probe.start(fusion__model=str(tmp_path / "none.onnx"))
    assert not probe.change_state("configure")
    assert "cannot configure: there is no model file at" in node.log()
    assert probe.state() == "unconfigured"
    assert probe.set(fusion__model=str(damaged)) == ""
    assert not probe.change_state("configure")
    assert "cannot load" in node.log() or "damaged" in node.log()
    assert probe.set(fusion__model=str(blend_model)) == ""
    assert probe.change_state("configure") and probe.change_state("activate")
    assert first_value(harness.Cameras(probe).send(*pair())) == 100
    assert "Traceback" not in node.log()
    assert node.stop()[0] == 0


def test_a_transition_that_the_state_does_not_allow_is_refused(probe: Any, blend_model: Path) -> None:
    node = probe.start(fusion__model=str(blend_model))
    for state, wrong, right in (
        ("unconfigured", ("activate", "deactivate", "cleanup"), "configure"),
        ("inactive", ("configure", "deactivate"), "activate"),
        ("active", ("configure", "activate", "cleanup"), ""),
    ):
        assert probe.state() == state
        for transition in wrong:
            assert not probe.change_state(transition)
        assert probe.state() == state
        assert not right or probe.change_state(right)
    assert first_value(harness.Cameras(probe).send(*pair())) == 100
    ours = "is impossible in this state: `ros2 lifecycle list /fusion_node`"
    # rclpy says it itself from 8.0 on.
    assert ours in node.log() or "Unable to start transition" in node.log()
    assert "Traceback" not in node.log() and node.stop()[0] == 0


def test_a_manager_that_is_quicker_than_autostart_is_left_to_it(probe: Any, blend_model: Path) -> None:
    # Of the two, one comes second, and neither ends the process.
    node = probe.start(fusion__model=str(blend_model), node__autostart=True)
    probe.change_state("configure")
    harness.wait_until(
        lambda: probe.change_state("activate") or probe.state() == "active", "an active node"
    )
    assert first_value(harness.Cameras(probe).send(*pair())) == 100
    assert "Traceback" not in node.log() and node.stop()[0] == 0


def test_buffers_of_another_ros_are_refused_with_the_reason(probe: Any, blend_model: Path) -> None:
    parameters = inspect.signature(type(probe.node).create_subscription).parameters
    if "acceptable_buffer_backends" in parameters:
        pytest.skip("this ROS 2 has buffer backends")
    node = probe.start(fusion__model=str(blend_model), node__image_buffers="cuda")
    assert not probe.change_state("configure")
    assert "cannot configure: node.image_buffers is cuda, but rclpy of ROS 2" in node.log()
    assert probe.set(node__image_buffers="cpu") == "" and probe.change_state("configure")


def test_a_lost_gpu_ends_the_process_with_its_status(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(fusion__model=str(blend_model), **SLEEPING)
    cameras = harness.Cameras(probe)
    assert first_value(cameras.send(*pair())) == 50
    fatal, thermal = pair(red=14)
    for message, camera in ((fatal, cameras.rgb), (thermal, cameras.thermal)):
        camera.publish(harness.set_stamp(message, cameras.now_ns + cameras.step_ns))
    assert node.process.wait(harness.PATIENCE_S) == DeviceLostError.exit_code
    assert "cudaErrorIllegalAddress" in node.log() and "the GPU is lost to this process" in node.log()
    assert "Traceback" not in node.log()


def test_reconfigure_while_images_come(probe: Any, blend_model: Path) -> None:
    node = probe.start_active(
        fusion__model=str(blend_model), **{**SLEEPING, "fusion__backend": "onnxruntime"}
    )
    cameras = harness.Cameras(probe)
    assert first_value(cameras.send(*pair())) == 100
    refusal = probe.set(fusion__backend="sleeping")
    assert "fusion.backend takes effect at the next configure" in refusal and "clean up" in refusal
    with stream(cameras):
        assert probe.change_state("deactivate") and probe.change_state("cleanup")
        assert probe.set(fusion__backend="sleeping") == ""
        assert probe.change_state("configure") and probe.change_state("activate")
        cameras.fused.wait_for(lambda item: first_value(item) == 50, "an image of the other backend")
    assert "Traceback" not in node.log()
    assert node.stop()[0] == 0


class stream:
    """Both cameras at 30 Hz in the background."""

    def __init__(self, cameras: Any, rate_hz: float = 30.0) -> None:
        self._cameras = cameras
        self._period_s = 1 / rate_hz
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        rgb, thermal = pair()
        while not self._end.wait(self._period_s):
            stamp_ns = time.time_ns()
            self._cameras.rgb.publish(harness.set_stamp(rgb, stamp_ns))
            self._cameras.thermal.publish(harness.set_stamp(thermal, stamp_ns))

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: Any) -> None:
        self._end.set()
        self._thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("state", ["unconfigured", "configuring", "active", "under load", "slow image"])
def test_signals_end_it_within_2_s(probe: Any, blend_model: Path, number: Any, state: str) -> None:
    seconds = {"configuring": (HANG_S, "0"), "slow image": ("0", HANG_S)}.get(state, ("0", "0.06"))
    env = dict(zip(("LOAD_S", "SLEEP_S"), seconds, strict=True))
    options = {"fusion__model": str(blend_model), "env": env, **SLEEPING}
    start_s = time.monotonic()
    if state == "unconfigured":
        node = probe.start(**options)
        node.wait_for_log("waiting for: ros2 lifecycle set /fusion_node configure")
    elif state == "configuring":
        node = probe.start(node__autostart=True, **options)
        node.wait_for_log("loading")
    else:
        node = probe.start_active(**options)
    # A busy machine slows the end down as it does the start; what hangs needs far longer.
    slack_s = time.monotonic() - start_s
    if state in ("under load", "slow image"):
        cameras = harness.Cameras(probe)
        with stream(cameras):
            if state == "under load":
                cameras.fused.wait(10)
            else:
                node.wait_for_log("an image is in work")
            status, elapsed_s = node.stop(number)
    else:
        status, elapsed_s = node.stop(number)
    assert status == 0, node.log()
    assert elapsed_s < END_S + slack_s
    assert "Traceback" not in node.log()


INTERRUPTED_AT = """
import os, signal, sys, time
import rclpy
from ivfusion_ros.ros import fusion_node

def interrupted(what, *, before):
    def call(*given, **named):
        if before:
            os.kill(os.getpid(), signal.SIGINT)
        made = what(*given, **named)
        if not before:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        return made
    return call

moment = sys.argv.pop(1)
if moment == "made":
    fusion_node.FusionNode = interrupted(fusion_node.FusionNode, before=False)
else:
    rclpy.init = interrupted(rclpy.init, before=moment == "before")
sys.exit(fusion_node.run(sys.argv))
"""
"""Ctrl-C just before or after rclpy begins, or after the node was made."""


@pytest.mark.parametrize(("moment", "status"), [("before", 130), ("after", 130), ("made", 0)])
def test_ctrl_c_while_the_node_is_made_ends_it_quietly(probe: Any, moment: str, status: int) -> None:
    node = probe.run([sys.executable, "-c", INTERRUPTED_AT, moment])
    assert node.process.wait(harness.PATIENCE_S) == status, node.log()
    assert "Traceback" not in node.log() and "Exception ignored" not in node.log()


def test_an_exception_in_processing_is_logged_with_stamps_and_survived(
    probe: Any, blend_model: Path
) -> None:
    node = probe.start_active(fusion__model=str(blend_model), **SLEEPING)
    cameras, diagnostics = harness.Cameras(probe), harness.Diagnostics(probe)
    cameras.send(*pair())
    cameras.now_ns += 100 * harness.MS
    poisoned, thermal = pair(red=13)
    cameras.rgb.publish(harness.set_stamp(poisoned, cameras.now_ns))
    cameras.thermal.publish(harness.set_stamp(thermal, cameras.now_ns))
    node.wait_for_log(f"thermal at {cameras.now_ns} ns and rgb at {cameras.now_ns} ns")
    node.wait_for_log("RuntimeError: poisoned image")
    diagnostics.wait("fusion", lambda values: values.get("dropped: failed") == "1")
    assert first_value(cameras.send(*pair())) == 50
    assert probe.state() == "active"


def test_live_parameters_change_what_comes_out(probe: Any, blend_model: Path, box_model: Path) -> None:
    probe.start_active(
        fusion__model=str(blend_model), detection__model=str(box_model), detection__backend="onnxruntime"
    )
    cameras = harness.Cameras(probe)
    found = probe.listen(harness.Detection2DArray, "/detections")

    def newest() -> int:
        stamp_ns = harness.stamp_of(cameras.send(*pair()))
        message = found.wait_for(lambda item: harness.stamp_of(item) >= stamp_ns, "detections")
        return len(message.detections)

    harness.wait_until(lambda: cameras.send(*pair()) and found.messages, "detections")
    assert newest() == 1
    assert probe.set(detection__confidence=0.95) == ""
    assert newest() == 0
    # An integer and an empty list are what they look like, whatever ROS makes of them.
    assert probe.set(detection__confidence=0, detection__classes=["car"]) == ""
    assert newest() == 0
    assert probe.set(detection__classes=[]) == ""
    assert newest() == 1
    assert "expected one of" not in probe.set(detection__classes=["person"])
    refusal = probe.set(detection__classes=["dragon"])
    assert "dragon" in refusal
    assert probe.get("detection.classes") == ["person"]
    assert newest() == 1
    assert "must be at most" in probe.set(detection__iou=2) or "out of range" in probe.set(
        detection__iou=2.0
    )
    assert "expected a number" in probe.set(detection__iou="much")
    assert "read-only" in probe.set(node__autostart=False)
    assert probe.set(thermal__polarity="black_hot") == ""
    assert first_value(cameras.send(*pair())) == (50 + 255 - 150) // 2
    assert "white_hot, black_hot" in probe.set(thermal__polarity="blue_hot")


def test_off_may_be_what_yaml_makes_of_it(probe: Any, blend_model: Path) -> None:
    probe.start(fusion__model=str(blend_model))
    assert probe.set(tracking__tracker=False) == ""
    assert probe.set(tracking__tracker="bytetrack") == ""
    assert "tracking.tracker is True (bool), expected a text" in probe.set(tracking__tracker=True)
    assert probe.set(tracking__tracker=False) == "" and probe.change_state("configure")


def test_parameters_are_described_with_type_range_and_meaning(probe: Any, blend_model: Path) -> None:
    probe.start(pairing__max_skew_ms=5, fusion__model=str(blend_model))
    skew, queue, classes, policy = probe.describe(
        ["pairing.max_skew_ms", "pairing.queue_size", "detection.classes", "node.when_silent"]
    )
    assert (skew.type, queue.type, classes.type, policy.type) == (3, 2, 9, 4)
    limits = skew.floating_point_range[0]
    assert (limits.from_value, limits.to_value) == (0.0, 1000.0)
    assert (queue.integer_range[0].from_value, queue.integer_range[0].to_value) == (1, 1000)
    assert "ms" in skew.description and "can change while active" in skew.additional_constraints
    assert "next configure" in queue.additional_constraints
    assert "fallback, silence" in policy.additional_constraints
    assert probe.get("pairing.max_skew_ms") == 5.0


def test_overrides_of_qos_and_diagnostics_are_declared_by_those(probe: Any, blend_model: Path) -> None:
    qos = "qos_overrides./fused/image_raw.publisher.depth"
    values = {qos.replace(".", "__"): 7, "diagnostic_updater__period": 0.5}
    probe.start_active(fusion__model=str(blend_model), **values)
    assert (probe.get(qos), probe.get("diagnostic_updater.period")) == (7, 0.5)
    (described,) = probe.describe([qos])
    assert described.read_only


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        ({"pairing__queue_size": "many"}, "pairing.queue_size is 'many' (str), expected a whole number"),
        ({"pairing__max_skew": 5}, "did you mean pairing.max_skew_ms?"),
        ({"thermal__percentile_low": 80.0}, "thermal.percentile_low is 80.0, must be at most 49.0"),
        ({"node__when_silent": "sing"}, "node.when_silent is 'sing', expected one of fallback, silence"),
    ],
)
def test_wrong_overrides_end_the_process_with_one_line(
    probe: Any, overrides: dict[str, Any], complaint: str
) -> None:
    node = probe.start(**overrides)
    assert node.process.wait(harness.PATIENCE_S) == 2
    assert complaint in node.log() and "Traceback" not in node.log()


def test_a_parameter_file_that_is_no_yaml_ends_the_process_with_one_line(
    probe: Any, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("/**: [")
    words = ["-m", "ivfusion_ros.ros.node", "--ros-args", "--params-file", str(tmp_path / "bad.yaml")]
    node = probe.run([sys.executable, *words])
    assert node.process.wait(harness.PATIENCE_S) == 2
    assert "bad.yaml" in node.log() and "Traceback" not in node.log()


def test_several_nodes_in_one_process(probe: Any, blend_model: Path) -> None:
    node = probe.start("front", "rear", node__autostart=True, fusion__model=str(blend_model))
    harness.wait_until(lambda: node.log().count("active, listening") == 2, "both nodes")
    front, rear = harness.Cameras(probe, "/front"), harness.Cameras(probe, "/rear")
    assert first_value(front.send(*pair(red=50))) == 100
    assert first_value(rear.send(*pair(red=60))) == 105
    assert {*map(first_value, front.fused.messages)} == {100}
    assert {*map(first_value, rear.fused.messages)} == {105}
    assert probe.change_state("deactivate", "/front/fusion_node")
    assert probe.state("/front/fusion_node") == "inactive"
    assert first_value(rear.send(*pair(red=70))) == 110
    assert node.stop()[0] == 0
