"""Boards in the thermal camera as they are in practice: heated from one side, blurred, partly seen."""

import numpy as np
import pytest
from board_images import Painter, as_heated, middle_poses, rig

from ivfusion_ros.calibrate.boards import parse_board
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.detect import BoardFinder
from ivfusion_ros.simulate.camera import make_cameras

LARGE = make_cameras(rig(0.1, (640, 512)))["thermal"]
SMALL = make_cameras(rig(0.1, (320, 256)))["thermal"]


def error_px(found: Corners, painter: Painter, pose) -> float:
    """Root mean square distance from the true corners, in the best of a symmetric board's orders."""
    true = painter.corners(pose)
    ways = [found.pixels - true[order][found.ids] for order in painter.board.symmetries]
    return min(float(np.sqrt(np.square(way).sum(axis=1).mean())) for way in ways)


@pytest.mark.parametrize(
    ("heat", "most_px"),
    [
        ({}, 0.35),
        ({"contrast": 25.0}, 1.0),
        ({"blur_px": 2.5}, 0.5),
        ({"contrast": 50.0, "blur_px": 2.0, "bloom": 1.0}, 0.7),
    ],
    ids=["lamp", "faint", "crept", "blooming"],
)
def test_a_heated_checkerboard_is_found(heat, most_px):
    """In 320x256 pixels, where OpenCV's detectors find none to five of twelve."""
    board, random = parse_board("checkerboard:8x6:0.08"), np.random.default_rng(5)
    painter, finder = Painter(board, SMALL), BoardFinder(board)
    for pose in middle_poses(board, 8, random):
        found = finder.find(as_heated(painter.paint(pose), random, **heat))
        assert found is not None and len(found) > 0.85 * len(board.points)
        assert error_px(found, painter, pose) < most_px


@pytest.mark.parametrize("specification", ["charuco:6x5:0.13:0.1:4X4_50", "apriltag:3x2:0.2:0.06"])
def test_a_heated_board_of_markers_of_which_a_part_is_hidden(specification):
    board, random = parse_board(specification), np.random.default_rng(6)
    painter, finder = Painter(board, LARGE), BoardFinder(board)
    count = 0
    for pose in middle_poses(board, 8, random):
        image = as_heated(painter.paint(pose), random, blur_px=0.8)
        across = round(float(np.quantile(painter.corners(pose)[:, 0], 0.6)))
        image[:, across:] = 29600 + random.integers(0, 20, image[:, across:].shape)
        found = finder.find(image)
        if found is not None:
            count += 1
            off = np.linalg.norm(found.pixels - painter.corners(pose)[found.ids], axis=1)
            # The corner of a tag that ends at the edge is where the edge is.
            assert len(found) < len(board.points) and np.median(off) < 0.7
    assert count >= 6


def test_circles_of_a_board_with_a_heated_middle():
    board, random = parse_board("circles:6x4:0.1"), np.random.default_rng(7)
    painter, finder = Painter(board, LARGE), BoardFinder(board)
    for pose in middle_poses(board, 6, random):
        found = finder.find(as_heated(painter.paint(pose), random, contrast=50))
        assert found is not None and error_px(found, painter, pose) < 1.0
