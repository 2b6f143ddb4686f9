"""The installed package as users meet it: ros2 launch, run, param, lifecycle, bag; and colcon build."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import harness
import numpy as np
import pytest
import yaml

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.bags.messages import deserialize
from ivfusion_ros.commands.replay import Outputs, replay_source
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.types import CameraInfo, Frame

RATES = (1.0, 0.5, 0.25, 0.125)
"""Each for a busier machine: frames that are late for their turn are left out of a live run."""
SPIN_S = (1, 4, 16)
REPLAY = ("ros2", "launch", "ivfusion_ros", "replay.launch.py")


@pytest.fixture
def ros2_bag() -> None:
    for package in ("ros2bag", "rosbag2_storage_mcap"):
        if not any(
            (Path(folder) / "share/ament_index/resource_index/packages" / package).exists()
            for folder in os.environ["AMENT_PREFIX_PATH"].split(":")
        ):
            pytest.skip(f"needs {package}, which this ROS 2 lacks")


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """An ament prefix with this checkout in it, as a colcon installation lays it out."""
    prefix = tmp_path / "prefix"
    share, programs = prefix / "share/ivfusion_ros", prefix / "lib/ivfusion_ros"
    index = prefix / "share/ament_index/resource_index/packages"
    for folder in (share, programs, index):
        folder.mkdir(parents=True)
    (index / "ivfusion_ros").touch()
    shutil.copy(harness.REPOSITORY / "package.xml", share)
    for name in ("launch", "config"):
        shutil.copytree(harness.REPOSITORY / name, share / name)
    program = programs / "fusion_node"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m ivfusion_ros.ros.node "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return prefix


def ament_path(prefix: Path) -> str:
    return f"{prefix}:{os.environ['AMENT_PREFIX_PATH']}"


def ros2(probe: Any, prefix: Path, *words: str) -> str:
    """What a ros2 command prints."""
    process = probe.run(["ros2", *words], AMENT_PREFIX_PATH=ament_path(prefix))
    status = process.process.wait(harness.PATIENCE_S)
    assert status == 0, process.log()
    return str(process.log())


def ask(probe: Any, prefix: Path, *words: str) -> str:
    """What a ros2 command prints that has to discover a node; it looks longer each time."""
    for spin_s in SPIN_S:
        command = ["ros2", *words, "--no-daemon", "--spin-time", str(spin_s)]
        process = probe.run(command, AMENT_PREFIX_PATH=ament_path(prefix))
        if process.process.wait(harness.PATIENCE_S) == 0:
            return str(process.log())
    raise AssertionError(process.log())


def test_live_launch(probe: Any, prefix: Path, blend_model: Path) -> None:
    calibration = harness.REPOSITORY / "config/calibration/identity.yaml"
    launched = probe.run(
        [
            "ros2",
            "launch",
            "ivfusion_ros",
            "live.launch.py",
            "namespace:=front",
            "rgb_topic:=/camera/color/image_raw",
            "thermal_topic:=/boson/image_raw",
            f"model:={blend_model}",
            "backend:=onnxruntime",
            "node_name:=eyes",
            "log_level:=debug",
            "threshold:=0.4",
            "tracker:=off",
            "hold_thermal_ms:=200",
            "image_reliability:=reliable",
            "dds:=cyclonedds",
            f"calibration:={calibration}",
            f"sigterm_timeout:={harness.PATIENCE_S / 2}",
        ],
        AMENT_PREFIX_PATH=ament_path(prefix),
    )
    launched.wait_for_log("active, listening to /boson/image_raw and /camera/color/image_raw")
    topics = {"rgb": "/camera/color/image_raw", "thermal": "/boson/image_raw"}
    cameras = harness.Cameras(probe, "/front", **topics)
    infos = probe.publisher(harness.CameraInfo, "/camera/color/camera_info")
    infos.publish(harness.CameraInfo(width=640, height=480))
    # A plain image would be a fault.
    board = (np.indices((480, 640)) // 40).sum(0) % 2 * 100
    rgb, thermal = (board[..., None].repeat(3, 2) + 20).astype(np.uint8), (board + 120).astype(np.uint8)
    fused = cameras.send(harness.image(rgb, "rgb8"), harness.image(thermal, "mono8"))
    assert {*fused.data} == {70, 170}
    node = "/front/eyes"
    assert "active" in ask(probe, prefix, "lifecycle", "get", node)
    described = ask(probe, prefix, "param", "describe", node, "pairing.max_skew_ms")
    assert "Type: double" in described and "Max value: 1000.0" in described
    assert probe.get("fusion.model", node) == str(blend_model)
    assert probe.get("use_sim_time", node) is False
    assert probe.get("detection.confidence", node) == 0.4
    assert probe.get("tracking.tracker", node) == "off"
    assert probe.get("pairing.hold_thermal_ms", node) == 200.0
    for topic in topics.values():
        assert probe.get(f"qos_overrides.{topic}.subscription.reliability", node) == "reliable"
    status, _ = launched.interrupt()
    assert status == 0 and "process has finished cleanly" in launched.log(), launched.log()


def test_launch_files_show_their_arguments(probe: Any, prefix: Path) -> None:
    shown = ros2(probe, prefix, "launch", "ivfusion_ros", "live.launch.py", "--show-args")
    names = (
        "namespace", "node_name", "log_level", "respawn", "rgb_topic", "thermal_topic", "depth_topic",
        "config", "model", "backend", "device", "detector", "detector_backend", "threshold", "iou",
        "tracker", "hold_thermal_ms", "image_reliability", "calibration", "extrinsics", "autostart", "dds",
        "use_sim_time",
    )  # fmt: skip
    for name in names:
        assert f"'{name}':" in shown
    shown = ros2(probe, prefix, "launch", "ivfusion_ros", "replay.launch.py", "--show-args")
    for name in ("bag", "output", "loop", "rate"):
        assert f"'{name}':" in shown


@pytest.mark.parametrize(
    ("device", "backend", "visible"),
    [("cpu", "auto", ""), ("cuda", "tensorrt", None), ("cuda:1", "onnxruntime", "1")],
)
def test_a_device_is_chosen_by_name(
    probe: Any, prefix: Path, device: str, backend: str, visible: str | None
) -> None:
    words = [f"device:={device}", "autostart:=false"]
    if backend == "onnxruntime":
        words.append(f"backend:={backend}")
    launched = probe.run(
        ["ros2", "launch", "ivfusion_ros", "live.launch.py", *words],
        AMENT_PREFIX_PATH=ament_path(prefix),
        CUDA_VISIBLE_DEVICES="7",
    )
    launched.wait_for_log("waiting for: ros2 lifecycle set")
    assert probe.get("fusion.backend") == backend
    assert probe.get("detection.backend") == ("tensorrt" if "cuda" in device else "auto")
    pid = launched.process.pid
    tasks = Path(f"/proc/{pid}/task").iterdir()
    (child,) = [child for task in tasks for child in (task / "children").read_text().split()]
    variables = Path(f"/proc/{child}/environ").read_text().split("\0")
    assert f"CUDA_VISIBLE_DEVICES={'7' if visible is None else visible}" in variables


@pytest.mark.parametrize("device", ["gpu", "cuda:one", "cpu:0"])
def test_an_unknown_device_is_refused(probe: Any, prefix: Path, device: str) -> None:
    command = ["ros2", "launch", "ivfusion_ros", "live.launch.py", f"device:={device}"]
    launched = probe.run(command, AMENT_PREFIX_PATH=ament_path(prefix))
    assert launched.process.wait(harness.PATIENCE_S) != 0
    assert f"device:={device} is unknown, expected cpu, cuda or cuda:N" in launched.log()


def test_an_unknown_profile_of_dds_is_refused(probe: Any, prefix: Path) -> None:
    command = ["ros2", "launch", "ivfusion_ros", "live.launch.py", "dds:=opendds"]
    launched = probe.run(command, AMENT_PREFIX_PATH=ament_path(prefix))
    assert launched.process.wait(harness.PATIENCE_S) != 0
    assert "dds:=opendds is no profile of config/dds, expected cyclonedds or fastdds" in launched.log()


def write_bag(path: Path, count: int = 40) -> None:
    """16-bit thermal, so that the smoothing over time takes part; 10 Hz."""
    random = np.random.default_rng(5)
    info = CameraInfo(96, 64, k=tuple(map(float, range(9))))
    with BagWriter(path) as writer:
        for index in range(count):
            stamp_ns = 1_700_000_000_000_000_000 + index * 100 * harness.MS
            rgb = random.integers(0, 256, (64, 96, 3), np.uint8)
            thermal = random.integers(29000 + 10 * index, 31000 + 40 * index, (64, 96), np.uint16)
            writer.write_frame("rgb", Frame(rgb, stamp_ns, "rgb_optical_frame", info))
            writer.write_frame(
                "thermal", Frame(thermal, stamp_ns + 4 * harness.MS, "thermal_optical_frame")
            )


def outputs(path: Path) -> dict[str, dict[int, Any]]:
    """Messages by topic and stamp."""
    found: dict[str, dict[int, Any]] = {"/fused/image_raw": {}, "/detections": {}}
    with BagReader(path) as reader:
        for topic, _, data in reader.messages(found):
            message = deserialize(data, topic.type)
            found[topic.name][harness.stamp_of(message)] = message
    return found


def replay_live(
    probe: Any, prefix: Path, bag: Path, output: Path, parameters: dict[str, Any], rate: float
) -> Any:
    """The launched process, when it has ended by itself."""
    overrides = {
        f"/{camera}/image_raw": {"subscription": {"reliability": "reliable", "depth": 100}}
        for camera in ("rgb", "thermal")
    }
    config = output.with_suffix(".yaml")
    config.write_text(
        yaml.safe_dump({"/**": {"ros__parameters": {**parameters, "qos_overrides": overrides}}})
    )
    launched = probe.run(
        [*REPLAY, f"bag:={bag}", f"output:={output}", f"config:={config}", f"rate:={rate}"],
        AMENT_PREFIX_PATH=ament_path(prefix),
    )
    launched.process.wait(4 * harness.PATIENCE_S)
    return launched


@pytest.mark.usefixtures("ros2_bag")
def test_replay_launch_gives_what_ivfusion_replay_gives(
    probe: Any, prefix: Path, blend_model: Path, box_model: Path, tmp_path: Path
) -> None:
    bag = tmp_path / "input"
    write_bag(bag)
    parameters = {
        "fusion": {"model": str(blend_model), "backend": "onnxruntime"},
        "detection": {"model": str(box_model), "backend": "onnxruntime"},
    }
    replay_source([bag], Outputs(tmp_path / "desk"), make_config(PipelineConfig, parameters))
    desk = outputs(tmp_path / "desk")
    assert len(desk["/fused/image_raw"]) == 40
    for rate in RATES:
        recorded = tmp_path / f"live_{rate}"
        launched = replay_live(probe, prefix, bag, recorded, parameters, rate)
        assert "the replay has ended" in launched.log(), launched.log()
        live = outputs(recorded)
        # Smoothing carries a lost frame on, and the last pair may wait for a frame that never comes.
        if list(live["/fused/image_raw"])[:38] == list(desk["/fused/image_raw"])[:38]:
            break
    assert len(live["/fused/image_raw"]) >= 38 and len(live["/detections"]) >= 38, launched.log()
    for topic, by_stamp in live.items():
        for stamp, message in by_stamp.items():
            assert_same(message, desk[topic][stamp])


def assert_same(one: Any, other: Any) -> None:
    """Equal message contents, field by field."""
    if isinstance(one, np.ndarray):
        assert np.array_equal(one, other)
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            assert_same(*pair)
    elif hasattr(one, "__msgtype__"):
        assert one.__msgtype__ == other.__msgtype__
        for name in one.__dataclass_fields__:
            if name != "__msgtype__":
                assert_same(getattr(one, name), getattr(other, name))
    else:
        assert one == other


@pytest.mark.usefixtures("ros2_bag")
def test_looped_bag_through_the_player(probe: Any, prefix: Path, blend_model: Path, tmp_path: Path) -> None:
    bag = tmp_path / "input"
    write_bag(bag, 15)
    launched = probe.run(
        [
            *REPLAY,
            f"bag:={bag}",
            f"model:={blend_model}",
            "backend:=onnxruntime",
            "loop:=true",
            "rate:=2.0",
        ],
        AMENT_PREFIX_PATH=ament_path(prefix),
    )
    fused = probe.listen(harness.Image, "/fused/image_raw")
    seen: Counter[int] = Counter()

    def three_laps() -> bool:
        seen.clear()
        seen.update(harness.stamp_of(message) for message in list(fused.messages))
        return sum(count >= 3 for count in seen.values()) >= 10

    harness.wait_until(three_laps, "10 pairs in each of three laps", 2 * harness.PATIENCE_S)
    launched.interrupt()
    assert "Traceback" not in launched.log()


@pytest.mark.usefixtures("ros2_bag")
def test_a_node_that_cannot_be_configured_ends_the_replay(probe: Any, prefix: Path, tmp_path: Path) -> None:
    launched = probe.run(
        [*REPLAY, f"bag:={tmp_path}", "model:=/none.onnx"],
        AMENT_PREFIX_PATH=ament_path(prefix),
    )
    assert launched.process.wait(harness.PATIENCE_S) == 1
    assert "there is no model file at /none.onnx" in launched.log()
    assert "cannot be configured" in launched.log()


@pytest.mark.usefixtures("ros2_bag")
def test_a_bag_that_cannot_be_played_fails_the_replay(
    probe: Any, prefix: Path, blend_model: Path, tmp_path: Path
) -> None:
    launched = probe.run(
        [*REPLAY, f"bag:={tmp_path / 'none'}", f"model:={blend_model}", "backend:=onnxruntime"],
        AMENT_PREFIX_PATH=ament_path(prefix),
    )
    assert launched.process.wait(harness.PATIENCE_S) == 1
    assert "ended with exit status" in launched.log()


def test_a_replay_without_ros2_bag_says_what_to_install(probe: Any, prefix: Path, tmp_path: Path) -> None:
    """Everything of this ROS 2 but for ros2bag, by a prefix whose index leaves it out."""
    index = Path("share/ament_index/resource_index/packages")
    for folder in map(Path, os.environ["AMENT_PREFIX_PATH"].split(":")):
        for package in (folder / index).iterdir():
            if package.name != "ros2bag" and not (prefix / index / package.name).exists():
                (prefix / index / package.name).touch()
                share = prefix / "share" / package.name
                if not share.exists():
                    share.symlink_to(folder / "share" / package.name)
    launched = probe.run([*REPLAY, f"bag:={tmp_path}"], AMENT_PREFIX_PATH=str(prefix))
    assert launched.process.wait(harness.PATIENCE_S) == 1
    distro = os.environ["ROS_DISTRO"]
    assert f"package ros2bag is not in this environment: apt install ros-{distro}-ros2bag" in launched.log()


def test_colcon_build_gives_a_node_that_runs(probe: Any, tmp_path: Path) -> None:
    if shutil.which("colcon") is None:
        pytest.skip("needs colcon")
    install = tmp_path / "install"
    places = ["--base-paths", str(harness.REPOSITORY), "--build-base", str(tmp_path / "build")]
    log = ["--log-base", str(tmp_path / "log")]
    built = probe.run(["colcon", *log, "build", *places, "--install-base", str(install)])
    assert built.process.wait(3 * harness.PATIENCE_S) == 0, built.log()
    site = ":".join(path for path in sys.path if path.endswith("site-packages"))
    run = f". {install}/setup.sh && PYTHONPATH=$PYTHONPATH:{site} exec ros2 run ivfusion_ros fusion_node"
    node = probe.run(["bash", "-c", run], PYTHONPATH=os.environ["PYTHONPATH"])
    node.wait_for_log("waiting for: ros2 lifecycle set /fusion_node configure")
    assert probe.state() == "unconfigured"
    # ros2 run passes no signal on to the node, so that its whole group is told, as by Ctrl-C.
    os.killpg(node.process.pid, signal.SIGINT)
    assert node.process.wait(harness.PATIENCE_S) in (0, 2, 130, -2)
    group = ["pgrep", "-g", str(node.process.pid)]
    harness.wait_until(lambda: subprocess.run(group, check=False).returncode == 1, "an empty group")
