"""Intrinsics of one camera from its looks at a board."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.types import Floats, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.boards import Board
    from ivfusion_ros.calibrate.corners import Corners

MIN_VIEWS = 6
MIN_TILT_DEG = 12.0
_OUTLIER_PX = 0.5
_OUTLIER_TIMES = 3.0
_ROUNDS = 3
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)


@dataclass(frozen=True, eq=False)
class LensFit:
    """A camera, and what is left of the pixels.

    used: rising indices of the looks that agree. camera_from_board: per used look.
    ids: per used look, the points of the board (N,). residuals: of the same, seen minus projected pixels
    (N, 2). rms_px: over all of these.
    tilt_deg: largest angle between the board's planes in two looks, degrees.
    """

    camera: CameraModel
    used: list[int]
    camera_from_board: list[Extrinsics]
    ids: list[npt.NDArray[np.intp]]
    residuals: list[Floats]
    tilt_deg: float

    @property
    def rms_px(self) -> float:
        """Root mean square length of the residuals, pixels."""
        return rms(np.concatenate(self.residuals))


def rms(residuals: Floats) -> float:
    """Root mean square length of vectors (N, 2)."""
    return float(np.sqrt(np.square(residuals).sum(axis=1).mean()))


def fit_lens(board: Board, looks: Sequence[Corners], size: Size, model: str, name: str) -> LensFit:
    """Fit a camera of a distortion model, leaving out looks that disagree with the others.

    name: of the camera, for errors. Raises DataError for too few looks, and for looks too much alike.
    """
    used = list(range(len(looks)))
    for _ in range(_ROUNDS):
        _check_count(len(used), name)
        fit = _fit(board, [looks[index] for index in used], size, model, name)
        good = agreeing([rms(residuals) for residuals in fit.residuals])
        if len(good) == len(used):
            break
        used = [used[index] for index in good]
    else:
        _check_count(len(used), name)
        fit = _fit(board, [looks[index] for index in used], size, model, name)
    if fit.tilt_deg < MIN_TILT_DEG:
        raise DataError(
            f"the {name} views of the board are too similar: its planes differ by {fit.tilt_deg:.0f} "
            f"degrees at most, expected {MIN_TILT_DEG:.0f} or more; tilt the board to all sides by 20 "
            "to 40 degrees, near and far, and in all parts of the image"
        )
    return replace(fit, used=used)


def agreeing(errors_px: Sequence[float]) -> list[int]:
    """Indices of the looks whose error is not far above that of the others."""
    limit = max(_OUTLIER_PX, _OUTLIER_TIMES * float(np.median(errors_px)))
    return [index for index, error in enumerate(errors_px) if error <= limit]


def _check_count(count: int, name: str) -> None:
    if count < MIN_VIEWS:
        raise DataError(
            f"only {count} {name} views of the board agree with each other, expected {MIN_VIEWS} or "
            "more, better 20; check the numbers of --board, hold the board still and flat, and show it "
            "more often"
        )


def _fit(board: Board, looks: Sequence[Corners], size: Size, model: str, name: str) -> LensFit:
    solve = _solve_fisheye if model == "equidistant" else _solve_pinhole
    try:
        matrix, distortion, poses = solve(board, looks, size, model)
        camera = CameraModel(size, matrix, model, distortion)
    except (cv2.error, DataError) as error:
        raise DataError(
            f"no {model} lens fits the {name} views of the board; check the numbers of --board, and show "
            f"it tilted, near and in all parts of the image ({str(error).splitlines()[-1].strip()})"
        ) from error
    residuals = [residual(camera, board, look, pose) for look, pose in zip(looks, poses, strict=True)]
    ids = [look.ids for look in looks]
    return LensFit(camera, list(range(len(looks))), poses, ids, residuals, _largest_tilt_deg(poses))


def residual(camera: CameraModel, board: Board, look: Corners, camera_from_board: Extrinsics) -> Floats:
    """Seen minus projected pixels (N, 2); where the model sees nothing, a very large error."""
    projected = camera.project(camera_from_board.apply(board.points[look.ids].astype(np.float64)))
    return np.nan_to_num(look.pixels - projected, nan=1e3)


def _largest_tilt_deg(poses: Sequence[Extrinsics]) -> float:
    normals = np.array([pose.rotation[:, 2] for pose in poses])
    return float(np.degrees(np.arccos(np.clip(normals @ normals.T, -1, 1).min())))


def _solve_pinhole(
    board: Board, looks: Sequence[Corners], size: Size, model: str
) -> tuple[Floats, Floats, list[Extrinsics]]:
    # A third radial coefficient is seldom well determined, and then spoils the image's corners.
    flags = cv2.CALIB_RATIONAL_MODEL if model == "rational_polynomial" else cv2.CALIB_FIX_K3
    points = [board.points[look.ids] for look in looks]
    pixels = [look.pixels.reshape(-1, 1, 2) for look in looks]
    start, none = np.eye(3), np.zeros(5)
    _, matrix, distortion, rotations, translations = cv2.calibrateCamera(
        points, pixels, size, start, none, flags=flags, criteria=_STOP
    )
    count = 8 if model == "rational_polynomial" else 5
    coefficients = np.ravel(distortion)[:count].astype(np.float64)
    return np.asarray(matrix, np.float64), coefficients, as_poses(rotations, translations)


def _solve_fisheye(
    board: Board, looks: Sequence[Corners], size: Size, _model: str
) -> tuple[Floats, Floats, list[Extrinsics]]:
    points = [board.points[look.ids].astype(np.float64).reshape(1, -1, 3) for look in looks]
    pixels = [look.pixels.astype(np.float64).reshape(1, -1, 2) for look in looks]
    # The names moved in OpenCV 5.
    names = cv2 if hasattr(cv2, "CALIB_FIX_SKEW") else cv2.fisheye
    flags = names.CALIB_RECOMPUTE_EXTRINSIC | names.CALIB_FIX_SKEW
    _, matrix, distortion, rotations, translations = cv2.fisheye.calibrate(
        points, pixels, size, np.eye(3), np.zeros(4), flags=flags, criteria=_STOP
    )
    ideal = np.array(matrix, np.float64)
    ideal[0, 1] = 0.0
    return ideal, np.ravel(distortion).astype(np.float64), as_poses(rotations, translations)


def as_poses(rotations: Sequence[Any], translations: Sequence[Any]) -> list[Extrinsics]:
    """OpenCV's rotation vectors and translations, one of each per look."""
    return [
        Extrinsics(np.asarray(cv2.Rodrigues(turn)[0], np.float64), np.asarray(shift, np.float64).reshape(3))
        for turn, shift in zip(rotations, translations, strict=True)
    ]
