"""Boards of circles, found among other round things."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from board_images import Painter, Pose, as_rgb, as_thermal, middle_poses, rig

from ivfusion_ros.calibrate.blobs import find_blobs
from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.circles import grid_cells
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.detect import BoardFinder
from ivfusion_ros.calibrate.lattice import GridSearch, place
from ivfusion_ros.calibrate.outcome import calibrate_by_board
from ivfusion_ros.calibrate.pairs import open_pairs
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.simulate.camera import make_cameras

SPECIFICATIONS = ("circles:6x4:0.1", "asymmetric_circles:4x9:0.06")
CAMERAS = make_cameras(rig(0.1, (320, 256), (640, 480)))


def clutter(picture: np.ndarray, random: np.random.Generator, count: int = 60) -> np.ndarray:
    """A picture with discs and squares of every size and grey around the board (not 0.5), and a lattice."""
    free = cv2.erode((picture == 0.5).astype(np.uint8), np.ones((15, 15))) > 0
    drawn = picture.copy()
    for _ in range(count):
        x, y = (int(random.integers(0, side)) for side in picture.shape[::-1])
        radius, grey = int(random.integers(2, 14)), float(random.uniform(0, 1))
        if random.uniform() < 0.7:
            cv2.circle(drawn, (x, y), radius, grey, -1)
        else:
            cv2.rectangle(drawn, (x, y), (x + radius, y + radius), grey, -1)
    for index in range(15):
        cv2.circle(drawn, (12 + 14 * (index % 5), 12 + 14 * (index // 5)), 5, 1.0, -1)
    return np.where(free, drawn, picture)


def distances(found: Corners, painter: Painter, pose: Pose) -> np.ndarray:
    true = painter.corners(pose)
    ways = [
        np.linalg.norm(found.pixels - true[order][found.ids], axis=1) for order in painter.board.symmetries
    ]
    return min(ways, key=lambda way: way.mean())


@pytest.mark.parametrize("specification", SPECIFICATIONS)
@pytest.mark.parametrize("camera", ["thermal", "rgb"])
def test_found_among_other_round_things(specification, camera):
    board, random = parse_board(specification), np.random.default_rng(7)
    painter, finder = Painter(board, CAMERAS[camera]), BoardFinder(board)
    for index, pose in enumerate(middle_poses(board, 8, random)):
        picture = clutter(painter.paint(pose), random)
        if camera == "rgb":
            image = as_rgb(picture, random)
        else:
            image = as_thermal(picture, random, inverted=bool(index % 2))
        found = finder.find(image)
        assert found is not None, index
        assert len(found) >= 0.9 * len(board.points)
        assert distances(found, painter, pose).max() < 0.5


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_clutter_alone_is_no_board_and_ends_the_search(specification, monkeypatch):
    random = np.random.default_rng(8)
    looks = []
    search = GridSearch.grids

    def counted(self, least):
        yield from search(self, least)
        looks.append(self.looks_left)

    monkeypatch.setattr(GridSearch, "grids", counted)
    finder = BoardFinder(parse_board(specification))
    for _ in range(3):
        picture = clutter(np.full((480, 640), 0.5, np.float32), random, 900)
        assert finder.find(as_rgb(picture, random)) is None
    assert len(looks) >= 6 and min(looks) >= 0


def test_a_tilted_circle_is_not_where_its_ellipse_has_its_centre():
    """A large near circle: the middle of its ellipse is off by more than is allowed here."""
    board = parse_board("circles:4x3:0.2")
    painter = Painter(board, CAMERAS["rgb"])
    turn = Pose(np.array([0.0, 0.8, 0.0]), np.zeros(3))
    middle = (board.points.min(axis=0) + board.points.max(axis=0)) / 2
    pose = Pose(turn.rotation, np.array([0.0, 0.0, 1.0]) - turn.world(middle[None])[0])
    picture = painter.paint(pose)
    found = BoardFinder(board).find(as_rgb(picture, np.random.default_rng(0), noise=1.0))
    assert found is not None and distances(found, painter, pose).max() < 0.5
    spots = find_blobs(np.round(255 * picture).astype(np.uint8))
    true = painter.corners(pose)
    nearest = np.linalg.norm(true[:, None] - spots.centres[spots.dark], axis=2).min(axis=1)
    assert nearest.max() > 0.8


def test_half_hidden_circles_are_left_out():
    board = parse_board("circles:6x4:0.1")
    painter, random = Painter(board, CAMERAS["rgb"]), np.random.default_rng(3)
    pose = middle_poses(board, 1, random)[0]
    picture = painter.paint(pose)
    x, y = painter.corners(pose)[8]
    cv2.rectangle(picture, (round(x) - 20, round(y) + 2), (round(x) + 20, round(y) + 9), 1.0, -1)
    found = BoardFinder(board).find(as_rgb(picture, random))
    assert found is not None and len(found) == 23
    assert distances(found, painter, pose).max() < 0.3


@pytest.mark.parametrize(
    "shown", ["circles:7x4:0.1", "circles:6x5:0.1", "circles:5x4:0.1", "circles:6x3:0.1"]
)
def test_another_board_is_not_taken_for_it(shown):
    board = parse_board(shown)
    random = np.random.default_rng(4)
    picture = Painter(board, CAMERAS["rgb"]).paint(middle_poses(board, 1, random)[0])
    assert BoardFinder(parse_board("circles:6x4:0.1")).find(as_rgb(picture, random)) is None


def test_cells_of_an_asymmetric_board_are_its_points():
    board = parse_board("asymmetric_circles:4x9:0.06")
    cells = grid_cells(board)
    along, across = np.array([1, 1]) * board.size_m, np.array([-1, 1]) * board.size_m
    placed = cells[:, :1] * along + cells[:, 1:] * across
    np.testing.assert_allclose(placed, board.points[:, :2], atol=1e-6)


def test_a_place_must_be_the_only_one():
    cells = grid_cells(parse_board("circles:4x3:0.1"))
    grown = {(x, y): 5 * y + x for x in range(5) for y in range(3)}
    points = np.array([[x, y] for y in range(3) for x in range(5)], float)
    assert place(cells, grown, points, 0) is None
    del grown[4, 1]
    assert place(cells, grown, points, 0).tolist() == [0, 1, 2, 3, 5, 6, 7, 8, 10, 11, 12, 13]


def test_a_real_rig(shared: Path):
    """A cooled board in a room full of round things; its owners found the thermal camera 54 mm below."""
    folders = [shared / "data" / "calibration_boards" / camera for camera in ("thermal", "rgb")]
    pairs = open_pairs(folders, PipelineConfig()).pairs(100)
    models = {"thermal": "plumb_bob", "rgb": "plumb_bob"}
    outcome = calibrate_by_board(parse_board("circles:6x4:0.1"), "circles:6x4:0.1", pairs, models, 2.0)
    parts = outcome.calibration.rig
    assert parts.rgb_from_thermal.translation_m[1] == pytest.approx(-0.054, abs=0.005)
    assert outcome.calibration.quality["rms_px"] < 1.7
    found = [line for line in outcome.lines if "board found 21 times" in line]
    assert len(found) == 2
