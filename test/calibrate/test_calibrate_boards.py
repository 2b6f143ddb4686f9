"""Boards, and finding them in rendered images whose corners are known exactly."""

import numpy as np
import pytest
from board_images import Painter, Pose, as_rgb, as_thermal, rig

from ivfusion_ros.calibrate.boards import Board, parse_board
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.detect import BoardFinder
from ivfusion_ros.calibrate.views import BoardView, choose_various, coverage, same_order, with_slips
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.simulate.camera import make_cameras

SPECIFICATIONS = (
    "checkerboard:8x6:0.08",
    "circles:7x5:0.09",
    "asymmetric_circles:4x9:0.06",
    "apriltag:4x3:0.14:0.04",
    "charuco:7x5:0.1:0.075",
)
SMALL = rig(0.1, (320, 256), (480, 360))


@pytest.fixture(scope="module", params=SPECIFICATIONS)
def painters(request):
    board = parse_board(request.param)
    return {name: Painter(board, camera) for name, camera in make_cameras(SMALL).items()}


def tilted(board: Board, distance_m: float = 1.1) -> Pose:
    """In the middle of both images, turned to the side and up."""
    middle = (board.points.min(axis=0) + board.points.max(axis=0)) / 2
    pose = Pose(np.array([0.3, -0.35, 0.15]), np.zeros(3))
    return Pose(pose.rotation, np.array([0.03, 0.0, distance_m]) - pose.world(middle[None])[0])


def errors(found: Corners | None, painter: Painter, pose: Pose) -> np.ndarray:
    """Distances from the true corners, in that order of a symmetric board that fits best."""
    assert found is not None
    true = painter.corners(pose)
    ways = [
        np.linalg.norm(found.pixels - true[order][found.ids], axis=1) for order in painter.board.symmetries
    ]
    return min(ways, key=lambda way: way.mean())


def rms(distances: np.ndarray) -> float:
    return float(np.sqrt(np.mean(distances**2)))


def test_found_in_rgb(painters):
    painter = painters["rgb"]
    pose = tilted(painter.board)
    found = BoardFinder(painter.board).find(as_rgb(painter.paint(pose), np.random.default_rng(1)))
    distances = errors(found, painter, pose)
    assert len(distances) == len(painter.board.points)
    assert rms(distances) < 0.2


@pytest.mark.parametrize("inverted", [False, True])
def test_found_in_thermal_of_either_polarity(painters, inverted):
    painter = painters["thermal"]
    pose = tilted(painter.board)
    image = as_thermal(
        painter.paint(pose), np.random.default_rng(2), contrast=120, noise=4, inverted=inverted
    )
    distances = errors(BoardFinder(painter.board).find(image), painter, pose)
    assert len(distances) >= 0.75 * len(painter.board.points)
    assert rms(distances) < 0.3


def test_checkerboard_found_in_little_contrast():
    """A third of a kelvin in the noise of an uncooled camera, with a hot lamp in the picture."""
    painter = Painter(parse_board(SPECIFICATIONS[0]), make_cameras(SMALL)["thermal"])
    pose = tilted(painter.board)
    image = as_thermal(painter.paint(pose), np.random.default_rng(3), contrast=35, noise=5)
    image[:40, :60] = 36000
    distances = errors(BoardFinder(painter.board).find(image), painter, pose)
    assert rms(distances) < 0.4


@pytest.mark.parametrize("specification", SPECIFICATIONS[3:])
def test_a_part_of_a_board_with_markers_is_enough(specification):
    painter = Painter(parse_board(specification), make_cameras(SMALL)["rgb"])
    pose = tilted(painter.board)
    picture = painter.paint(pose)
    picture[:, : picture.shape[1] // 2] = 0.4
    found = BoardFinder(painter.board).find(as_rgb(picture, np.random.default_rng(4)))
    assert found is not None and 8 <= len(found) < 0.8 * len(painter.board.points)
    assert rms(errors(found, painter, pose)) < 0.25
    assert found.pixels[:, 0].min() > picture.shape[1] // 2 - 2


def test_a_hidden_part_of_a_checkerboard_is_no_board():
    painter = Painter(parse_board(SPECIFICATIONS[0]), make_cameras(SMALL)["rgb"])
    picture = painter.paint(tilted(painter.board))
    picture[:, : picture.shape[1] // 2] = 0.4
    assert BoardFinder(painter.board).find(as_rgb(picture, np.random.default_rng(4))) is None


@pytest.mark.parametrize("specification", SPECIFICATIONS)
def test_no_board_in_noise_or_in_a_flat_image(specification):
    finder = BoardFinder(parse_board(specification))
    assert finder.find(np.full((120, 160), 29000, np.uint16)) is None
    assert finder.find(np.random.default_rng(5).integers(0, 256, (120, 160, 3), np.uint8)) is None


def test_parse():
    assert parse_board("checkerboard:8x6:0.08") == Board("checkerboard", 8, 6, 0.08)
    charuco = Board("charuco", 7, 5, 0.1, 0.07, "4X4_50")
    assert parse_board(" charuco:7x5:0.1:0.07:DICT_4X4_50 ") == charuco
    tags = parse_board("apriltag:6x6:0.088")
    assert tags.dictionary == "APRILTAG_36h11" and tags.second_m == pytest.approx(0.0264)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("8x6", "KIND:COLUMNSxROWS:SIZE"),
        ("chess:8x6:0.1", "chess"),
        ("checkerboard:8x6:80mm", "80mm"),
        ("checkerboard:8x6:80", "metres"),
        ("checkerboard:8x6:0.08:0.1", "no second length"),
        ("checkerboard:2x6:0.08", "inner corners"),
        ("charuco:7x5:0.1:0.2", "less than 0.1"),
        ("charuco:7x5:0.1:0.07:6Y6", "6Y6"),
        ("charuco:20x20:0.1:0.07:4X4_50", "needs 200 markers"),
        ("charuco:7x5:nan", "metres"),
    ],
)
def test_wrong_specifications(text, message):
    with pytest.raises(ConfigError, match=message):
        parse_board(text)


def test_points():
    board = Board("checkerboard", 4, 3, 0.1)
    np.testing.assert_allclose(
        board.points[[0, 1, 4, 11]], [[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0.3, 0.2, 0]]
    )
    dots = Board("asymmetric_circles", 4, 11, 0.02).points
    np.testing.assert_allclose(dots[[1, 4]], [[0.04, 0, 0], [0.02, 0.02, 0]], atol=1e-7)
    tags = parse_board("apriltag:4x3:0.14:0.04").points
    np.testing.assert_allclose(tags[4] - tags[0], [0.18, 0, 0], atol=1e-6)


@pytest.mark.parametrize(
    ("specification", "count"),
    [
        ("checkerboard:8x6:0.1", 4),
        ("circles:5x5:0.1", 8),
        ("asymmetric_circles:4x11:0.1", 2),
        ("charuco:7x5:0.1", 1),
    ],
)
def test_symmetries_map_the_board_onto_itself(specification, count):
    board = parse_board(specification)
    assert len(board.symmetries) == count
    apart = np.linalg.norm(board.points[:, None] - board.points[None], axis=2)
    for order in board.symmetries:
        np.testing.assert_allclose(apart[order][:, order], apart, atol=1e-6)


def test_corners_are_brought_into_the_other_cameras_order():
    board = parse_board("checkerboard:8x6:0.1")
    ids = np.arange(48)
    pixels = (board.points[:, :2] * 700 + 100).astype(np.float32)
    turned = Corners(ids, pixels[::-1] * 0.8 + 5)
    np.testing.assert_allclose(same_order(board, turned, Corners(ids, pixels)).pixels, pixels * 0.8 + 5)


def test_slips_follow_from_motion_and_skew():
    ids = np.arange(48)
    still = np.random.default_rng(0).uniform(0, 400, (48, 2)).astype(np.float32)
    places = [still, still, still + np.float32([30, 40])]
    views = [
        BoardView(str(index), None, Corners(ids, pixels), 10**9 + index * 10**8, 5_000_000)
        for index, pixels in enumerate(places)
    ]
    # 50 px in 0.1 s, 5 ms apart.
    assert [view.slip_px for view in with_slips(views)] == pytest.approx([0.0, 2.5, 2.5], abs=1e-4)


def test_various_looks_are_chosen():
    """Of many nearly equal looks and three special ones, the special ones are among the chosen."""
    painter = Painter(parse_board("checkerboard:8x6:0.08"), make_cameras(SMALL)["rgb"])
    board, ids, random = painter.board, np.arange(48), np.random.default_rng(6)
    usual = tilted(board)
    looks = [painter.corners(usual) + random.normal(0, 0.3, (48, 2)) for _ in range(20)]
    for index, (shift, rotation) in enumerate([((0.2, 0, 0), 0.3), ((0, 0, 1.5), 0.3), ((0, 0, 0), -0.6)]):
        pose = Pose(np.array([rotation, -0.35, 0.15]), usual.position + shift)
        looks.insert(4 * index, painter.corners(pose))
    corners = [Corners(ids, look.astype(np.float32)) for look in looks]
    chosen = choose_various(board, corners, (480, 360), 4)
    assert {0, 4, 8} < set(chosen) and chosen == sorted(chosen)
    assert choose_various(board, corners, (480, 360), 30) == list(range(23))


def test_coverage():
    corners = [
        Corners(np.arange(2), np.float32([[1, 1], [479, 359]])),
        Corners(np.arange(1), np.float32([[2, 2]])),
    ]
    assert coverage(corners, (480, 360)) == pytest.approx(2 / 48)
