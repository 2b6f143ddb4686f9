from __future__ import annotations

import itertools

import pytest

from ivfusion_ros.bags import BagTopic, choose_topics
from ivfusion_ros.errors import BagError

IMAGE, COMPRESSED, INFO = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "CameraInfo"))


def topics(*items: str) -> list[BagTopic]:
    """Topics from 'name encoding' strings; the type comes from the name."""
    result = []
    for item in items:
        name, _, encoding = item.partition(" ")
        kind = IMAGE
        if name.endswith("camera_info"):
            kind = INFO
        elif "compressed" in name:
            kind = COMPRESSED
        result.append(BagTopic(name, kind, encoding))
    return result


GUESSES = [
    (["/thermal/image_raw", "/rgb/image_raw"], "/thermal/image_raw", "/rgb/image_raw"),
    # only the encodings tell
    (["/cam_a/image mono16", "/cam_b/image bgr8"], "/cam_a/image", "/cam_b/image"),
    (["/cam_a/image 16UC1", "/cam_b/image bayer_rggb8"], "/cam_a/image", "/cam_b/image"),
    (["/cam_a/image mono16", "/cam_b/image yuv422_yuy2"], "/cam_a/image", "/cam_b/image"),
    # one is known, the other is all that is left
    (["/lwir/image mono8", "/cam1/image mono8"], "/lwir/image", "/cam1/image"),
    (["/cam0/image mono8", "/visible/image mono8"], "/cam0/image", "/visible/image"),
    # the thermal camera gives false colours, or is called a camera too
    (["/thermal_camera/image rgb8", "/camera/image rgb8"], "/thermal_camera/image", "/camera/image"),
    (["/ir/image mono8", "/camera/color/image rgb8"], "/ir/image", "/camera/color/image"),
    (["/boson/image mono16", "/flir_blackfly/image bayer_rggb8"], "/boson/image", "/flir_blackfly/image"),
    # counts are better than their false colours
    (
        ["/thermal/image_color bgr8", "/thermal/image_raw mono16", "/rgb/image_raw rgb8"],
        "/thermal/image_raw",
        "/rgb/image_raw",
    ),
    # raw before compressed, compressed alone
    (
        ["/thermal/i mono16", "/thermal/i/compressed mono16", "/rgb/i/compressed rgb8"],
        "/thermal/i",
        "/rgb/i/compressed",
    ),
    # image_raw among the images of one driver
    (["/ir/image mono16", "/rgb/image_raw rgb8", "/rgb/image_rect rgb8"], "/ir/image", "/rgb/image_raw"),
    # a thermal camera in floats or signed numbers, beside depth in floats; colour in planes
    (
        ["/thermal/image 32FC1", "/stereo/points 32FC1", "/front/image nv12"],
        "/thermal/image",
        "/front/image",
    ),
    (["/cam_a/image 16SC1", "/cam_b/image nv21"], "/cam_a/image", "/cam_b/image"),
    # the compressedDepth transport of a camera that is none of depth
    (
        ["/lwir/image_raw/compressedDepth 16UC1", "/rgb/image_raw/compressed rgb8"],
        "/lwir/image_raw/compressedDepth",
        "/rgb/image_raw/compressed",
    ),
    # depth and earlier results are no cameras
    (
        ["/camera/depth/image_raw 16UC1", "/thermal/image_raw mono16", "/camera/color/image_raw rgb8"],
        "/thermal/image_raw",
        "/camera/color/image_raw",
    ),
    (
        ["/cam/points 32FC1", "/cam/image mono16", "/usb_cam/image_raw yuv422"],
        "/cam/image",
        "/usb_cam/image_raw",
    ),
    (["/thermal/i mono16", "/cam/i rgb8", "/fused/image_raw rgb8"], "/thermal/i", "/cam/i"),
    (["/thermal/i mono16", "/rgb/i rgb8", "/thermal/i/compressedDepth"], "/thermal/i", "/rgb/i"),
    # "ir" must be a word of its own
    (["/first_floor/image rgb8", "/tau_ir/image mono16"], "/tau_ir/image", "/first_floor/image"),
    (
        ["/stereo/left/image rgb8", "/stereo/right/image rgb8", "/lepton/i"],
        "/lepton/i",
        "/stereo/left/image",
    ),
]


@pytest.mark.parametrize(("names", "thermal", "rgb"), GUESSES)
def test_guess(names: list[str], thermal: str, rgb: str) -> None:
    for order in itertools.permutations(topics(*names)):
        chosen = choose_topics(order)
        assert (chosen.thermal, chosen.rgb) == (thermal, rgb)
        assert thermal in chosen.note
        assert rgb in chosen.note


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["/cam0/image mono8", "/cam1/image mono8"], r"thermal.*/cam0/image.*/cam1/image.*--thermal-topic"),
        (
            ["/ir1/image mono16", "/ir2/image mono16", "/rgb/image"],
            r"/ir1/image.*/ir2/image.*--thermal-topic",
        ),
        (
            ["/t/thermal", "/a/rgb", "/b/rgb"],
            r"2 topics may be the rgb camera.*/a/rgb.*/b/rgb.*--rgb-topic",
        ),
        (["/thermal/image_raw mono16"], r"no topic looks like the rgb camera.*/thermal/image_raw"),
        (["/rgb/image_raw rgb8"], r"no topic looks like the thermal camera.*/rgb/image_raw"),
        (["/rgb/camera_info"], r"no messages on an image topic.*/rgb/camera_info"),
        ([], r"no messages on an image topic.*nothing"),
    ],
)
def test_no_guess(names: list[str], complaint: str) -> None:
    with pytest.raises(BagError, match=complaint):
        choose_topics(topics(*names))


def test_named_topics_win_over_guesses_and_need_no_slash() -> None:
    bag = topics("/thermal/image_raw", "/rgb/image_raw", "/other/image", "/other/camera_info")
    chosen = choose_topics(bag, thermal="other/image")
    assert (chosen.thermal, chosen.rgb) == ("/other/image", "/rgb/image_raw")
    assert (chosen.thermal_info, chosen.rgb_info) == ("/other/camera_info", None)
    assert "/other/image" not in chosen.note
    both = choose_topics(bag, thermal="/rgb/image_raw", rgb="/thermal/image_raw")
    assert (both.thermal, both.rgb, both.note) == ("/rgb/image_raw", "/thermal/image_raw", "")
    # a compressed topic of a camera that is already taken is no second camera
    with pytest.raises(BagError, match="no topic looks like the rgb"):
        choose_topics(topics("/x/i bgr8", "/x/i/compressed"), thermal="/x/i")


def test_named_topic_must_exist_and_be_an_image() -> None:
    bag = topics("/thermal/image_raw mono16", "/rgb/image_raw", "/rgb/camera_info")
    with pytest.raises(BagError, match=r"no topic /lwir; .*/thermal/image_raw \(Image mono16\)"):
        choose_topics(bag, thermal="/lwir")
    with pytest.raises(BagError, match=r"/rgb/camera_info is a sensor_msgs/msg/CameraInfo, expected"):
        choose_topics(bag, rgb="rgb/camera_info")
    with pytest.raises(BagError, match="both the thermal and the RGB"):
        choose_topics(bag, thermal="/rgb/image_raw", rgb="/rgb/image_raw")
    empty = [*bag, BagTopic("/empty", IMAGE, count=0)]
    with pytest.raises(BagError, match="/empty has no messages"):
        choose_topics(empty, rgb="/empty")


def test_topics_without_messages_are_not_guessed() -> None:
    bag = [BagTopic("/rgb/i", IMAGE, count=0), BagTopic("/rgb/i/compressed", COMPRESSED, count=3)]
    assert choose_topics([*bag, *topics("/thermal/i")]).rgb == "/rgb/i/compressed"


def test_camera_info_stands_beside_the_image() -> None:
    names = ["/a/thermal/image_raw/compressed", "/a/thermal/camera_info", "/rgb/image_raw", "/camera_info"]
    chosen = choose_topics(topics(*names))
    assert chosen.thermal_info == "/a/thermal/camera_info"
    assert chosen.rgb_info is None
    assert chosen.names == {"/a/thermal/image_raw/compressed", "/a/thermal/camera_info", "/rgb/image_raw"}
