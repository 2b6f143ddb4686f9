"""Transforms between frames: chains, and what a replayed bag makes of /tf_static and /tf."""

from dataclasses import replace

import numpy as np
import pytest
import rig_samples
from bag_samples import IMAGE, START_NS, STORE, Message, cdr, header, image, write_rosbag2
from rig_samples import RGB_FRAME, THERMAL_FRAME

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import deserialize, to_frame, to_transforms
from ivfusion_ros.commands.replay import Outputs, replay_source
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig, RegistrationConfig
from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.geometry.tf import TransformTree, differ, missing_transform
from ivfusion_ros.messages import TRANSFORMS
from ivfusion_ros.pipeline.build import build_pipeline

TF = "tf2_msgs/msg/TFMessage"
MS = 1_000_000
TURNED = Extrinsics.from_quaternion((0.1, -0.2, 0.3, 0.9), (1.0, 2.0, 3.0))


def tf(*transforms: tuple[str, str, float], turn=(0.0, 0.0, 0.0, 1.0)) -> bytes:
    """A TFMessage of (parent, child, x shift)."""
    types = {name: STORE.types[f"geometry_msgs/msg/{name}"] for name in ("Transform", "TransformStamped")}
    vector, quaternion = (STORE.types[f"geometry_msgs/msg/{name}"] for name in ("Vector3", "Quaternion"))
    stamped = [
        types["TransformStamped"](
            header=header(START_NS, parent),
            child_frame_id=child,
            transform=types["Transform"](
                translation=vector(x=x, y=0.0, z=0.0),
                rotation=quaternion(**dict(zip("xyzw", turn, strict=True))),
            ),
        )
        for parent, child, x in transforms
    ]
    return cdr(TF, transforms=stamped)


# --- chains ---------------------------------------------------------------------------------------


def test_a_direct_transform_is_found_both_ways_and_exactly() -> None:
    tree = TransformTree()
    tree.set("rgb", "/thermal", TURNED)
    found = tree.lookup("/rgb", "thermal")
    assert found is not None and tree.lookup("rgb", "thermal") is found
    np.testing.assert_array_equal(found.rotation, TURNED.rotation)
    np.testing.assert_array_equal(found.translation_m, TURNED.translation_m)
    back = tree.lookup("thermal", "rgb")
    assert back is not None and not differ(back, TURNED.inverse())


def test_a_chain_over_common_ancestors_moves_points_as_its_links_do() -> None:
    random = np.random.default_rng(0)
    tree, links = TransformTree(), {}
    parents = {"mount": "base", "rgb": "mount", "head": "base", "thermal": "head", "world_child": "world"}
    for child, parent in parents.items():
        links[child] = Extrinsics.from_quaternion(random.normal(size=4), random.normal(size=3))
        tree.set(parent, child, links[child])
    points = random.normal(size=(5, 3))
    base = links["head"].apply(links["thermal"].apply(points))
    expected = links["rgb"].inverse().apply(links["mount"].inverse().apply(base))
    found = tree.lookup("rgb", "thermal")
    assert found is not None
    np.testing.assert_allclose(found.apply(points), expected, atol=1e-12)
    assert tree.lookup("rgb", "world") is None and tree.lookup("rgb", "unheard of") is None


def test_a_lookup_is_the_same_object_until_something_changes() -> None:
    tree = TransformTree()
    tree.set("rgb", "thermal", TURNED)
    found = tree.lookup("rgb", "thermal")
    tree.set("rgb", "thermal", replace(TURNED, translation_m=TURNED.translation_m + 1e-7))
    assert tree.lookup("rgb", "thermal") is found
    tree.set("rgb", "thermal", replace(TURNED, translation_m=TURNED.translation_m + 1e-3))
    moved = tree.lookup("rgb", "thermal")
    assert moved is not found and moved is not None and differ(moved, TURNED)
    tree.set("base", "thermal", TURNED)
    assert tree.lookup("rgb", "thermal") is None


def test_a_ring_of_frames_does_not_hang() -> None:
    tree = TransformTree()
    for parent, child in (("a", "b"), ("b", "c"), ("c", "a")):
        tree.set(parent, child, TURNED)
    assert tree.lookup("a", "c") is not None and tree.lookup("a", "d") is None


def test_what_is_missing_is_said_with_the_command_that_mends_it() -> None:
    text = missing_transform("rgb", "thermal", "in the bag")
    assert "from thermal (thermal images) to rgb (RGB images) in the bag" in text
    assert "static_transform_publisher" in text and "--frame-id rgb --child-frame-id thermal" in text
    assert "the thermal images have no frame_id" in missing_transform("rgb", "", "in the bag")
    assert "both cameras' images have the frame_id cam" in missing_transform("cam", "cam", "in the bag")


def test_transforms_of_a_message_and_one_that_is_no_turn() -> None:
    ((parent, child, pose),) = to_transforms(deserialize(tf(("rgb", "thermal", 0.25)), TRANSFORMS))
    assert (parent, child, pose.translation_m.tolist()) == ("rgb", "thermal", [0.25, 0.0, 0.0])
    turned = tf(("rgb", "thermal", 0.25), turn=(0.0, 0.0, 0.0, 0.0))
    with pytest.raises(BagError, match="transform of thermal: quaternion is"):
        to_transforms(deserialize(turned, TRANSFORMS))


# --- bags -----------------------------------------------------------------------------------------


@pytest.fixture
def config(blend_model, tmp_path):
    """A function of the calibration file's extrinsics."""

    def make(extrinsics: Extrinsics | None) -> PipelineConfig:
        rig = rig_samples.write_rig(tmp_path / "rig.yaml", extrinsics)
        return make_config(
            PipelineConfig,
            {
                "fusion": {"model": str(blend_model), "backend": "onnxruntime"},
                "detection.model": "",
                "faults.gate": False,
                "registration": {"calibration": str(rig), "extrinsics": "tf"},
            },
        )

    return make


def record(path, transforms: list[Message], frames: tuple[str, str] = (RGB_FRAME, THERMAL_FRAME)):
    """Ten pairs, 100 ms apart, and transforms at log times in ms."""
    messages = []
    for index in range(10):
        stamp_ns = START_NS + 100 * MS * index
        for name, pixels, encoding, frame in (
            ("rgb", rig_samples.RGB, "rgb8", frames[0]),
            ("thermal", rig_samples.THERMAL, "mono8", frames[1]),
        ):
            messages.append(
                (f"/{name}/image_raw", IMAGE, stamp_ns, image(pixels, encoding, stamp_ns, frame))
            )
    messages += [(topic, TF, START_NS + at_ms * MS, data) for topic, at_ms, data in transforms]
    return write_rosbag2(path, sorted(messages, key=lambda item: item[2]))


def baselines(path) -> list[float]:
    """By which baseline each fused image of a bag was registered, m."""
    known = {baseline: rig_samples.fused(baseline_m=baseline) for baseline in (0.0, 0.5, 1.0)}
    with BagReader(path) as reader:
        images = [to_frame(data, IMAGE).image for _, _, data in reader.messages({"/fused/image_raw"})]
    return [
        next(b for b, picture in known.items() if np.abs(picture.astype(int) - found).max() <= 1)
        for found in images
    ]


def test_a_bag_with_tf_static_just_works(config, tmp_path) -> None:
    # As a recorder has it: some time after the first images, and over the base.
    links = tf(("base", RGB_FRAME, -0.25), ("base", THERMAL_FRAME, 0.25))
    bag = record(tmp_path / "bag", [("/tf_static", 450, links)])
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(None))
    assert figures["pairs_without_transform"] == 0 and figures["topics"]["others"] == ["/tf_static"]
    assert baselines(tmp_path / "fused.mcap") == [0.5] * 10


def test_transforms_that_change_count_from_their_time_on(config, tmp_path, caplog) -> None:
    moves = [
        ("/tf", 250, tf((RGB_FRAME, THERMAL_FRAME, 0.5))),
        ("/tf", 650, tf((RGB_FRAME, THERMAL_FRAME, 1))),
    ]
    bag = record(tmp_path / "bag", moves)
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(None))
    # Until then both cameras are taken to stand in one place.
    assert baselines(tmp_path / "fused.mcap") == [0.0] * 3 + [0.5] * 4 + [1.0] * 3
    assert figures["pairs_without_transform"] == 3
    assert "no transform from thermal_optical_frame" in caplog.text
    assert "3 of 10 pairs had no transform" in caplog.text


def test_until_there_is_a_transform_the_files_extrinsics_count(config, tmp_path) -> None:
    bag = record(tmp_path / "bag", [("/tf", 450, tf((RGB_FRAME, THERMAL_FRAME, 1.0)))])
    replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(rig_samples.side_by_side(0.5)))
    assert baselines(tmp_path / "fused.mcap") == [0.5] * 5 + [1.0] * 5


def test_a_transform_that_cannot_be_read_is_counted(config, tmp_path) -> None:
    good, bad = tf((RGB_FRAME, THERMAL_FRAME, 0.5)), tf(("a", "b", 1.0), turn=(0.0, 0.0, 0.0, 0.0))
    bag = record(tmp_path / "bag", [("/tf_static", 10, bad), ("/tf_static", 20, good)])
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(None))
    assert figures["skipped_messages"] == {"/tf_static": 1}
    assert baselines(tmp_path / "fused.mcap") == [0.5] * 10


def test_a_bag_without_transforms_is_refused(config, tmp_path) -> None:
    bag = record(tmp_path / "bag", [])
    with pytest.raises(BagError, match=r"no /tf_static and no /tf: record them too, or set registration"):
        replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(None))


def test_cameras_of_one_frame_are_named(config, tmp_path, caplog) -> None:
    bag = record(tmp_path / "bag", [("/tf_static", 0, tf(("base", "camera", 0.5)))], ("camera", "camera"))
    figures = replay_source([bag], Outputs(tmp_path / "fused.mcap"), config(None))
    assert "both cameras' images have the frame_id camera" in caplog.text
    assert figures["pairs_without_transform"] == 10


def test_tf_needs_a_rig() -> None:
    with pytest.raises(ConfigError, match=r"registration\.extrinsics is tf, but there is no calibration"):
        build_pipeline(PipelineConfig(registration=RegistrationConfig(extrinsics="tf")))
