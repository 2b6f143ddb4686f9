"""Calibration boards drawn into exact images of known cameras: the oracle of the calibration tests."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from ivfusion_ros.calibrate.boards import Board
from ivfusion_ros.simulate.camera import Camera, make_cameras
from ivfusion_ros.simulate.scenario import RgbConfig, RigConfig, ThermalCameraConfig

TEXELS_PER_M = 2000
OVERSAMPLING = 3


@functools.cache
def make_texture(board: Board) -> tuple[np.ndarray, np.ndarray]:
    """The printed sheet, float32 with 1 for white, and where the board's origin lies on it, metres.

    Drawn from what the kinds of boards are, except for the patterns inside of tags and markers.
    """
    if board.has_markers:
        return _marker_texture(board)
    points, size = board.points[:, :2], board.size_m
    margin = 2.0 * size
    origin = margin - points.min(axis=0)
    extent = points.max(axis=0) - points.min(axis=0) + 2 * margin
    columns, rows = (round(float(side) * TEXELS_PER_M) for side in extent)
    x = (np.arange(columns) + 0.5) / TEXELS_PER_M - origin[0]
    y = ((np.arange(rows) + 0.5) / TEXELS_PER_M - origin[1])[:, None]
    if board.kind == "checkerboard":
        column, row = np.floor(x / size), np.floor(y / size)
        on_board = (column >= -1) & (column < board.columns) & (row >= -1) & (row < board.rows)
        return np.where(on_board & ((column + row) % 2 == 0), 0.0, 1.0).astype(np.float32), origin
    sheet = np.ones((rows, columns), np.float32)
    radius = size * (0.45 if board.kind == "asymmetric_circles" else 0.3)
    for centre in points:
        sheet[(x - centre[0]) ** 2 + (y - centre[1]) ** 2 < radius**2] = 0.0
    return sheet, origin


def _marker_texture(board: Board) -> tuple[np.ndarray, np.ndarray]:
    if board.kind == "charuco":
        drawn, extent = board.charuco, np.array([board.columns, board.rows]) * board.size_m
    else:
        pitch = board.size_m + board.second_m
        drawn, extent = board.tag_grid, np.array([board.columns, board.rows]) * pitch - board.second_m
    # Every module of a marker is a whole number of texels only at some sizes; OpenCV draws the others
    # unevenly, so the sheet is drawn large and shrunk.
    margin = 0.5 * board.size_m
    size = [round(float(side) * TEXELS_PER_M * 4) for side in extent]
    drawing = drawn.generateImage(size, marginSize=0, borderBits=1)
    drawing = cv2.resize(drawing, [side // 4 for side in size], interpolation=cv2.INTER_AREA)
    border = round(margin * TEXELS_PER_M)
    sheet = cv2.copyMakeBorder(drawing, border, border, border, border, cv2.BORDER_CONSTANT, value=255)
    return sheet.astype(np.float32) / 255.0, np.array([border / TEXELS_PER_M] * 2)


@dataclass(frozen=True)
class Pose:
    """Board to world: rotation vector (3,) in radians, translation (3,) in metres."""

    rotation: np.ndarray
    position: np.ndarray

    def world(self, points: np.ndarray) -> np.ndarray:
        """Board points (N, 3) in the world."""
        return points @ cv2.Rodrigues(self.rotation)[0].T + self.position


class Painter:
    """Draws a board as one camera sees it."""

    def __init__(self, board: Board, camera: Camera) -> None:
        self.board, self.camera = board, camera
        self.texture, self.origin = make_texture(board)
        self._rays = camera.rays(OVERSAMPLING)

    def corners(self, pose: Pose) -> np.ndarray:
        """True pixels (N, 2) of the board's points."""
        return self.camera.project(pose.world(self.board.points.astype(float)))

    def paint(self, pose: Pose) -> np.ndarray:
        """(H, W) float32: 0 for ink, 1 for paper, 0.5 for the room around."""
        axes = cv2.Rodrigues(pose.rotation)[0]
        # A ray meets the board at camera + t * ray; in the board's axes its z is 0 there.
        matrix = np.linalg.inv(np.stack([axes[:, 0], axes[:, 1], pose.position - self.camera.position], 1))
        on_board = cv2.perspectiveTransform(self._rays.reshape(-1, 1, 2), matrix)
        texels = (on_board.reshape(self._rays.shape) + self.origin) * TEXELS_PER_M - 0.5
        drawn = cv2.remap(self.texture, texels.astype(np.float32), None, cv2.INTER_LINEAR, borderValue=0.5)
        size = (self.camera.width, self.camera.height)
        return cv2.resize(drawn, size, interpolation=cv2.INTER_AREA)


def as_rgb(picture: np.ndarray, random: np.random.Generator, noise: float = 4.0) -> np.ndarray:
    """What the RGB camera gives: (H, W, 3) uint8, a little blurred and noisy."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.6)
    levels = (40.0 + 170.0 * blurred)[..., None] * np.array([1.0, 0.95, 0.85])
    return np.clip(levels + random.normal(0, noise, levels.shape), 0, 255).astype(np.uint8)


def as_thermal(
    picture: np.ndarray,
    random: np.random.Generator,
    contrast: float = 150.0,
    noise: float = 5.0,
    inverted: bool = True,
) -> np.ndarray:
    """What the thermal camera gives: (H, W) uint16 counts with a slow gradient; ink is hot if inverted."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 0.9)
    height, width = picture.shape
    gradient = np.linspace(0, 0.6 * contrast, width)[None] + np.linspace(0, 0.3 * contrast, height)[:, None]
    counts = 29500.0 + gradient + contrast * (1 - blurred if inverted else blurred)
    counts += random.normal(0, noise, picture.shape)
    return np.clip(counts, 0, 65535).astype(np.uint16)


def as_heated(
    picture: np.ndarray,
    random: np.random.Generator,
    contrast: float = 100.0,
    noise: float = 5.0,
    blur_px: float = 1.5,
    bloom: float = 0.3,
) -> np.ndarray:
    """(H, W) uint16 counts of a board that a lamp at one side has heated, in a cooler room.

    Ink takes up twice the heat of paper, and far less of it where the lamp's cone ends, so the ink at one
    side is cooler than the paper at the other. blur_px: heat that has crept between the fields.
    bloom: share of the heat that spills over a tenth of the image's width.
    """
    height, width = picture.shape
    rows, columns = np.mgrid[:height, :width]
    lamp = random.uniform((0.25 * width, 0.3 * height), (0.75 * width, 0.7 * height))
    cone = 0.15 + 0.85 * np.exp(
        -0.5 * ((columns - lamp[0]) ** 2 + (rows - lamp[1]) ** 2) / (0.22 * width) ** 2
    )
    board = cv2.GaussianBlur(np.where(picture == 0.5, 1.6, 1 - 0.5 * picture), (0, 0), blur_px)
    heat = 2 * contrast * np.where(cv2.blur(picture, (9, 9)) == 0.5, 0.1, cone * np.minimum(board, 1.0))
    counts = 29500.0 + heat + bloom * cv2.GaussianBlur(heat, (0, 0), 0.1 * width)
    return np.clip(counts + random.normal(0, noise, picture.shape), 0, 65535).astype(np.uint16)


def rig(
    baseline_m: float = 0.1,
    thermal_size: tuple[int, int] = (640, 512),
    rgb_size: tuple[int, int] = (640, 480),
) -> RigConfig:
    """A typical rig with the thermal camera beside the RGB camera."""
    return RigConfig(
        RgbConfig(width=rgb_size[0], height=rgb_size[1], distortion=(-0.12, 0.04)),
        ThermalCameraConfig(
            width=thermal_size[0],
            height=thermal_size[1],
            hfov_deg=50.0,
            distortion=(-0.2, 0.06),
            position_m=(baseline_m, -0.02, 0.01),
        ),
    )


def make_painters(board: Board, config: RigConfig) -> dict[str, Painter]:
    """A painter for each camera of a rig."""
    return {name: Painter(board, camera) for name, camera in make_cameras(config).items()}


def make_poses(
    board: Board, count: int, random: np.random.Generator, distance_m: tuple[float, float] = (1.0, 2.5)
) -> Iterator[Pose]:
    """Boards held in front of the rig: all over the image, near and far, tilted up to 40 degrees."""
    half = (board.points.max(axis=0) - board.points.min(axis=0))[:2] / 2
    middle = np.array([*(board.points.min(axis=0) + board.points.max(axis=0))[:2] / 2, 0.0])
    for index in range(count):
        depth = distance_m[0] + (distance_m[1] - distance_m[0]) * ((index * 0.382) % 1.0)
        rotation = np.array([*random.uniform(-0.65, 0.65, 2), random.uniform(-0.25, 0.25)])
        room = np.maximum(np.array([0.47, 0.35]) * depth - half, 0.02)
        aside = np.array([((index * 0.618) % 1.0) * 2 - 1, ((index * 0.755) % 1.0) * 2 - 1]) * room
        position = np.array([*aside, depth]) - cv2.Rodrigues(rotation)[0] @ middle
        yield Pose(rotation, position)


def middle_poses(board: Board, count: int, random: np.random.Generator) -> list[Pose]:
    """In the middle, tilted by up to 35 degrees around each axis, and at an angle."""
    middle = (board.points.min(axis=0) + board.points.max(axis=0)) / 2
    turns = [Pose(random.uniform(-0.6, 0.6, 3), np.zeros(3)) for _ in range(count)]
    places = random.uniform((-0.1, -0.1, 1.2), (0.1, 0.1, 2.0), (count, 3))
    return [
        Pose(turn.rotation, at - turn.world(middle[None])[0])
        for turn, at in zip(turns, places, strict=True)
    ]
