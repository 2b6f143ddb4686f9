"""Positions as Detection3DArray."""

from dataclasses import replace

import numpy as np
import pytest
from message_samples import HEADER, detections, make

from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.messages.positions import make_positions
from ivfusion_ros.types import Positions


def positions(rotation: np.ndarray) -> Positions:
    points = np.array([[1.0, 2, 3], [np.nan] * 3])
    covariances = np.arange(18.0).reshape(2, 3, 3)
    return Positions(points, np.array([[0.5, 1.5, 0], [np.nan] * 3]), covariances, "base_link", rotation)


def test_what_is_known_is_sent_in_its_frame() -> None:
    message = make_positions(make, HEADER, replace(detections(), positions=positions(np.eye(3))))
    assert message.header.frame_id == "base_link"
    (one,) = message.detections
    assert one.header.frame_id == "base_link"
    pose, covariance = one.results[0].pose.pose, one.results[0].pose.covariance
    assert (pose.position.x, pose.position.y, pose.position.z) == (1, 2, 3)
    assert one.bbox.center is pose and (one.bbox.size.x, one.bbox.size.y, one.bbox.size.z) == (0.5, 1.5, 0)
    # Row by row of x, y, z and three angles.
    assert covariance[:3].tolist() == [0, 1, 2] and covariance[6:9].tolist() == [3, 4, 5]
    assert covariance.shape == (36,) and not covariance[18:].any()
    assert one.results[0].hypothesis.class_id == "1" and one.results[0].hypothesis.score == 0.875


@pytest.mark.parametrize("seed", range(12))
def test_boxes_are_turned_like_the_camera(seed: int) -> None:
    quaternion = np.random.default_rng(seed).normal(size=4)
    # Half turns too, where some of the four numbers are 0.
    quaternion = np.roll([1.0, 0, 0, 0], seed) if seed < 4 else quaternion
    rotation = Extrinsics.from_quaternion(quaternion.tolist(), [0, 0, 0]).rotation
    message = make_positions(make, HEADER, replace(detections(), positions=positions(rotation)))
    turn = message.detections[0].bbox.center.orientation
    again = Extrinsics.from_quaternion([turn.x, turn.y, turn.z, turn.w], [0, 0, 0]).rotation
    np.testing.assert_allclose(again, rotation, atol=1e-12)
