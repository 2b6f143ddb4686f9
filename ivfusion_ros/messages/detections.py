"""Detections and the names of their classes -> messages of vision_msgs 4.x."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import DETECTIONS, LABEL_INFO

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import CameraName, Detections, Header


def make_detections(make: Make, header: Header, detections: Detections) -> Any:
    """Detection2DArray in the fused image's pixels; class_id is the class NAME, id by Detections.id_of.

    A number as id finds the object again in a camera's own image.
    """
    head, pose = make_header(make, header), _no_pose(make)
    found = [
        _detection(make, head, detections, index, box, [_class_of(make, pose, detections, index)])
        for index, box in enumerate(detections.boxes_xyxy.tolist())
    ]
    return make(DETECTIONS, header=head, detections=found)


def make_native_detections(make: Make, header: Header, detections: Detections, camera: CameraName) -> Any:
    """As make_detections, in the pixels of a camera's own image; what it does not see is left out.

    Thermal detections have two results more where temperatures are known: class_id max_kelvin and
    mean_kelvin, score in kelvin.
    """
    thermal = camera == "thermal"
    boxes = detections.thermal_boxes_xyxy if thermal else detections.rgb_boxes_xyxy
    head, pose = make_header(make, header), _no_pose(make)
    found = []
    for index, box in enumerate([] if boxes is None else boxes.tolist()):
        if all(map(math.isfinite, box)):
            results = [_class_of(make, pose, detections, index)]
            results += _temperatures(make, pose, detections, index) if thermal else []
            found.append(_detection(make, head, detections, index, box, results))
    return make(DETECTIONS, header=head, detections=found)


def make_label_info(make: Make, header: Header, class_names: tuple[str, ...]) -> Any:
    """LabelInfo: index and name of every class that the detector knows."""
    classes = [
        make("vision_msgs/msg/VisionClass", class_id=index, class_name=name)
        for index, name in enumerate(class_names)
    ]
    return make(LABEL_INFO, header=make_header(make, header), class_map=classes, threshold=0.0)


def _detection(
    make: Make, head: Any, detections: Detections, index: int, box: list[float], results: list[Any]
) -> Any:
    left, top, right, bottom = box
    center = make("vision_msgs/msg/Point2D", x=(left + right) / 2, y=(top + bottom) / 2)
    pose = make("vision_msgs/msg/Pose2D", position=center, theta=0.0)
    bbox = make("vision_msgs/msg/BoundingBox2D", center=pose, size_x=right - left, size_y=bottom - top)
    name = detections.id_of(index)
    return make("vision_msgs/msg/Detection2D", header=head, results=results, bbox=bbox, id=name)


def _class_of(make: Make, pose: Any, detections: Detections, index: int) -> Any:
    name = detections.class_names[detections.class_ids[index]]
    return _hypothesis(make, pose, name, float(detections.scores[index]))


def _temperatures(make: Make, pose: Any, detections: Detections, index: int) -> list[Any]:
    values = {"max_kelvin": detections.max_kelvin, "mean_kelvin": detections.mean_kelvin}
    return [
        _hypothesis(make, pose, name, float(kelvin[index]))
        for name, kelvin in values.items()
        if kelvin is not None and math.isfinite(kelvin[index])
    ]


def _hypothesis(make: Make, pose: Any, class_id: str, score: float) -> Any:
    hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=class_id, score=score)
    return make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)


def _no_pose(make: Make) -> Any:
    position = make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
    orientation = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    pose = make("geometry_msgs/msg/Pose", position=position, orientation=orientation)
    return make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))
