"""Detections, their temperatures and the names of their classes -> vision_msgs 4.x and a PointCloud2."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import DETECTIONS, LABEL_INFO, POINTS
from ivfusion_ros.types import UNTRACKED

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import CameraName, Detections, Header

_INT32, _UINT32, _FLOAT32 = 5, 6, 7
"""sensor_msgs/PointField's numbers of types."""

TEMPERATURE_ROW = np.dtype([("index", "<u4"), ("id", "<i4"), ("max_kelvin", "<f4"), ("mean_kelvin", "<f4")])
"""A row of make_temperatures."""

_FIELD_TYPES = {"<u4": _UINT32, "<i4": _INT32, "<f4": _FLOAT32}


def make_detections(make: Make, header: Header, detections: Detections) -> Any:
    """Detection2DArray in the fused image's pixels.

    One result each: class_id is LabelInfo's key of the class, score in [0, 1]. id is the track's number,
    and empty without one.
    """
    head, pose = make_header(make, header), no_pose(make)
    found = [
        _detection(make, head, pose, detections, index, box)
        for index, box in enumerate(detections.boxes_xyxy.tolist())
    ]
    return make(DETECTIONS, header=head, detections=found)


def make_native_detections(make: Make, header: Header, detections: Detections, camera: CameraName) -> Any:
    """As make_detections, in the pixels of a camera's own image; what it does not see is left out."""
    boxes = detections.thermal_boxes_xyxy if camera == "thermal" else detections.rgb_boxes_xyxy
    head, pose = make_header(make, header), no_pose(make)
    found = [
        _detection(make, head, pose, detections, index, box)
        for index, box in enumerate([] if boxes is None else boxes.tolist())
        if all(map(math.isfinite, box))
    ]
    return make(DETECTIONS, header=head, detections=found)


def make_temperatures(make: Make, header: Header, detections: Detections) -> Any:
    """PointCloud2 with a TEMPERATURE_ROW for each object that the thermal camera sees.

    index: its place in the Detection2DArray with the same stamp. id: that of its track, -1 without one.
    """
    maximum, mean = detections.max_kelvin, detections.mean_kelvin
    assert maximum is not None and mean is not None
    seen = np.flatnonzero(np.isfinite(maximum) & np.isfinite(mean))
    rows = np.zeros(len(seen), TEMPERATURE_ROW)
    rows["index"], rows["max_kelvin"], rows["mean_kelvin"] = seen, maximum[seen], mean[seen]
    rows["id"] = UNTRACKED if detections.track_ids is None else detections.track_ids[seen]
    return make(
        POINTS,
        header=make_header(make, header),
        height=1,
        width=len(rows),
        fields=_point_fields(make),
        is_bigendian=False,
        point_step=TEMPERATURE_ROW.itemsize,
        row_step=rows.nbytes,
        data=rows.view(np.uint8),
        is_dense=True,
    )


def make_label_info(make: Make, header: Header, class_names: tuple[str, ...], threshold: float) -> Any:
    """LabelInfo: key and name of every class that the detector knows.

    threshold: lowest score that is reported.
    """
    classes = [
        make("vision_msgs/msg/VisionClass", class_id=index, class_name=name)
        for index, name in enumerate(class_names)
    ]
    return make(LABEL_INFO, header=make_header(make, header), class_map=classes, threshold=threshold)


def make_box(make: Make, box: list[float]) -> Any:
    """BoundingBox2D of left, top, right and bottom in pixels."""
    left, top, right, bottom = box
    center = make("vision_msgs/msg/Point2D", x=(left + right) / 2, y=(top + bottom) / 2)
    pose = make("vision_msgs/msg/Pose2D", position=center, theta=0.0)
    return make("vision_msgs/msg/BoundingBox2D", center=pose, size_x=right - left, size_y=bottom - top)


def make_hypothesis(make: Make, pose: Any, class_id: str, score: float) -> Any:
    """ObjectHypothesisWithPose."""
    hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=class_id, score=score)
    return make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose)


def no_pose(make: Make) -> Any:
    """PoseWithCovariance that says nothing."""
    position = make("geometry_msgs/msg/Point", x=0.0, y=0.0, z=0.0)
    orientation = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
    pose = make("geometry_msgs/msg/Pose", position=position, orientation=orientation)
    return make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))


def _detection(
    make: Make, head: Any, pose: Any, detections: Detections, index: int, box: list[float]
) -> Any:
    class_id, score = str(detections.class_ids[index]), float(detections.scores[index])
    return make(
        "vision_msgs/msg/Detection2D",
        header=head,
        results=[make_hypothesis(make, pose, class_id, score)],
        bbox=make_box(make, box),
        id=detections.id_of(index),
    )


def _point_fields(make: Make) -> list[Any]:
    fields = TEMPERATURE_ROW.fields
    assert fields is not None
    return [
        make(
            "sensor_msgs/msg/PointField",
            name=name,
            offset=fields[name][1],
            datatype=_FIELD_TYPES[fields[name][0].str],
            count=1,
        )
        for name in fields
    ]
