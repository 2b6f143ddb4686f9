"""Both cameras and how they stand to each other, from many looks at a board."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.boards import Board
from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.lens import MIN_VIEWS, LensFit, agreeing, as_poses, fit_lens, residual, rms
from ivfusion_ros.calibrate.views import MAX_SLIP_PX, BoardView, choose_various, coverage, same_order
from ivfusion_ros.errors import DataError
from ivfusion_ros.geometry.rig import Extrinsics, Rig
from ivfusion_ros.types import CameraName, Floats, Floats32, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.geometry.camera import CameraModel

MAX_VIEWS = 40
MAX_RMS_PX = 1.5
_MIN_COVERAGE = 0.4
_MIN_SHARED_CORNERS = 6
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-9)


@dataclass(frozen=True, eq=False)
class SharedFit:
    """The looks that both cameras share, explained by one rig.

    views: those that were used. rgb_from_board: per view, where the board was.
    residuals: for each camera per view, seen minus projected pixels (N, 2).
    """

    rgb_from_thermal: Extrinsics
    views: list[BoardView]
    rgb_from_board: list[Extrinsics]
    residuals: dict[CameraName, list[Floats]]

    def rms_px(self, camera: CameraName | None = None) -> float:
        """Of one camera, or of both together, pixels."""
        names = self.residuals if camera is None else [camera]
        return rms(np.concatenate([part for name in names for part in self.residuals[name]]))


@dataclass(frozen=True, eq=False)
class RigFit:
    """A calibrated rig, and how good it is.

    found: how many looks each camera had. lenses: fit of each camera alone. warnings: for the user.
    """

    board: Board
    rig: Rig
    found: dict[CameraName, int]
    lenses: dict[CameraName, LensFit]
    shared: SharedFit
    coverage: dict[CameraName, float]
    warnings: list[str]


def solve_rig(
    board: Board, views: Sequence[BoardView], sizes: dict[CameraName, Size], models: dict[CameraName, str]
) -> RigFit:
    """Intrinsics of each camera from all of its looks, then the extrinsics from those they share.

    sizes: of the images; models: distortion model of each camera. Raises DataError, with advice, where
    there are too few or too similar looks, or where they do not agree.
    """
    looks = {name: [look for look in (_look(view, name) for view in views) if look] for name in sizes}
    for name in sizes:
        _check_found(board, len(looks[name]), len(views), name)
    lenses: dict[CameraName, LensFit] = {}
    for name, size in sizes.items():
        chosen = choose_various(board, looks[name], size, MAX_VIEWS)
        lenses[name] = fit_lens(board, [looks[name][i] for i in chosen], size, models[name], name)
    shared = _fit_shared(board, _shared_views(board, views, sizes["rgb"]), lenses)
    _check_rms(shared)
    rig = Rig(lenses["thermal"].camera, lenses["rgb"].camera, shared.rgb_from_thermal)
    covered = {name: coverage(looks[name], size) for name, size in sizes.items()}
    found = {name: len(found) for name, found in looks.items()}
    return RigFit(board, rig, found, lenses, shared, covered, _warnings(covered, shared))


def _look(view: BoardView, camera: CameraName) -> Corners | None:
    return view.thermal if camera == "thermal" else view.rgb


def _check_found(board: Board, found: int, pairs: int, name: CameraName) -> None:
    if found >= MIN_VIEWS:
        return
    advice = "light it evenly"
    if name == "thermal":
        advice = (
            "give it contrast by heat: sunlight, a lamp or a hair dryer on a printed board, or a metal one"
        )
    partly = "" if board.has_markers else ", all of it in the image"
    raise DataError(
        f"the board was found in {found} of {pairs} {name} images, expected {MIN_VIEWS} or more, better "
        f"20; check that --board is what was shown ({board.columns}x{board.rows} {board.kind}){partly}, "
        f"hold it nearer and still, and {advice}"
    )


def _shared_views(board: Board, views: Sequence[BoardView], rgb_size: Size) -> list[BoardView]:
    """Views with the same corners in both cameras, the stillest and most various."""
    shared = []
    for view in views:
        if view.thermal is None or view.rgb is None:
            continue
        thermal = same_order(board, view.thermal, view.rgb)
        ids, first, second = np.intersect1d(thermal.ids, view.rgb.ids, return_indices=True)
        if len(ids) >= min(_MIN_SHARED_CORNERS, len(board.points)):
            both = Corners(ids, thermal.pixels[first]), Corners(ids, view.rgb.pixels[second])
            shared.append(BoardView(view.name, *both, view.stamp_ns, view.skew_ns, view.slip_px))
    still = [view for view in shared if view.slip_px <= MAX_SLIP_PX]
    if len(still) < MIN_VIEWS:
        raise DataError(
            f"both cameras see the board in {len(shared)} pairs, and it is still enough in {len(still)} "
            f"of these, expected {MIN_VIEWS} or more, better 20; hold the board, still for a second, "
            "where both see it"
        )
    chosen = choose_various(board, [view.rgb for view in still if view.rgb], rgb_size, MAX_VIEWS)
    return [still[index] for index in chosen]


def _fit_shared(board: Board, views: list[BoardView], lenses: dict[CameraName, LensFit]) -> SharedFit:
    for _ in range(3):
        fit = _fit_stereo(board, views, lenses)
        worst = [max(rms(a), rms(b)) for a, b in zip(*fit.residuals.values(), strict=True)]
        good = agreeing(worst)
        if len(good) == len(views):
            break
        views = [views[index] for index in good]
        if len(views) < MIN_VIEWS:
            raise DataError(
                f"only {len(views)} views of the board agree between the cameras, expected {MIN_VIEWS} or "
                "more; the board or the rig moved while frames were taken: hold both still, and estimate "
                "the offset between the clocks by --time-offset"
            )
    else:
        fit = _fit_stereo(board, views, lenses)
    return fit


def _fit_stereo(board: Board, views: list[BoardView], lenses: dict[CameraName, LensFit]) -> SharedFit:
    thermal, rgb = lenses["thermal"].camera, lenses["rgb"].camera
    pairs = [(view.thermal, view.rgb) for view in views if view.thermal and view.rgb]
    points = [board.points[first.ids] for first, _ in pairs]
    none = np.zeros(5)
    # Ideal pixels, so that cameras of any two models go together.
    found = cv2.stereoCalibrateExtended(
        points,
        [_ideal(thermal, first) for first, _ in pairs],
        [_ideal(rgb, second) for _, second in pairs],
        thermal.matrix.copy(), none.copy(), rgb.matrix.copy(), none.copy(), rgb.size,
        np.eye(3), np.zeros((3, 1)),
        flags=cv2.CALIB_FIX_INTRINSIC, criteria=_STOP,
    )  # fmt: skip
    rgb_from_thermal = Extrinsics(np.array(found[5], np.float64), np.array(found[6], np.float64).reshape(3))
    poses = as_poses(found[9], found[10])
    rgb_poses = [rgb_from_thermal.after(pose) for pose in poses]
    residuals: dict[CameraName, list[Floats]] = {"thermal": [], "rgb": []}
    for (first, second), pose, rgb_pose in zip(pairs, poses, rgb_poses, strict=True):
        residuals["thermal"].append(residual(thermal, board, first, pose))
        residuals["rgb"].append(residual(rgb, board, second, rgb_pose))
    return SharedFit(rgb_from_thermal, views, rgb_poses, residuals)


def _ideal(camera: CameraModel, look: Corners) -> Floats32:
    slopes = camera.slopes(look.pixels.astype(np.float64))
    ideal = slopes * np.diag(camera.matrix)[:2] + camera.matrix[:2, 2]
    # A corner beyond the model's field of view is left where it was seen; the residuals tell.
    ideal = np.where(np.isfinite(ideal), ideal, look.pixels)
    return ideal.astype(np.float32).reshape(-1, 1, 2)


def _check_rms(shared: SharedFit) -> None:
    if not shared.rms_px() <= MAX_RMS_PX:
        raise DataError(
            f"the reprojection error is {shared.rms_px():.2f} px, expected at most {MAX_RMS_PX} px; "
            "check the lengths and numbers of --board, that it is flat, and that both cameras and board "
            "were still; --time-offset finds an offset between the clocks"
        )


def _warnings(covered: dict[CameraName, float], shared: SharedFit) -> list[str]:
    warnings = [
        f"the board was seen in {share:.0%} of the {name} image only; show it near the borders and "
        "corners too"
        for name, share in covered.items()
        if share < _MIN_COVERAGE
    ]
    if len(shared.views) < 2 * MIN_VIEWS:
        warnings.append(f"only {len(shared.views)} shared views; 20 or more give a steadier result")
    return warnings
