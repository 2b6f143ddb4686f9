"""Replay of bags with bad messages: the good pairs are written, and errors name their true reason."""

import json

import numpy as np
import pytest
from bag_samples import STORE, cdr, header, image

from ivfusion_ros.bags import BagReader, BagTopic, BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.sync import Patience

IMAGE, INFO = "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo"
START_NS, STEP_NS, PAIRS, BAD = 1_700_000_000_000_000_000, 100_000_000, 8, 4
K = (60.0, 0, 32, 0, 60, 24, 0, 0, 1)
RIG = """
thermal_size: [64, 48]
rgb_size: [64, 48]
rig: {rgb_from_thermal: {rotation: [[1, 0, 0], [0, 1, 0], [0, 0, 1]], translation_m: [0.05, 0, 0]}}
"""


def info(stamp_ns: int, k=K) -> bytes:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    arrays = {"d": np.zeros(5), "k": np.array(k, float), "r": np.eye(3).ravel(), "p": np.zeros(12)}
    return cdr(
        INFO,
        header=header(stamp_ns, "camera"),
        height=48,
        width=64,
        distortion_model="plumb_bob",
        **arrays,
        binning_x=0,
        binning_y=0,
        roi=roi,
    )


def write_bag(path, change=None, k_rgb=K, k_middle=K):
    """PAIRS pairs; change: (camera, index, pixels, encoding, stamp) -> message, None for the usual one."""
    random = np.random.default_rng(0)
    with BagWriter(path) as writer:
        for index in range(PAIRS):
            stamp_ns = START_NS + index * STEP_NS
            for camera, shape, encoding in (("thermal", (48, 64), "mono8"), ("rgb", (48, 64, 3), "rgb8")):
                k = k_rgb if camera == "rgb" else k_middle if index == BAD else K
                topic = BagTopic(f"/{camera}/camera_info", INFO)
                if index in (0, BAD):
                    writer.write_raw(topic, stamp_ns, info(stamp_ns, k))
                pixels = random.integers(0, 256, shape, np.uint8)
                message = change(camera, index, pixels, encoding, stamp_ns) if change else None
                topic = BagTopic(f"/{camera}/image_raw", IMAGE)
                writer.write_raw(topic, stamp_ns, message or image(pixels, encoding, stamp_ns))
    return path


@pytest.fixture
def replay(tmp_path, blend_model, capsys):
    """(status, standard error, figures or None)"""
    (tmp_path / "rig.yaml").write_text(RIG)

    def call(bag, *words):
        figures = tmp_path / "figures.json"
        output = [tmp_path / "out.mcap", "--json", figures]
        models = ["--model", blend_model, "--detector", "", "--backend", "onnxruntime"]
        status = main(["replay", *map(str, [bag, *output, *models, *words])])
        return status, capsys.readouterr().err, json.loads(figures.read_text()) if not status else None

    return call


def written(tmp_path) -> int:
    with BagReader(tmp_path / "out.mcap") as reader:
        return len(list(reader.messages(["/fused/image_raw"])))


@pytest.mark.parametrize("k", [(np.nan,) * 9, (0.0,) * 9, (1e-300, 0, 32, 0, 1e-300, 24, 0, 0, 1)])
def test_one_bad_camera_info_leaves_the_last_good_one(replay, tmp_path, k) -> None:
    bag = write_bag(tmp_path / "in.mcap", k_middle=k)
    status, said, figures = replay(bag, "--set", f"registration.calibration={tmp_path / 'rig.yaml'}")
    assert status == 0, said
    assert figures["pairs"] == written(tmp_path) == PAIRS
    assert figures["skipped_messages"] == {"/thermal/camera_info": 1}
    assert "the one before counts on" in said


def test_intrinsics_that_no_camera_has_are_refused(replay, tmp_path) -> None:
    bag = write_bag(tmp_path / "in.mcap", k_rgb=(1e-300, 0, 32, 0, 1e-300, 24, 0, 0, 1))
    status, said, _ = replay(bag, "--set", f"registration.calibration={tmp_path / 'rig.yaml'}")
    assert status == 2
    assert "focal lengths are 1e-300" in said.splitlines()[-1]
    assert not (tmp_path / "out.mcap").exists()


def test_a_stamp_that_no_header_holds_costs_one_pair(replay, tmp_path) -> None:
    def change(camera, index, pixels, encoding, stamp_ns):
        if index != BAD:
            return None
        content = bytearray(image(pixels, encoding, stamp_ns))
        # After the encapsulation: seconds, then nanoseconds, which alone are more than a second.
        content[4:12] = np.array([2**31 - 1, 2**32 - 1], "<u4").tobytes()
        return bytes(content)

    status, said, figures = replay(write_bag(tmp_path / "in.mcap", change))
    assert status == 0, said
    assert figures["pairs"] == written(tmp_path) == PAIRS - 1
    assert figures["skipped_messages"] == {"/rgb/image_raw": 1, "/thermal/image_raw": 1}


@pytest.mark.parametrize("camera", ["rgb", "thermal"])
def test_an_encoding_that_is_not_known_is_what_the_error_says(replay, tmp_path, camera) -> None:
    def change(which, index, pixels, encoding, stamp_ns):
        return image(pixels, "xyz24" if which == camera else encoding, stamp_ns)

    topics = ["--thermal-topic", "/thermal/image_raw", "--rgb-topic", "/rgb/image_raw"]
    status, said, _ = replay(write_bag(tmp_path / "in.mcap", change), *topics)
    last = said.splitlines()[-1]
    assert status == 4
    assert f"none of the {PAIRS} messages of /{camera}/image_raw" in last and "'xyz24'" in last
    assert "max_skew" not in last


@pytest.mark.parametrize("bounded", [False, True])
def test_a_camera_recorded_late_costs_no_pair(replay, tmp_path, monkeypatch, bounded) -> None:
    random = np.random.default_rng(0)
    with BagWriter(tmp_path / "in.mcap") as writer:
        messages = []
        for index in range(3 * PAIRS):
            stamp_ns = START_NS + index * STEP_NS
            for camera, shape, late in (("thermal", (48, 64), 2 * PAIRS), ("rgb", (48, 64, 3), 0)):
                pixels = random.integers(0, 256, shape, np.uint8)
                content = image(pixels, "rgb8" if late == 0 else "mono8", stamp_ns)
                messages.append((stamp_ns + late * STEP_NS, camera, content))
        for log_time_ns, camera, content in sorted(messages, key=lambda item: item[0]):
            writer.write_raw(BagTopic(f"/{camera}/image_raw", IMAGE), log_time_ns, content)
    if bounded:
        monkeypatch.setattr("ivfusion_ros.pipeline.recording.READ_AHEAD", Patience(10**12, held_bytes=1))
    few = f"pairing.queue_size={PAIRS}"
    status, said, figures = replay(tmp_path / "in.mcap", "--set", few)
    assert status == 0, said
    if bounded:
        assert figures["pairs"] < 3 * PAIRS and "raise pairing.queue_size" in said
    else:
        assert figures["pairs"] == 3 * PAIRS and "queue_size" not in said


def test_a_frame_of_another_aspect_ratio_costs_one_pair(replay, tmp_path) -> None:
    def change(camera, index, pixels, encoding, stamp_ns):
        return image(pixels[:20].copy(), encoding, stamp_ns) if index == BAD else None

    bag = write_bag(tmp_path / "in.mcap", change)
    status, said, figures = replay(bag, "--set", f"registration.calibration={tmp_path / 'rig.yaml'}")
    assert status == 0, said
    assert figures["pairs"] == written(tmp_path) == PAIRS - 1
    assert sum(figures["failed_pairs"].values()) == 1
    assert f"skipped the pair of thermal {START_NS + BAD * STEP_NS}" in said
