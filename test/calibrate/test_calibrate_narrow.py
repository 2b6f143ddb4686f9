"""Ordinary scenes, seen through lenses of very different fields."""

from dataclasses import replace

import numpy as np
import pytest

from ivfusion_ros import cli
from ivfusion_ros.bags.writer import BagWriter
from ivfusion_ros.calibrate.targetless import Fields
from ivfusion_ros.geometry.calibration import read_calibration
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.registration.scene.align import align_many
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig

SIZES = (320, 256), (640, 480)
RIG = RigConfig(
    RgbConfig(*SIZES[1], hfov_deg=90.0),
    ThermalCameraConfig(*SIZES[0], hfov_deg=24.0, position_m=(0.06, -0.02, 0.01), shutter_interval_s=0.0),
)


@pytest.fixture(scope="module")
def streets() -> list[Simulator]:
    return [Simulator(SceneConfig(seed=seed, illumination="day"), RIG) for seed in (1, 2, 3)]


@pytest.fixture(scope="module", params=[True, False], ids=["camera_info", "hfov"])
def bag(request, streets, tmp_path_factory):
    """The bag, whether it has camera_info, and the command's words."""
    path = tmp_path_factory.mktemp("narrow") / "street.mcap"
    with BagWriter(path) as writer:
        for second, simulator in enumerate(streets):
            for camera in ("thermal", "rgb"):
                frame = replace(simulator.frame(2.0, camera), stamp_ns=(1 + second) * 10**9)
                writer.write_frame(camera, frame if request.param else replace(frame, camera_info=None))
    return path, [] if request.param else ["--hfov", "24", "90"]


def test_a_narrow_camera_is_found_in_a_wide_view(bag, streets, tmp_path, capsys) -> None:
    path, words = bag
    out = tmp_path / "narrow.yaml"
    assert cli.main(["calibrate", str(path), "--out", str(out), *words]) == 0
    assert "equally wide" not in capsys.readouterr().err
    found = read_calibration(out)
    assert found.quality["model"] == ("homography" if words else "rig")
    x, y = streets[0].static_map(20.0)
    rows, columns = np.nonzero(np.isfinite(x))
    assert 0.03 < len(rows) / x.size < 0.06
    places = Warp(found).point_map(*SIZES)(np.stack([columns, rows], axis=1).astype(float))
    apart = np.hypot(places[:, 0] - x[rows, columns], places[:, 1] - y[rows, columns])
    cameras = streets[0].cameras
    magnification = cameras["rgb"].matrix[0, 0] / cameras["thermal"].matrix[0, 0]
    assert np.nanmean(apart) * magnification < 1.2


def test_fields_give_the_focal_lengths() -> None:
    matrix = Fields(24.0, 90.0).rgb_from_thermal({"thermal": SIZES[0], "rgb": SIZES[1]})
    assert matrix[0, 0] == pytest.approx(320.0 / (160.0 / np.tan(np.radians(12.0))))
    np.testing.assert_allclose(matrix @ [159.5, 127.5, 1.0], [319.5, 239.5, 1.0])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hfov", "24", "200"], "expected 1 to 150 degrees"),
        (["--hfov", "24", "90", "--baseline", "0.1"], "leave --board, --baseline and --model rig out"),
        (["--hfov", "24", "90", "--board", "checkerboard:8x6:0.08"], "leave --board"),
    ],
)
def test_fields_that_do_not_fit(words, message, tmp_path, capsys) -> None:
    assert cli.main(["calibrate", str(tmp_path), *words]) == 2
    assert message in capsys.readouterr().err


def test_the_common_part_alone_gives_the_whole_images_pixels() -> None:
    """A cut of an image, in its place."""
    random = np.random.default_rng(4)
    blocks = np.kron(random.integers(0, 256, (30, 40)), np.ones((16, 16))).astype(np.uint8)
    thermal = np.ascontiguousarray(255 - blocks[200:328, 301:461])
    start = np.array([[1.0, 0, 295], [0, 1, 204], [0, 0, 1]])
    found = align_many([(thermal, blocks)], start)
    assert found.trusted
    np.testing.assert_allclose(found.rgb_from_thermal @ [80, 64, 1], [381, 264, 1], atol=0.3)
