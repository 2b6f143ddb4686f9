"""Detections in the cameras' own images, with temperatures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.native_boxes import Boxes, box_depths, map_boxes
from ivfusion_ros.detection.temperature import box_temperatures
from ivfusion_ros.registration.dense import Residual
from ivfusion_ros.registration.rig import CameraName
from ivfusion_ros.registration.warp import Warp
from ivfusion_ros.thermal import ThermalScaler
from ivfusion_ros.types import DepthImage, Detections, Frame

Frames = Mapping[CameraName, Frame]
"""The frames that a result is made of; a silent camera's is left out."""


def with_native_boxes(
    detections: Detections,
    frames: Frames,
    warp: Warp,
    size: tuple[int, int],
    depth: DepthImage | None,
    residual: Residual | None = None,
) -> Detections:
    """Add the boxes in the images of the cameras that sent one, by the way that the warp goes.

    size: (width, height) of the image that the boxes belong to. depth: as in FramePair; then each box is
    moved for its own distance. residual: that the warped image was moved by. Raises ConfigError.
    """
    boxes = detections.boxes_xyxy
    depths = None if depth is None else box_depths(depth, boxes, size)
    native: dict[CameraName, Boxes] = {}
    for camera, frame in frames.items():
        at_reference = camera == warp.reference
        native[camera] = (
            boxes if at_reference else _other_boxes(boxes, frame.size, warp, size, depths, residual)
        )
    return replace(detections, thermal_boxes_xyxy=native.get("thermal"), rgb_boxes_xyxy=native.get("rgb"))


def with_temperatures(detections: Detections, frames: Frames, scaler: ThermalScaler) -> Detections:
    """Add temperatures where the thermal frame is radiometric and the boxes in it are known."""
    thermal, boxes = frames.get("thermal"), detections.thermal_boxes_xyxy
    if thermal is None or boxes is None or not scaler.is_radiometric or thermal.image.ndim != 2:
        return detections
    hottest, mean = box_temperatures(thermal.image, boxes, scaler.kelvin)
    return replace(detections, max_kelvin=hottest, mean_kelvin=mean)


def _other_boxes(
    boxes: Boxes,
    other_size: tuple[int, int],
    warp: Warp,
    size: tuple[int, int],
    depths: npt.NDArray[np.float64] | None,
    residual: Residual | None,
) -> Boxes:
    def other_points(points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        each = None if depths is None else np.repeat(depths, len(points) // len(depths))
        if residual is not None:
            points = residual.shown_points(points)
        return warp.other_points(points, other_size, size, each)

    return map_boxes(boxes, other_points, other_size)
