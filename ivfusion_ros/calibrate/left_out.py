"""Why pairs are not part of a calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.calibrate.lens import as_poses, residual, rms
from ivfusion_ros.calibrate.views import MAX_SLIP_PX, BoardView, same_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.calibrate.solve import RigFit

_LIKE_USED = 1.5


def reasons_left_out(fit: RigFit, views: Sequence[BoardView]) -> dict[str, str]:
    """By the name of each pair that the rig was not solved from, the reason."""
    used = {view.name for view in fit.shared.views}
    return {view.name: _reason(fit, view) for view in views if view.name not in used}


def _reason(fit: RigFit, view: BoardView) -> str:
    if view.thermal is None or view.rgb is None:
        unseen = [name for name, seen in (("thermal", view.thermal), ("RGB", view.rgb)) if seen is None]
        return f"no board in the {' and the '.join(unseen)} image"
    if view.slip_px > MAX_SLIP_PX:
        return f"the board moved by {view.slip_px:.1f} px between the two exposures"
    error_px = _error_px(fit, view)
    if error_px > _LIKE_USED * fit.shared.rms_px():
        return f"the board was not flat or not still: {error_px:.1f} px off the others' rig"
    return "much like another view"


def _error_px(fit: RigFit, view: BoardView) -> float:
    """Of the thermal corners, with the board where the RGB camera saw it; of the RGB ones, if larger."""
    assert view.thermal is not None and view.rgb is not None
    rgb, points = fit.rig.rgb, fit.board.points.astype(np.float64)
    slopes = rgb.slopes(view.rgb.pixels.astype(np.float64))
    _, turn, shift = cv2.solvePnP(points[view.rgb.ids], slopes, np.eye(3), np.zeros(4))
    pose = as_poses([turn], [shift])[0]
    thermal = same_order(fit.board, view.thermal, view.rgb)
    thermal_pose = fit.rig.rgb_from_thermal.inverse().after(pose)
    return max(
        rms(residual(rgb, fit.board, view.rgb, pose)),
        rms(residual(fit.rig.thermal, fit.board, thermal, thermal_pose)),
    )
