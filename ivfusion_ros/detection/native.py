"""Detections in the cameras' own images, with temperatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.native_boxes import box_depths, map_boxes
from ivfusion_ros.detection.temperature import box_temperatures
from ivfusion_ros.geometry.warp import PointMap
from ivfusion_ros.registration.scene.dense import Residual
from ivfusion_ros.types import Boxes, CameraName, DepthImage, Detections, Floats, Frame, Size

if TYPE_CHECKING:
    from ivfusion_ros.images.thermal import ThermalScaler

Frames = Mapping[CameraName, Frame]
"""The frames that a result is made of; a silent camera's is left out."""


@dataclass(frozen=True)
class Views:
    """How the cameras saw what a fused image shows.

    size: (width, height) of the fused image. to_other: from there to the camera that is not the reference,
    None where that is silent. depth: as in FramePair; then each box is moved for its own distance.
    residual: that the warped image was moved by.
    """

    frames: Frames
    reference: CameraName
    size: Size
    to_other: PointMap | None = None
    depth: DepthImage | None = None
    residual: Residual | None = None


def with_native_boxes(detections: Detections, views: Views) -> Detections:
    """Add the boxes in the images of the cameras that sent one, by the way that the warp went.

    Raises ConfigError for a depth image without a rig.
    """
    boxes = detections.boxes_xyxy
    native: dict[CameraName, Boxes] = {}
    for camera, frame in views.frames.items():
        native[camera] = boxes if camera == views.reference else _other_boxes(boxes, frame.size, views)
    return replace(detections, thermal_boxes_xyxy=native.get("thermal"), rgb_boxes_xyxy=native.get("rgb"))


def with_temperatures(detections: Detections, frames: Frames, scaler: ThermalScaler) -> Detections:
    """Add temperatures where the thermal frame is radiometric and the boxes in it are known."""
    thermal, boxes = frames.get("thermal"), detections.thermal_boxes_xyxy
    if thermal is None or boxes is None or not scaler.is_radiometric or thermal.image.ndim != 2:
        return detections
    hottest, mean = box_temperatures(thermal.image, boxes, scaler.kelvin)
    return replace(detections, max_kelvin=hottest, mean_kelvin=mean)


def _other_boxes(boxes: Boxes, other_size: Size, views: Views) -> Boxes:
    to_other = views.to_other
    assert to_other is not None
    depths = None if views.depth is None else box_depths(views.depth, boxes, views.size)

    def other_points(points: Floats) -> Floats:
        each = None if depths is None else np.repeat(depths, len(points) // len(depths))
        if views.residual is not None:
            points = views.residual.shown_points(points)
        return to_other(points, each)

    return map_boxes(boxes, other_points, other_size)
