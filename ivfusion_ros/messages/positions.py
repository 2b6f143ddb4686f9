"""Positions of detected objects -> Detection3DArray of vision_msgs 4.x."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import DETECTIONS_3D

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import Detections, Floats, Header


def make_positions(make: Make, header: Header, detections: Detections) -> Any:
    """Detection3DArray in the frame of detections.positions; an object whose place is unknown is left out.

    Each has one result as in make_detections, with its position and covariance: the middle of its box, as
    far away as its near side, see types.Positions. bbox: width and height of the box at that distance,
    turned like the camera, size z 0, since nobody saw how deep it is.
    """
    positions = detections.positions
    assert positions is not None
    head = make_header(make, replace(header, frame_id=positions.frame_id))
    turn = _quaternion(make, positions.rotation)
    found = []
    for index in np.flatnonzero(np.isfinite(positions.points_m).all(axis=1)).tolist():
        x, y, z = positions.points_m[index].tolist()
        pose = make(
            "geometry_msgs/msg/Pose",
            position=make("geometry_msgs/msg/Point", x=x, y=y, z=z),
            orientation=turn,
        )
        found.append(_detection(make, head, detections, index, pose))
    return make(DETECTIONS_3D, header=head, detections=found)


def _detection(make: Make, head: Any, detections: Detections, index: int, pose: Any) -> Any:
    positions = detections.positions
    assert positions is not None
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = positions.covariances_m2[index]
    measured = make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=covariance.ravel())
    hypothesis = make(
        "vision_msgs/msg/ObjectHypothesis",
        class_id=str(detections.class_ids[index]),
        score=float(detections.scores[index]),
    )
    result = make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=measured)
    width, height, deep = positions.sizes_m[index].tolist()
    size = make("geometry_msgs/msg/Vector3", x=width, y=height, z=deep)
    return make(
        "vision_msgs/msg/Detection3D",
        header=head,
        results=[result],
        bbox=make("vision_msgs/msg/BoundingBox3D", center=pose, size=size),
        id=detections.id_of(index),
    )


def _quaternion(make: Make, rotation: Floats) -> Any:
    """Of a rotation matrix, by the largest of its four components, which is far from 0."""
    r = rotation
    squares = 1 + np.array(
        [
            r[0, 0] - r[1, 1] - r[2, 2],
            r[1, 1] - r[0, 0] - r[2, 2],
            r[2, 2] - r[0, 0] - r[1, 1],
            r[0, 0] + r[1, 1] + r[2, 2],
        ]
    )
    skew = {"x": r[2, 1] - r[1, 2], "y": r[0, 2] - r[2, 0], "z": r[1, 0] - r[0, 1]}
    rows = {
        0: (squares[0], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0], skew["x"]),
        1: (r[0, 1] + r[1, 0], squares[1], r[1, 2] + r[2, 1], skew["y"]),
        2: (r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], squares[2], skew["z"]),
        3: (skew["x"], skew["y"], skew["z"], squares[3]),
    }
    row = np.array(rows[int(squares.argmax())])
    x, y, z, w = (row / np.linalg.norm(row)).tolist()
    return make("geometry_msgs/msg/Quaternion", x=x, y=y, z=z, w=w)
