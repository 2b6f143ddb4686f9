"""Detections in the cameras' own images, with temperatures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.native_boxes import box_depths, map_boxes
from ivfusion_ros.detection.temperature import box_temperatures
from ivfusion_ros.types import Boxes, CameraName, DepthImage, Detections, Floats, Frames, Size

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Floats32

PointMap = Callable[[Floats, Floats | None], Floats]
"""Pixels (N, 2) of the fused image and their distances (N,) in metres, NaN or None where not known, to
pixels (N, 2) of a camera's own image, NaN where that sees nothing. Raises ConfigError."""


@dataclass(frozen=True)
class Views:
    """How the cameras saw what a fused image shows.

    size: (width, height) of the fused image. native_points: of each camera whose own image has other pixels
    than the fused one. depth: as in FramePair; then each box is moved for its own distance.
    """

    frames: Frames
    size: Size
    native_points: Mapping[CameraName, PointMap] = field(default_factory=dict)
    depth: DepthImage | None = None


def with_native_boxes(detections: Detections, views: Views) -> Detections:
    """Add the boxes in the images of the cameras that sent one, by the way that the warp went.

    Raises ConfigError for a depth image without a rig.
    """
    native = {camera: _native_boxes(detections.boxes_xyxy, camera, views) for camera in views.frames}
    return replace(detections, thermal_boxes_xyxy=native.get("thermal"), rgb_boxes_xyxy=native.get("rgb"))


def with_temperatures(
    detections: Detections, frames: Frames, kelvin: Callable[[AnyImage], Floats32] | None
) -> Detections:
    """Add temperatures where the thermal frame is radiometric and the boxes in it are known.

    kelvin: of its counts; None where they are no temperatures.
    """
    thermal, boxes = frames.get("thermal"), detections.thermal_boxes_xyxy
    if thermal is None or boxes is None or kelvin is None or thermal.image.ndim != 2:
        return detections
    hottest, mean = box_temperatures(thermal.image, boxes, kelvin)
    return replace(detections, max_kelvin=hottest, mean_kelvin=mean)


def _native_boxes(boxes: Boxes, camera: CameraName, views: Views) -> Boxes:
    native_points = views.native_points.get(camera)
    if native_points is None:
        return boxes
    depths = None if views.depth is None else box_depths(views.depth, boxes, views.size)

    def mapped(points: Floats) -> Floats:
        each = None if depths is None else np.repeat(depths, len(points) // len(depths))
        return native_points(points, each)

    return map_boxes(boxes, mapped, views.frames[camera].size)
