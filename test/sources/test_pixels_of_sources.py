"""Counts and temperatures survive the way from files into a bag, and back out of it."""

from contextlib import closing

import bag_samples
import cv2
import numpy as np
import pytest
from image_samples import smooth_rgb
from radiometric_samples import counts, flir_jpeg, kelvin_of

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.bags.writer import BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.images.files import read_image
from ivfusion_ros.sources import SourceOptions, open_source
from ivfusion_ros.types import Frame


def images_of(*paths, **options):
    """By camera, the images of a source."""
    found = {"thermal": [], "rgb": []}
    with closing(open_source(paths, SourceOptions(**options))) as source:
        for camera, frame in source.frames():
            found[camera].append(frame.image)
    return found


def folder_of(folder, suffix, images):
    folder.mkdir()
    for index, image in enumerate(images):
        stored = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
        cv2.imwrite(str(folder / f"{index}{suffix}"), stored)
    return folder


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("suffix", "dtype"), [(".tiff", np.float32), (".tiff", np.int16), (".png", np.uint16)]
)
def test_a_bag_of_images_has_their_values(tmp_path, suffix, dtype, compressed):
    random = np.random.default_rng(1)
    thermal = [random.normal(300, 200, (24, 32)).astype(dtype) for _ in range(3)]
    rgb = [random.integers(0, 65536, (24, 32, 3)).astype(np.uint16) for _ in range(3)]
    folders = folder_of(tmp_path / "t", suffix, thermal), folder_of(tmp_path / "r", ".png", rgb)
    words = ["record", *map(str, folders), str(tmp_path / "out.mcap"), "--rate", "10"]
    assert main([*words, "--compressed"] if compressed else words) == 0
    found = images_of(tmp_path / "out.mcap")
    np.testing.assert_array_equal(found["thermal"], thermal)
    np.testing.assert_array_equal(found["rgb"], rgb)


def test_one_folder_of_radiometric_jpegs_is_both_cameras(tmp_path):
    pytest.importorskip("flyr")
    (tmp_path / "flir").mkdir()
    for index in range(2):
        flir_jpeg(
            tmp_path / "flir" / f"{index}.jpg", counts() + np.uint16(100 * index), smooth_rgb(96, 128)
        )
    folder, bag = str(tmp_path / "flir"), tmp_path / "out.mcap"
    assert main(["record", folder, folder, str(bag), "--rate", "1"]) == 0
    found = images_of(bag)
    assert [image.dtype for image in found["thermal"]] == [np.float32] * 2
    for index, kelvin in enumerate(found["thermal"]):
        assert np.abs(kelvin - kelvin_of(counts() + np.uint16(100 * index))).max() < 0.1
    assert [image.shape for image in found["rgb"]] == [(96, 128, 3)] * 2
    assert np.abs(found["rgb"][0].astype(int) - smooth_rgb(96, 128)).mean() < 3


def test_a_radiometric_jpeg_is_fused_with_itself(tmp_path, blend_model, capsys):
    pytest.importorskip("flyr")
    path = str(flir_jpeg(tmp_path / "a.jpg", counts(), smooth_rgb()))
    words = ["--model", str(blend_model), "--backend", "onnxruntime"]
    assert main(["fuse", path, path, str(tmp_path / "o.png"), *words]) == 0
    assert "taken for kelvin" in capsys.readouterr().err
    fused = read_image(tmp_path / "o.png").astype(int)
    # What is hotter adds to the right and below; the blend halves both.
    hot = np.clip((kelvin_of(counts()) - kelvin_of(counts()).min()) / np.ptp(kelvin_of(counts())), 0, 1)
    expected = (smooth_rgb() + 255 * hot[..., None]) / 2
    assert np.abs(fused - expected).mean() < 4


def test_counts_in_the_lower_half_of_a_double_frame(tmp_path, blend_model):
    scene = counts()
    below = scene.astype("<u2").view(np.uint8).reshape(48, 64, 2)
    above = np.full_like(below, 128)
    mixed, plain = tmp_path / "double.mcap", tmp_path / "plain.mcap"
    write_bag(mixed, np.vstack([above, below]), "yuv422_yuy2")
    write_bag(plain, scene, "mono16")
    words = ["--model", str(blend_model), "--detector", "", "--backend", "onnxruntime"]
    lower = ["--set", "thermal.crop=[0,48,64,48]", "--set", "thermal.encoding=mono16"]
    assert main(["replay", str(plain), str(tmp_path / "a.mcap"), *words]) == 0
    assert main(["replay", str(mixed), str(tmp_path / "b.mcap"), *words, *lower]) == 0
    np.testing.assert_array_equal(fused_of(tmp_path / "a.mcap"), fused_of(tmp_path / "b.mcap"))


def write_bag(path, thermal, encoding):
    """Three pairs, the thermal images with an encoding that is not theirs where it differs."""
    messages = []
    for index in range(3):
        stamp_ns = 10**9 + index * 10**8
        for name, pixels, kind in (("thermal", thermal, encoding), ("rgb", smooth_rgb(), "rgb8")):
            data = bag_samples.image(pixels, kind, stamp_ns)
            messages.append((f"/{name}/image_raw", "sensor_msgs/msg/Image", stamp_ns, data))
    bag_samples.write_mcap(path, messages)


def fused_of(path):
    with BagReader(path) as reader:
        return [
            to_frame(data, topic.type).image for topic, _, data in reader.messages(["/fused/image_raw"])
        ]


def test_frames_of_every_kind_are_written(tmp_path):
    images = [np.full((4, 6), 7, dtype) for dtype in (np.uint8, np.uint16, np.int16, np.float32)]
    with BagWriter(tmp_path / "a.mcap") as writer:
        for index, image in enumerate(images):
            writer.write_frame("thermal", Frame(image, index + 1))
            writer.write_frame("rgb", Frame(np.zeros((4, 6, 3), np.uint8), index + 1))
    found = images_of(tmp_path / "a.mcap")["thermal"]
    assert [image.dtype for image in found] == [image.dtype for image in images]
