"""`ivfusion calibrate` from recorded images to the files that the pipeline reads."""

import json
import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from board_images import Painter, as_rgb, as_thermal, make_painters, make_poses, rig

from ivfusion_ros import cli
from ivfusion_ros.bags import BagWriter
from ivfusion_ros.calibrate.any_size import SizeFound
from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.pairs import PairsInTime, PairsOnDisk, open_pairs
from ivfusion_ros.calibrate.scene_rig import SceneRig
from ivfusion_ros.calibrate.targetless import fit_scenes
from ivfusion_ros.commands import calibrate
from ivfusion_ros.config.pipeline import PipelineConfig, ThermalConfig
from ivfusion_ros.geometry.calibration import Calibration, read_calibration
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.registration.scene.align import Alignment
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.simulate.camera import make_cameras
from ivfusion_ros.sync.time_offset import TimeOffset
from ivfusion_ros.types import Frame

BOARD = "checkerboard:7x5:0.1"
ALONE = ("--matcher", "none")
RIG = rig(0.12, (320, 256), (400, 300))
START_NS = 5_000_000_000


@pytest.fixture(scope="module")
def painters() -> dict[str, Painter]:
    return make_painters(parse_board(BOARD), RIG)


@pytest.fixture(scope="module")
def images(painters) -> list[tuple[np.ndarray, np.ndarray]]:
    """Thermal (inverted) and RGB images of a board in 14 poses."""
    random = np.random.default_rng(11)
    poses = make_poses(painters["rgb"].board, 14, random, (1.0, 2.0))
    return [
        (as_thermal(painters["thermal"].paint(pose), random), as_rgb(painters["rgb"].paint(pose), random))
        for pose in poses
    ]


@pytest.fixture(scope="module")
def folders(images, tmp_path_factory) -> tuple[Path, Path]:
    root = tmp_path_factory.mktemp("folders")
    thermal, rgb = root / "thermal", root / "rgb"
    thermal.mkdir()
    rgb.mkdir()
    for index, (counts, colours) in enumerate(images):
        write_image(thermal / f"{index:03}.png", counts)
        write_image(rgb / f"{index:03}.png", colours)
    return thermal, rgb


def write_bag(path: Path, images, thermal_late_ns: int = 0) -> Path:
    with BagWriter(path) as writer:
        for index, (counts, colours) in enumerate(images):
            stamp_ns = START_NS + index * 500_000_000
            writer.write_frame("rgb", Frame(colours, stamp_ns, "rgb_optical_frame"))
            late_ns = stamp_ns + thermal_late_ns
            writer.write_frame("thermal", Frame(counts, late_ns, "thermal_optical_frame"))
    return path


def check_rig(path: Path, painters) -> None:
    """The written file warps RGB pixels to thermal pixels as the true cameras do."""
    found = read_calibration(path)
    assert (found.thermal_size, found.rgb_size) == ((320, 256), (400, 300))
    parts = found.rig
    thermal, rgb = painters["thermal"].camera, painters["rgb"].camera
    assert parts.rgb.matrix[0, 0] == pytest.approx(rgb.matrix[0, 0], rel=0.02)
    np.testing.assert_allclose(parts.rgb_from_thermal.translation_m, thermal.position, atol=0.01)
    columns, rows, distance_m = np.arange(60, 360, 40), np.arange(50, 260, 40), 1.5
    grid = np.stack(np.meshgrid(columns, rows), -1).reshape(-1, 2).astype(float)
    slopes = rgb.rays()[rows][:, columns].reshape(-1, 2)
    points = np.concatenate([slopes * distance_m, np.full((len(grid), 1), distance_m)], axis=1)
    apart = parts.complete().other_pixels(grid, distance_m, "rgb") - thermal.project(points)
    assert np.sqrt(np.mean(np.sum(apart**2, axis=1))) < 0.8
    assert found.quality["rms_px"] < 0.3


def test_board_in_two_folders(folders, painters, tmp_path, capsys):
    out = tmp_path / "found.yaml"
    words = ["calibrate", *map(str, folders), "--board", BOARD, "--out", str(out), "--plane-distance", "6"]
    assert cli.main([*words, "--json", str(tmp_path / "found.json")]) == 0
    check_rig(out, painters)
    calibration = read_calibration(out)
    assert calibration.rig.plane_distance_m == 6.0
    assert calibration.quality["board"] == BOARD
    shown = capsys.readouterr().err
    assert "reprojection error" in shown and "cm apart" in shown
    report = read_image(tmp_path / "found.png")
    assert report.shape[1] == 1280 and report.std() > 20
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found.json", "found.png", "found.yaml"]
    figures = json.loads((tmp_path / "found.json").read_text())
    assert figures["rms_px"] == calibration.quality["rms_px"] and figures["tried_pairs"] == 14
    assert len(figures["views"]) + len(figures["left_out"]) == 14
    assert re.search(r"found thermal \d+, rgb \d+ of 14", shown)
    assert Warp(calibration)(np.zeros((256, 320), np.uint8), (400, 300)).shape == (300, 400)


def test_a_page(folders, tmp_path):
    pytest.importorskip("jinja2", reason="needs jinja2")
    out, html = tmp_path / "found.yaml", tmp_path / "found.html"
    words = ["calibrate", *map(str, folders), "--board", BOARD, "--out", str(out), "--html", str(html)]
    assert cli.main(words) == 0
    page = html.read_text()
    assert page.count("<img class") == 1 and "reprojection error" in page and "data:image/webp" in page


def test_board_in_a_bag(images, painters, tmp_path):
    bag = write_bag(tmp_path / "board.mcap", images)
    out = tmp_path / "found.yaml"
    assert cli.main(["calibrate", str(bag), "--board", BOARD, "--out", str(out)]) == 0
    check_rig(out, painters)


def test_a_wrong_board_fails_plainly_and_writes_nothing(folders, tmp_path, capsys):
    out = tmp_path / "found.yaml"
    few = tmp_path / "few"
    for name, folder in zip(("thermal", "rgb"), folders, strict=True):
        (few / name).mkdir(parents=True)
        for path in sorted(folder.iterdir())[:2]:
            (few / name / path.name).write_bytes(path.read_bytes())
    words = ["calibrate", str(few / "thermal"), str(few / "rgb"), "--board", "checkerboard:9x4:0.1"]
    assert cli.main([*words, "--out", str(out)]) == 7
    message = capsys.readouterr().err
    assert "found in 0 of 2 thermal images" in message and "--board" in message
    assert [path.name for path in tmp_path.iterdir()] == ["few"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--board", "checkerboard"], "KIND:COLUMNSxROWS:SIZE"),
        (["--board", BOARD, "--model", "affine"], "without --board"),
        (["--plane-distance", "5"], "needs --board"),
        (["--board", BOARD, "--plane-distance", "-1"], "above 0"),
        (["--board", BOARD, "--baseline", "0.1"], "without --board"),
        (["--baseline", "0.1", "--model", "affine"], "give only one of them"),
        (["--baseline", "0"], "above 0"),
        (["--board", BOARD, "--time-offset"], "folders of images do not have"),
    ],
)
def test_options_that_do_not_fit(folders, words, message, capsys):
    assert cli.main(["calibrate", *map(str, folders), *words]) == 2
    assert message in capsys.readouterr().err


def test_a_failed_report_leaves_no_calibration(folders, tmp_path, monkeypatch, capsys):
    def broken(path, image):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr("ivfusion_ros.calibrate.output.write_image", broken)
    monkeypatch.setattr("ivfusion_ros.calibrate.matcher.align_many", lambda *_: known_alignment())
    out = tmp_path / "found.yaml"
    assert cli.main(["calibrate", *map(str, folders), *ALONE, "--out", str(out)]) != 0
    assert "No space left" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def known_alignment(confidence: float = 0.9) -> Alignment:
    matrix = np.array([[1.1, 0.0, 12.0], [0.0, 1.1, 3.0], [0.0, 0.0, 1.0]])
    return Alignment(matrix, confidence, 0.6, 0.5, 14)


@pytest.fixture(autouse=True)
def known_size(monkeypatch) -> None:
    """How wide the lenses see is found in test_calibrate_narrow."""
    found = SizeFound(known_alignment().rgb_from_thermal, 0.88, None)
    monkeypatch.setattr("ivfusion_ros.calibrate.targetless.find_size", lambda _: found)


def test_scenes_give_what_the_matching_found(folders, tmp_path, monkeypatch, capsys):
    """Here only what surrounds the matching; how well it matches is tested with it."""
    calls = []
    monkeypatch.setattr(
        "ivfusion_ros.calibrate.matcher.align_many",
        lambda *given: calls.append(given) or known_alignment(),
    )
    out = tmp_path / "scene.yaml"
    assert cli.main(["calibrate", *map(str, folders), *ALONE, "--model", "affine", "--out", str(out)]) == 0
    pairs, initial, model = calls[0]
    assert len(pairs) == 14 and model == "affine"
    np.testing.assert_array_equal(initial, known_alignment().rgb_from_thermal)
    assert pairs[0][0].dtype == np.uint8 and pairs[0][0].shape == (256, 320)
    assert pairs[0][1].dtype == np.uint8 and pairs[0][1].shape == (300, 400)
    found = read_calibration(out)
    np.testing.assert_allclose(found.rgb_from_thermal, known_alignment().rgb_from_thermal)
    assert found.quality["confidence"] == 0.9 and found.quality["method"] == "targetless"
    shown = capsys.readouterr().err
    assert "confidence 0.90" in shown and "0.88 times as wide as the RGB camera's" in shown
    assert read_image(out.with_suffix(".png")).ndim == 3


def test_scenes_that_do_not_agree_fail_plainly(folders, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(
        "ivfusion_ros.calibrate.matcher.align_many", lambda *_: known_alignment(confidence=0.2)
    )
    out = tmp_path / "scene.yaml"
    assert cli.main(["calibrate", *map(str, folders), *ALONE, "--out", str(out)]) == 7
    assert "confidence 0.20" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_doubtful_size_fails_plainly(folders, tmp_path, monkeypatch, capsys):
    """However sure the alignment is."""
    found = SizeFound(known_alignment().rgb_from_thermal, 0.3, "they fit at 0.3, and nearly as well at 0.9")
    monkeypatch.setattr("ivfusion_ros.calibrate.targetless.find_size", lambda _: found)
    monkeypatch.setattr("ivfusion_ros.calibrate.matcher.align_many", lambda *_: known_alignment())
    out = tmp_path / "scene.yaml"
    assert cli.main(["calibrate", *map(str, folders), *ALONE, "--out", str(out)]) == 7
    shown = capsys.readouterr().err
    assert "they fit at 0.3, and nearly as well at 0.9" in shown and "--hfov THERMAL RGB" in shown
    assert not list(tmp_path.iterdir())


def test_time_offset_is_used_for_pairing_and_kept(images, tmp_path, monkeypatch, capsys):
    """The thermal clock is 200 ms ahead: without the offset there would be no pair."""
    bag = write_bag(tmp_path / "late.mcap", images[:4], thermal_late_ns=200_000_000)
    monkeypatch.setattr(
        "ivfusion_ros.calibrate.pairs.TimeOffsetMonitor.estimate",
        lambda self: TimeOffset(-200_000_000, 1_500_000, 0.95),
    )
    monkeypatch.setattr("ivfusion_ros.calibrate.matcher.align_many", lambda *_: known_alignment())
    out = tmp_path / "scene.yaml"
    assert cli.main(["calibrate", str(bag), *ALONE, "--out", str(out)]) == 7
    assert cli.main(["calibrate", str(bag), *ALONE, "--time-offset", "--out", str(out)]) == 0
    assert read_calibration(out).quality["thermal_time_offset_ms"] == -200.0
    assert "thermal_time_offset_ms to -200.0" in capsys.readouterr().err


def test_an_unknown_time_offset_fails_plainly(images, tmp_path, capsys):
    bag = write_bag(tmp_path / "still.mcap", images[:3])
    out = tmp_path / "scene.yaml"
    assert cli.main(["calibrate", str(bag), "--time-offset", "--out", str(out)]) == 7
    assert "offset between the clocks cannot be estimated" in capsys.readouterr().err
    assert not out.exists()


def test_pairs_are_taken_evenly(images, folders, tmp_path):
    bag = write_bag(tmp_path / "all.mcap", images)
    source = open_pairs([bag], PipelineConfig())
    assert isinstance(source, PairsInTime)
    assert [name for name, _ in source.pairs(100)] == [f"{index / 2:.2f} s" for index in range(14)]
    few = [float(name.split()[0]) for name, _ in source.pairs(4)]
    assert len(few) == 4 and few[0] == 0.0 and np.diff(few).min() >= 1.5
    files = open_pairs(folders, PipelineConfig())
    assert isinstance(files, PairsOnDisk)
    assert [name for name, _ in files.pairs(4)] == ["000", "003", "007", "010"]
    assert len(list(files.pairs(100))) == 14


def test_pairs_are_the_scene_that_the_configuration_names(tmp_path):
    folders = tmp_path / "thermal", tmp_path / "rgb"
    counts = np.random.default_rng(1).integers(29000, 31000, (50, 60)).astype(np.uint16)
    for folder in folders:
        folder.mkdir()
    write_image(folders[0] / "a.tiff", np.pad((counts / 100).astype(np.float32), ((0, 2), (0, 0))))
    write_image(folders[1] / "a.png", np.full((50, 60, 3), 25700, np.uint16))
    config = PipelineConfig(thermal=ThermalConfig(crop=(0, 0, 60, 50), float_unit="kelvin"))
    ((_, pair),) = open_pairs(folders, config).pairs(5)
    np.testing.assert_allclose(pair.thermal.image, counts, atol=0.01)
    assert pair.rgb.image.dtype == np.uint8 and (pair.rgb.image == 100).all()


@pytest.mark.parametrize(
    ("size", "advice"),
    [
        ((200, 150), "leave out the images of either size; the calibration is scaled"),
        ((200, 120), "one of them is cropped, turned, or another camera's; calibrate the images of each"),
    ],
)
def test_images_of_two_sizes_are_refused(folders, tmp_path, capsys, size, advice):
    for name, folder in zip(("thermal", "rgb"), folders, strict=True):
        (tmp_path / name).mkdir()
        for path in sorted(folder.iterdir())[:2]:
            image = read_image(path)
            small = name == "rgb" and path.stem == "001"
            write_image(tmp_path / name / path.name, cv2.resize(image, size) if small else image)
    words = [
        "calibrate",
        str(tmp_path / "thermal"),
        str(tmp_path / "rgb"),
        "--out",
        str(tmp_path / "x.yaml"),
    ]
    assert cli.main(words) == 7
    said = capsys.readouterr().err
    assert f"the rgb image of 001 is {size[0]}x{size[1]}, those before are 400x300" in said
    assert advice in said


def test_folders_without_common_names(folders, tmp_path, capsys):
    write_image(tmp_path / "other.png", np.zeros((4, 4), np.uint8))
    assert cli.main(["calibrate", str(folders[0]), str(tmp_path), "--out", str(tmp_path / "x.yaml")]) == 7
    assert "expected equal names" in capsys.readouterr().err


STREET = RigConfig(
    RgbConfig(width=320, height=240),
    ThermalCameraConfig(width=320, height=256, position_m=(0.2, -0.02, 0.01), shutter_interval_s=0.0),
)
STREET_BASELINE_M = 0.2012


@pytest.fixture(scope="module")
def street_bag(tmp_path_factory) -> Path:
    """Three streets by day, cameras 20 cm apart."""
    path = tmp_path_factory.mktemp("street") / "street.mcap"
    with BagWriter(path) as writer:
        for seed in (1, 2, 3):
            simulator = Simulator(SceneConfig(seed=seed, illumination="day"), STREET)
            for camera in ("thermal", "rgb"):
                frame = replace(simulator.frame(1.0, camera), stamp_ns=START_NS + seed * 10**9)
                # A camera_info follows its image, so the first pair is without.
                writer.write_frame(camera, frame)
    return path


@pytest.fixture(scope="module")
def street_rig(street_bag) -> SceneRig:
    """What is found in the bag, once for all tests: it takes seconds."""
    pairs = open_pairs([street_bag], PipelineConfig()).pairs(3)
    fit = fit_scenes(pairs)
    assert fit.model == "rig" and fit.doubt is None
    return fit.rig


def error_px(calibration: Calibration, distance_m: float) -> float:
    """Mean error for a plane at a distance, thermal pixels."""
    cameras = make_cameras(STREET)
    grid = np.stack(np.meshgrid(np.arange(20, 300, 20), np.arange(20, 220, 20)), -1).reshape(-1, 2)
    slopes = cameras["rgb"].rays()[grid[:, 1], grid[:, 0]]
    points = np.concatenate([slopes * distance_m, np.full((len(grid), 1), distance_m)], axis=1)
    found = Warp(calibration).point_map((320, 256), (320, 240))(grid.astype(float))
    return float(np.nanmean(np.linalg.norm(found - cameras["thermal"].project(points), axis=1)))


def calibrate_street(street_bag, rig, monkeypatch, out: Path, *words: str) -> int:
    monkeypatch.setattr("ivfusion_ros.calibrate.targetless.fit_scene_rig", lambda *_: rig)
    return cli.main(["calibrate", str(street_bag), "--out", str(out), *words])


def test_lenses_and_baseline_give_a_rig_for_all_distances(
    street_bag, street_rig, monkeypatch, tmp_path, capsys
):
    out = tmp_path / "rig.yaml"
    words = ["--baseline", str(STREET_BASELINE_M)]
    assert calibrate_street(street_bag, street_rig, monkeypatch, out, *words) == 0
    found = read_calibration(out)
    assert (found.thermal_size, found.rgb_size) == ((320, 256), (320, 240))
    assert found.quality["model"] == "rig" and found.quality["across_px"] < 0.5
    assert 12 < found.rig.plane_distance_m < 25
    for distance_m in (5.0, 10.0, 40.0):
        there = replace(found, rig=replace(found.rig, plane_distance_m=distance_m))
        assert error_px(there, distance_m) < 0.9
    shown = capsys.readouterr().err
    assert "rig from 3 pairs" in shown and f"{found.rig.plane_distance_m:.1f} m" in shown


def test_lenses_alone_give_a_map_for_the_scenes_distance(
    street_bag, street_rig, monkeypatch, tmp_path, capsys
):
    out = tmp_path / "map.yaml"
    assert calibrate_street(street_bag, street_rig, monkeypatch, out) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map.npz", "map.png", "map.yaml"]
    found = read_calibration(out)
    assert found.remap is not None and error_px(found, 16.0) < 0.6 < 2 < error_px(found, 6.0)
    assert "times the distance between the lenses" in capsys.readouterr().err


def test_lenses_that_do_not_fit_are_not_used(street_bag, street_rig, monkeypatch, tmp_path, capsys):
    out = tmp_path / "plane.yaml"
    false = replace(street_rig, views=replace(street_rig.views, across_px=1.7))
    monkeypatch.setattr("ivfusion_ros.calibrate.matcher.align_many", lambda *_: known_alignment())
    assert calibrate_street(street_bag, false, monkeypatch, out, *ALONE) == 0
    found = read_calibration(out)
    np.testing.assert_allclose(found.rgb_from_thermal, known_alignment().rgb_from_thermal)
    assert found.quality["model"] == "homography"
    assert "no rig, only a homography" in capsys.readouterr().err
    none = tmp_path / "x.yaml"
    assert calibrate_street(street_bag, false, monkeypatch, none, "--model", "rig") == 7
    assert "1.7 px off its epipolar line" in capsys.readouterr().err and not none.exists()


def test_halves_that_disagree_are_doubted(street_rig):
    assert street_rig.doubt is None and street_rig.split_px < 1.0
    assert "8.0 px apart" in replace(street_rig, split_px=8.0).doubt


def test_a_rig_needs_lenses(folders, tmp_path, capsys):
    out = tmp_path / "x.yaml"
    assert cli.main(["calibrate", *map(str, folders), "--baseline", "0.1", "--out", str(out)]) == 7
    assert "publish no camera_info" in capsys.readouterr().err
    assert not out.exists()


def test_published_lenses_start_the_matching_of_a_homography(street_bag, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        "ivfusion_ros.calibrate.matcher.align_many",
        lambda *given: calls.append(given) or known_alignment(),
    )
    words = [
        "calibrate",
        str(street_bag),
        "--model",
        "homography",
        *ALONE,
        "--out",
        str(tmp_path / "x.yaml"),
    ]
    assert cli.main(words) == 0
    cameras = make_cameras(STREET)
    expected = cameras["rgb"].matrix @ np.linalg.inv(cameras["thermal"].matrix)
    np.testing.assert_allclose(calls[0][1], expected)


def test_help_names_every_kind_of_board(capsys):
    with pytest.raises(SystemExit):
        cli.main(["calibrate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "charuco: columns and rows count squares" in shown
    assert calibrate.BOARD_PAIRS > calibrate.SCENE_PAIRS
