"""What is said while views come in, and of the pairs that were left out."""

from dataclasses import replace

import numpy as np
import pytest
from board_images import Pose, rig
from test_calibrate_solve import BOARD, PINHOLE, look, make_views, sizes

from ivfusion_ros.calibrate.corners import Corners
from ivfusion_ros.calibrate.guidance import Guide
from ivfusion_ros.calibrate.left_out import reasons_left_out
from ivfusion_ros.calibrate.solve import solve_rig
from ivfusion_ros.simulate.camera import make_cameras

SIZE = (640, 480)
CAMERA = make_cameras(rig())["rgb"]


def seen(turn=(0.0, 0.0, 0.0), at=(0.0, 0.0, 1.5)) -> Corners:
    """The board with its middle at a place in metres, turned by a rotation vector."""
    middle = BOARD.points.mean(axis=0)[None].astype(float)
    pose = Pose(np.array(turn, float), np.zeros(3))
    found = look(
        CAMERA, Pose(pose.rotation, np.array(at, float) - pose.world(middle)[0]), np.random.default_rng(0)
    )
    assert found is not None
    return found


def guide(*views: Corners) -> Guide:
    made = Guide("rgb", BOARD, SIZE)
    for view in views:
        made.add(view)
    return made


ALL_OVER = (
    seen(at=(-0.5, -0.35, 1.6)), seen(at=(0.5, 0.35, 1.6)), seen((0.5, 0, 0)), seen((-0.5, 0, 0)),
    seen((0, 0.5, 0)), seen((0, -0.5, 0)), seen(at=(0, 0, 2.5)),
)  # fmt: skip


def test_various_views_miss_nothing():
    assert guide(*ALL_OVER).missing() == []


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ({0}, "no view at the left edge of the rgb image"),
        ({1}, "no view at the lower edge of the rgb image"),
        ({2, 3}, "turned up or down"),
        ({4, 5}, "turned to the side"),
        ({6}, "nearer and farther"),
    ],
)
def test_what_is_missing_is_said(left_out, message):
    views = [view for index, view in enumerate(ALL_OVER) if index not in left_out]
    assert any(message in line for line in guide(*views).missing())


def test_no_view_at_all():
    assert guide().missing() == ["no view of the board in the rgb image"]


def test_pairs_are_left_out_for_a_reason():
    cameras = make_cameras(rig())
    views = make_views(cameras)
    shared = [index for index, view in enumerate(views) if view.thermal and view.rgb]
    moved, slipped, unseen = shared[1], shared[4], shared[7]
    views[moved] = replace(views[moved], thermal=Corners(np.arange(48), views[moved].thermal.pixels + 5))
    views[slipped] = replace(views[slipped], slip_px=2.0)
    views[unseen] = replace(views[unseen], thermal=None)
    fit = solve_rig(BOARD, views, sizes(cameras), PINHOLE)
    reasons = reasons_left_out(fit, views)
    assert reasons[str(slipped)] == "the board moved by 2.0 px between the two exposures"
    assert reasons[str(unseen)] == "no board in the thermal image"
    # 5 px to the right and down.
    assert "7.1 px off" in reasons[str(moved)] or "7.0 px off" in reasons[str(moved)]
    assert not set(reasons) & {view.name for view in fit.shared.views}
