"""Depth images that go with pairs, from a topic's bytes to the registered pixels."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rig_samples
from bag_samples import IMAGE, START_NS, Message, image, write_rosbag2

from ivfusion_ros.bags import BagReader, BagTopic
from ivfusion_ros.bags.messages import deserialize, to_frame
from ivfusion_ros.bags.topics import choose_depth_topic
from ivfusion_ros.cli import main
from ivfusion_ros.commands.replay import Outputs, replay_source
from ivfusion_ros.config.node import FusionNodeConfig
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig, RegistrationConfig
from ivfusion_ros.errors import BagError, ConfigError, ImageError
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.images.encodings import decode_depth
from ivfusion_ros.messages import to_depth_frame
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.replay import Replay
from ivfusion_ros.ros.streams import Job, Streams
from ivfusion_ros.sync.depth import MAX_FRAMES, DepthFrames
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import DepthFrame, Frame, FramePair, FusionResult

MS = 1_000_000
PERIOD_NS = 100 * MS
NEAR_M, FAR_M = 3.0, 5.0


def depth_image(metres: float) -> np.ndarray:
    return np.full(rig_samples.SIZE[::-1], metres, np.float32)


def pair(stamp_ns: int) -> FramePair:
    thermal = Frame(rig_samples.THERMAL, stamp_ns + 7 * MS, rig_samples.THERMAL_FRAME)
    return FramePair(thermal, Frame(rig_samples.RGB, stamp_ns, rig_samples.RGB_FRAME))


def attached(frames: DepthFrames, stamp_ns: int) -> float | None:
    depth = frames.attach(pair(stamp_ns)).depth
    return None if depth is None else float(depth[0, 0])


@pytest.fixture
def config(blend_model, tmp_path) -> PipelineConfig:
    rig = rig_samples.write_rig(tmp_path / "rig.yaml", rig_samples.side_by_side())
    return make_config(
        PipelineConfig,
        {
            "fusion": {"model": str(blend_model), "backend": "onnxruntime"},
            "detection.model": "",
            "faults.gate": False,
            "registration": {"calibration": str(rig), "depth": True},
        },
    )


# --- which one a pair gets ------------------------------------------------------------------------


def test_a_pair_gets_the_nearest_depth_image_that_is_there() -> None:
    frames = DepthFrames(RegistrationConfig(depth_max_skew_ms=40.0))
    assert attached(frames, 0) is None and frames.missed == 1
    for index, stamp_ms in enumerate((0, 33, 66)):
        frames.add(DepthFrame(depth_image(index + 1), stamp_ms * MS))
    assert [attached(frames, stamp_ms * MS) for stamp_ms in (5, 40, 106)] == [1.0, 2.0, 3.0]
    assert attached(frames, 107 * MS) is None
    assert (frames.frames, frames.missed) == (3, 2)
    frames.set_config(RegistrationConfig(depth_max_skew_ms=50.0))
    assert attached(frames, 107 * MS) == 3.0
    frames.reset()
    assert attached(frames, 107 * MS) is None and frames.frames == 3


def test_the_reference_cameras_stamp_counts() -> None:
    frames = DepthFrames(RegistrationConfig(reference="thermal", depth_max_skew_ms=1.0))
    frames.add(DepthFrame(depth_image(2.0), 7 * MS))
    assert attached(frames, 0) == 2.0


def test_few_depth_images_are_kept_and_of_equally_near_ones_the_newest() -> None:
    frames = DepthFrames(RegistrationConfig())
    for lap in range(2):
        for index in range(MAX_FRAMES // 2):
            frames.add(DepthFrame(depth_image(lap + 1), index * PERIOD_NS))
    assert attached(frames, PERIOD_NS) == 2.0
    for index in range(MAX_FRAMES):
        frames.add(DepthFrame(depth_image(3), (100 + index) * PERIOD_NS))
    assert attached(frames, PERIOD_NS) is None


# --- what becomes of it ---------------------------------------------------------------------------


def test_depth_needs_a_rig(tmp_path) -> None:
    flat = tmp_path / "flat.yaml"
    write_calibration(flat, Calibration((96, 64), (96, 64), np.eye(3)))
    for path, found in (("", "there is no calibration"), (str(flat), r".*flat\.yaml has no rig")):
        registration = RegistrationConfig(calibration=path, depth=True)
        with pytest.raises(
            ConfigError, match=rf"registration\.depth is true, but {found}: .*ivfusion calib"
        ):
            build_pipeline(PipelineConfig(registration=registration))


def arrivals() -> list[tuple[str, Frame | DepthFrame]]:
    """Ten moments; depth comes late, is missing for a while, and changes."""
    items: list[tuple[str, Frame | DepthFrame]] = []
    for index in range(10):
        stamp_ns = START_NS + index * PERIOD_NS
        moment = pair(stamp_ns)
        items += [("rgb", moment.rgb), ("thermal", moment.thermal)]
        if not 3 <= index < 6:
            items.append(("depth", DepthFrame(depth_image(NEAR_M if index < 6 else FAR_M), stamp_ns)))
    return items


EXPECTED_M = [NEAR_M, NEAR_M, NEAR_M, NEAR_M, None, None, None, FAR_M, FAR_M, FAR_M]
"""From the fourth on each pair is complete before its own depth image comes, so it has the one before."""


def replayed(config: PipelineConfig) -> tuple[list[FusionResult], Replay]:
    with build_pipeline(config) as pipeline:
        replay = Replay(Synchronizer(config), pipeline)

        def frames():
            for name, frame in arrivals():
                if name == "depth":
                    replay.synchronizer.depth.add(frame)
                else:
                    yield name, frame

        return list(replay.results(frames())), replay


def test_pixels_are_registered_at_their_depth_and_without_one_at_the_plane(config) -> None:
    results, replay = replayed(config)
    assert len(results) == 10
    for result, metres in zip(results, EXPECTED_M, strict=True):
        expected = rig_samples.fused(metres or rig_samples.PLANE_M)
        assert np.abs(result.fused.astype(int) - expected).max() <= 1, metres
    assert replay.report()["pairs_without_depth"] == 3


def test_live_and_replayed_pairs_are_the_same_bytes(config) -> None:
    live: list[FusionResult] = []
    with build_pipeline(config) as pipeline:

        def submit(job: Job) -> None:
            assert job.thermal is not None and job.rgb is not None
            live.append(pipeline.process(FramePair(job.thermal, job.rgb, job.skew_ns, job.depth)))

        node = FusionNodeConfig(config.pairing, registration=config.registration)
        streams = Streams(node, submit, lambda silent: None)
        for name, frame in arrivals():
            streams.synchronizer.depth.add(frame) if name == "depth" else streams.add(name, frame)
    results, _ = replayed(config)
    # The last pairs wait for a next frame until a bag ends; a live stream does not end.
    assert len(results) - 1 <= len(live) <= len(results)
    for one, other in zip(live, results, strict=False):
        np.testing.assert_array_equal(one.fused, other.fused)


def bag_messages() -> list[Message]:
    messages: list[Message] = []
    for number, (name, frame) in enumerate(arrivals()):
        pixels = frame.image
        if name == "depth":
            millimetres = (1000 * pixels).astype(np.uint16)
            data = image(millimetres, "16UC1", frame.stamp_ns, rig_samples.RGB_FRAME)
            topic = "/camera/aligned_depth_to_color/image_raw"
        else:
            data = image(pixels, "rgb8" if name == "rgb" else "mono8", frame.stamp_ns, frame.frame_id)
            topic = f"/{name}/image_raw"
        messages.append((topic, IMAGE, START_NS + number * MS, data))
    return messages


@pytest.mark.parametrize("name", [None, "/camera/aligned_depth_to_color/image_raw"])
def test_a_bag_with_depth_images_is_replayed_by_them(config, tmp_path, name) -> None:
    bag = write_rosbag2(tmp_path / "bag", bag_messages())
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config, depth_topic=name)
    assert figures["topics"]["others"] == ["/camera/aligned_depth_to_color/image_raw"]
    assert (figures["pairs"], figures["pairs_without_depth"]) == (10, 3)
    expected, _ = replayed(config)
    with BagReader(tmp_path / "fused.mcap") as reader:
        stored = [to_pixels(data) for topic, _, data in reader.messages({"/fused/image_raw"})]
    assert len(stored) == 10
    for pixels, result in zip(stored, expected, strict=True):
        np.testing.assert_array_equal(pixels, result.fused)


def to_pixels(data):
    return to_frame(data, IMAGE).image


def test_naming_the_depth_topic_is_asking_for_depth(config, tmp_path) -> None:
    bag, report = write_rosbag2(tmp_path / "bag", bag_messages()), tmp_path / "report.json"
    options = ["--model", config.fusion.model, "--detector", "", "--backend", "onnxruntime"]
    options += ["--set", f"registration.calibration={config.registration.calibration}"]
    options += ["--depth-topic", "camera/aligned_depth_to_color/image_raw", "--json", str(report)]
    assert main(["replay", str(bag), str(tmp_path / "fused.mcap"), *options]) == 0
    assert json.loads(report.read_text())["pairs_without_depth"] == 3


def test_a_bag_without_depth_images_is_refused(config, small_bag, tmp_path) -> None:
    with pytest.raises(
        BagError, match=r"no topic looks like the depth image.*/rgb/image_raw.*--depth-topic"
    ):
        replay_source([small_bag], Outputs(tmp_path / "fused.mcap"), config)


def test_unreadable_depth_images_are_counted(config, tmp_path) -> None:
    wrong = image(rig_samples.RGB, "rgb8", START_NS)
    messages = [*bag_messages(), ("/camera/aligned_depth_to_color/image_raw", IMAGE, START_NS, wrong)]
    bag = write_rosbag2(tmp_path / "bag", sorted(messages, key=lambda item: item[2]))
    topic = "/camera/aligned_depth_to_color/image_raw"
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config, depth_topic=topic)
    assert figures["skipped_messages"] == {topic: 1} and figures["pairs_without_depth"] == 3


# --- topics and encodings -------------------------------------------------------------------------


def topic(name: str, encoding: str = "16UC1", type_: str = IMAGE) -> BagTopic:
    return BagTopic(name, type_, encoding)


def test_the_depth_topic_is_guessed_where_it_is_clear() -> None:
    thermal, rgb = topic("/thermal/image_raw", "16UC1"), topic("/rgb/image_raw", "rgb8")
    raw, aligned = topic("/c/depth/image_rect_raw"), topic("/c/aligned_depth_to_color/image_raw")
    assert choose_depth_topic([thermal, rgb, raw]) == "/c/depth/image_rect_raw"
    assert choose_depth_topic([thermal, rgb, raw, aligned]) == "/c/aligned_depth_to_color/image_raw"
    assert choose_depth_topic([thermal, rgb, raw, aligned], "c/depth/image_rect_raw") == raw.name
    assert choose_depth_topic([replace(raw, encoding="32FC1"), rgb]) == raw.name
    with pytest.raises(BagError, match="2 topics may be the depth image"):
        choose_depth_topic([raw, topic("/d/depth/image")])
    with pytest.raises(BagError, match="no topic looks like the depth image"):
        choose_depth_topic([thermal, rgb])
    with pytest.raises(BagError, match="has no topic /nothing"):
        choose_depth_topic([thermal, rgb], "/nothing")


@pytest.mark.parametrize("kind", ["<f4", ">f4", "<u2", ">u2"])
@pytest.mark.parametrize(("pad", "start"), [(0, 0), (8, 0), (3, 0), (4, 1)])
def test_depth_of_any_byte_order_and_alignment(kind: str, pad: int, start: int) -> None:
    values = np.arange(1, 13, dtype=kind).reshape(3, 4)
    rows = np.pad(values.view(np.uint8).reshape(3, -1), ((0, 0), (0, pad)))
    data = memoryview(bytes(start) + rows.tobytes())[start:]
    depth = decode_depth(
        data,
        encoding="32FC1" if "f" in kind else "16UC1",
        width=4,
        height=3,
        step=rows.shape[1],
        is_bigendian=kind[0] == ">",
    )
    assert depth.dtype == (np.float32 if "f" in kind else np.uint16)
    np.testing.assert_array_equal(depth, values.astype(float))


def test_other_encodings_are_no_depth() -> None:
    with pytest.raises(ImageError, match=r"'rgb8', expected 32FC1 .metres. or 16UC1"):
        decode_depth(bytes(12), encoding="rgb8", width=2, height=2, step=6, is_bigendian=False)
    with pytest.raises(ImageError, match="is it truncated"):
        decode_depth(bytes(12), encoding="32FC1", width=2, height=2, step=8, is_bigendian=False)


def test_live_and_bag_depth_images_are_equal() -> None:
    data = image(depth_image(2.5), "32FC1", START_NS + 5, "rgb")
    stored = to_depth_frame(deserialize(data, IMAGE))
    stamp = SimpleNamespace(sec=START_NS // 10**9, nanosec=START_NS % 10**9 + 5)
    width, height = rig_samples.SIZE
    message = SimpleNamespace(
        header=SimpleNamespace(stamp=stamp), encoding="32FC1", width=width, height=height,
        step=4 * width, is_bigendian=0, data=depth_image(2.5).tobytes(),
    )  # fmt: skip
    live = to_depth_frame(message)
    assert live.stamp_ns == stored.stamp_ns == START_NS + 5
    np.testing.assert_array_equal(live.image, stored.image)
    assert live.image.dtype == np.float32
