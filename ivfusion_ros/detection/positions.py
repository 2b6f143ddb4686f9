"""Where detected objects are in space: by a depth image, or by the ground that they stand on.

A position is the middle of an object's box, at the distance of the object's near side along the optical
axis: of the nearest surface that a depth image shows of it, or of its foot. Its covariance says how the
method errs: by depth by a share of the distance, and by as much as the middle of the box is behind the near
side; on the ground by the box's lower edge and the camera's tilt, which grows with the square of the
distance, and by half of a car's length where a side border cuts the box.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.ranges import NO_DEPTH_IMAGE, Ranges, by_depth, by_ground, edge_errors, unknown
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.ground import GroundPlane
from ivfusion_ros.types import Positions

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PositionsConfig
    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.types import CameraInfo, DepthImage, Detections, Floats, Size

NO_INTRINSICS = "no intrinsics in camera_info"
_NONE = Positions(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)))


class Locator:
    """Adds positions to detections; thread-safe towards set_base."""

    def __init__(self, config: PositionsConfig) -> None:
        self._config = config
        self._base_from_camera: Extrinsics | None = None
        self._camera: tuple[CameraInfo, CameraModel] | None = None

    def set_base(self, base_from_camera: Extrinsics | None) -> None:
        """Take how points move from the reference camera's optical frame to the base's."""
        self._base_from_camera = base_from_camera

    def __call__(
        self,
        detections: Detections,
        size: Size,
        frame_id: str,
        camera_info: CameraInfo | None,
        depth: DepthImage | None,
    ) -> Detections:
        """size: (width, height) of the fused image. depth: in the reference camera's view.

        Without intrinsics, or without the base's pose where that is the frame, there are no positions.
        placed always says why. Raises ConfigError for intrinsics that are none.
        """
        why = self._why_none(camera_info)
        if camera_info is None or why:
            return replace(detections, placed=(why,) * len(detections))
        boxes = detections.boxes_xyxy.astype(np.float64)
        if not len(boxes):
            return replace(detections, positions=self._in_frame(_NONE, frame_id))
        camera = self._model(camera_info, size)
        ranges = self._ranges(boxes, size, camera, depth)
        found = self._in_frame(_positions(boxes, camera, ranges), frame_id)
        return replace(detections, positions=found, placed=tuple(ranges.ways.tolist()))

    def _why_none(self, camera_info: CameraInfo | None) -> str:
        if camera_info is None or not camera_info.k[0]:
            return NO_INTRINSICS
        return self._no_base if self._config.frame == "base" and self._base_from_camera is None else ""

    @property
    def _no_base(self) -> str:
        return f"no transform to {self._config.base_frame}"

    def _in_frame(self, found: Positions, frame_id: str) -> Positions:
        """From the camera's optical frame to the one that is asked for."""
        base = self._base_from_camera
        if self._config.frame != "base" or base is None:
            return replace(found, frame_id=frame_id)
        return Positions(
            base.apply(found.points_m),
            found.sizes_m,
            base.rotation @ found.covariances_m2 @ base.rotation.T,
            self._config.base_frame,
            base.rotation,
        )

    def _ranges(self, boxes: Floats, size: Size, camera: CameraModel, depth: DepthImage | None) -> Ranges:
        method = self._config.method
        ranges = unknown(len(boxes), NO_DEPTH_IMAGE)
        if method in ("depth", "auto") and depth is not None:
            ranges = by_depth(boxes, size, depth)
        if method == "depth":
            return ranges
        ground = self._ground()
        if ground is None:
            return ranges.or_else(unknown(len(boxes), self._no_base))
        tilt_error = math.radians(self._config.tilt_error_deg)
        return ranges.or_else(by_ground(boxes, size, camera, ground, tilt_error))

    def _ground(self) -> GroundPlane | None:
        config = self._config
        if config.camera_height_m:
            return GroundPlane.below(config.camera_height_m, config.camera_tilt_deg, config.camera_roll_deg)
        return None if self._base_from_camera is None else GroundPlane.of_base(self._base_from_camera)

    def _model(self, info: CameraInfo, size: Size) -> CameraModel:
        known = self._camera
        if known is None or known[0] != info or known[1].size != size:
            model = CameraModel.from_camera_info(info)
            model = model if model.size == size else model.scaled("reference", size)
            self._camera = known = info, model
        return known[1]


def _positions(boxes: Floats, camera: CameraModel, ranges: Ranges) -> Positions:
    """Of boxes at ranges, in the camera's optical frame."""
    depths = ranges.depths_m
    slopes = camera.slopes((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5)
    rays = np.concatenate([slopes, np.ones((len(boxes), 1))], axis=1)
    focal = camera.matrix[[0, 1], [0, 1]]
    sides = boxes[:, 2:] - boxes[:, :2]
    sideways = edge_errors(sides) / math.sqrt(2) / focal * depths[:, None]
    covariances = (ranges.errors_m**2)[:, None, None] * rays[:, :, None] * rays[:, None, :]
    covariances[:, [0, 1], [0, 1]] += sideways**2
    sizes = np.concatenate([sides / focal * depths[:, None], np.zeros((len(boxes), 1))], axis=1)
    return Positions(rays * depths[:, None], sizes, covariances)
