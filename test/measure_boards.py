"""Prints how often boards are found, and how exactly, in simulated thermal images: docs/calibration.md.

python test/measure_boards.py
"""

import time

import cv2
import numpy as np
from board_images import Painter, Pose, as_heated, make_cameras, middle_poses, rig

from ivfusion_ros.calibrate.boards import Board, parse_board
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.detect import BoardFinder
from ivfusion_ros.calibrate.enhance import looks_for
from ivfusion_ros.images.encodings import to_grey

BOARDS = ("checkerboard:8x6:0.08", "circles:6x4:0.1", "charuco:7x5:0.1:0.075", "apriltag:4x3:0.14:0.04")
SIZES = ((320, 256), (640, 512))
FAULTS = {
    "lamp": {},
    "lamp, blur of 0.8 px": {"blur_px": 0.8},
    "a quarter of the contrast": {"contrast": 25.0},
    "heat crept, blur of 2.5 px": {"blur_px": 2.5},
    "blooming, half the contrast, blur of 2 px": {"bloom": 1.0, "blur_px": 2.0, "contrast": 50.0},
}
COUNT = 12


def opencv(board: Board, image: np.ndarray) -> Corners | None:
    """OpenCV's own search in eight contrasts; for checkerboards and circles."""
    grey = to_grey(image)
    for look in looks_for(grey.shape[1]):
        picture = look.apply(grey)
        size = (board.columns, board.rows)
        if board.kind == "checkerboard":
            done, found = cv2.findChessboardCornersSB(picture, size)
        else:
            done, found = cv2.findCirclesGrid(picture, size, flags=cv2.CALIB_CB_SYMMETRIC_GRID)
        if done:
            pixels = look.original_pixels(np.asarray(found, np.float32).reshape(-1, 2))
            return Corners(np.arange(len(pixels)), pixels)
    return None


def rms_px(found: Corners, painter: Painter, pose: Pose) -> float:
    """From the true corners, in that order of a symmetric board that fits best."""
    true = painter.corners(pose)
    ways = [found.pixels - true[order][found.ids] for order in painter.board.symmetries]
    return min(float(np.sqrt(np.square(way).sum(axis=1).mean())) for way in ways)


def measure(find, painter: Painter, heat: dict[str, float]) -> str:
    """Found of COUNT, mean error, mean seconds."""
    random = np.random.default_rng(5)
    errors, seconds = [], 0.0
    for pose in middle_poses(painter.board, COUNT, random):
        image = as_heated(painter.paint(pose), random, **heat)
        start = time.perf_counter()
        found = find(image)
        seconds += time.perf_counter() - start
        if found is not None:
            errors.append(rms_px(found, painter, pose))
    mean = f"{np.mean(errors):.2f} px" if errors else "-"
    return f"{len(errors)} of {COUNT} | {mean} | {seconds / COUNT:.2f} s"


def main() -> None:
    """Print a table in Markdown."""
    print("| board | image | fault | finder | found | mean RMS | time |\n|---|---|---|---|---|---|---|")
    for specification in BOARDS:
        board = parse_board(specification)
        for size in SIZES:
            painter = Painter(board, make_cameras(rig(0.1, size))["thermal"])
            for fault, heat in FAULTS.items():
                ways = {"ivfusion": BoardFinder(board).find}
                if not board.has_markers:
                    ways["OpenCV"] = lambda image, board=board: opencv(board, image)
                for name, find in ways.items():
                    row = f"{specification} | {size[0]}x{size[1]} | {fault} | {name}"
                    print(f"| {row} | {measure(find, painter, heat)} |", flush=True)


if __name__ == "__main__":
    main()
