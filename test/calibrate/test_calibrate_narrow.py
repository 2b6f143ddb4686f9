"""Ordinary scenes, seen through lenses of very different fields."""

from dataclasses import replace

import numpy as np
import pytest
from cross_modal_samples import scene

from ivfusion_ros import cli
from ivfusion_ros.bags.writer import BagWriter
from ivfusion_ros.calibrate.any_size import find_size
from ivfusion_ros.calibrate.targetless import Fields, fit_scenes
from ivfusion_ros.errors import DataError
from ivfusion_ros.geometry.calibration import read_calibration
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.registration.scene.align import align_many
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Frame, FramePair

SIZES = (320, 256), (640, 480)
RIG = RigConfig(
    RgbConfig(*SIZES[1], hfov_deg=90.0),
    ThermalCameraConfig(*SIZES[0], hfov_deg=24.0, position_m=(0.06, -0.02, 0.01), shutter_interval_s=0.0),
)


@pytest.fixture(scope="module")
def streets() -> list[Simulator]:
    return [Simulator(SceneConfig(seed=seed, illumination="day"), RIG) for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def frames(streets) -> list[dict[str, Frame]]:
    return [{camera: street.frame(2.0, camera) for camera in ("thermal", "rgb")} for street in streets]


@pytest.fixture(scope="module", params=["camera_info", "hfov", "neither"])
def bag(request, frames, tmp_path_factory):
    """The bag, and the command's words."""
    path = tmp_path_factory.mktemp("narrow") / "street.mcap"
    with BagWriter(path) as writer:
        for second, pair in enumerate(frames):
            for camera, sent in pair.items():
                frame = replace(sent, stamp_ns=(1 + second) * 10**9)
                told = request.param == "camera_info"
                writer.write_frame(camera, frame if told else replace(frame, camera_info=None))
    return request.param, path, ["--hfov", "24", "90"] if request.param == "hfov" else []


def test_a_narrow_camera_is_found_in_a_wide_view(bag, streets, tmp_path, capsys) -> None:
    told, path, words = bag
    out = tmp_path / "narrow.yaml"
    assert cli.main(["calibrate", str(path), "--out", str(out), *words]) == 0
    # 24 of 90 degrees are 0.21 of its width.
    guessed = "the thermal view is 0.21 times as wide as the RGB camera's" in capsys.readouterr().err
    assert guessed == (told == "neither")
    found = read_calibration(out)
    assert found.quality["model"] == ("rig" if told == "camera_info" else "homography")
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


def test_what_looks_alike_at_every_size_is_refused() -> None:
    """Lines that meet in one point, as those of a street do: nothing else tells their size."""
    random = np.random.default_rng(11)
    y, x = np.mgrid[-240:240, -320:320] + 0.5
    sector = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * 90).astype(int)
    images = [random.integers(20, 235, 91).astype(np.uint8)[sector] for _ in range(2)]
    pair = FramePair(
        Frame(np.ascontiguousarray(images[0]), 0), Frame(np.repeat(images[1][..., None], 3, axis=2), 0)
    )
    with pytest.raises(DataError, match=r"do not tell how wide the lenses see.*nearly as well at"):
        fit_scenes([("spokes", pair)])


def test_equal_views_need_no_lenses() -> None:
    """Registered images of one scene: found at their own size, by their content alone."""
    thermal, visible = scene(5)
    found = find_size([(thermal, visible)])
    assert found.doubt is None
    assert found.width == pytest.approx(1.0, abs=0.02)
    np.testing.assert_allclose(found.initial / found.initial[2, 2], np.eye(3), atol=1.0)
