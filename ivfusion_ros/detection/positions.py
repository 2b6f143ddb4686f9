"""Where detected objects are in space: by a depth image, or by the ground that they stand on.

A position is the middle of the part of the object that faces the camera. Its covariance says how the method
errs: by depth a share of the distance and the spread of what the box shows; on the ground by the box's
lower edge and the camera's tilt, which grows with the square of the distance.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection.native_boxes import box_depths
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.ground import GroundPlane
from ivfusion_ros.types import Positions

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import PositionsConfig
    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.types import CameraInfo, DepthImage, Detections, Floats, Size

_DEPTH_SHARE = 0.02
"""Standard deviation of a depth camera's distance, as a share of it."""
_HEIGHT_SHARE = 0.02
"""Standard deviation of the camera's height: a vehicle's springs, a load."""
_EDGE_PX = 1.5
_EDGE_SHARE = 0.02
"""Standard deviation of a detected box's side: pixels, and a share of the box."""
_BORDER_PX = 1.0


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
        Raises ConfigError for intrinsics that are none.
        """
        base = self._base_from_camera
        in_base = self._config.frame == "base"
        if camera_info is None or (in_base and base is None) or not camera_info.k[0]:
            return detections
        found = self._found(detections.boxes_xyxy.astype(np.float64), size, camera_info, depth)
        if not in_base or base is None:
            return replace(detections, positions=replace(found, frame_id=frame_id))
        turned = base.rotation @ found.covariances_m2 @ base.rotation.T
        moved = replace(found, points_m=base.apply(found.points_m), covariances_m2=turned)
        return replace(
            detections,
            positions=replace(moved, frame_id=self._config.base_frame, rotation=base.rotation),
        )

    def _found(
        self, boxes: Floats, size: Size, camera_info: CameraInfo, depth: DepthImage | None
    ) -> Positions:
        if not len(boxes):
            return Positions(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3, 3)))
        camera = self._model(camera_info, size)
        depths, errors = np.full((2, len(boxes)), np.nan)
        if self._config.method in ("depth", "auto") and depth is not None:
            depths = box_depths(depth, boxes.astype(np.float32), size)
            errors = _DEPTH_SHARE * depths
        ground = self._ground() if self._config.method in ("ground", "auto") else None
        if ground is not None:
            by_ground, ground_errors = self._on_ground(boxes, size, camera, ground)
            unknown = np.isnan(depths)
            depths = np.where(unknown, by_ground, depths)
            errors = np.where(unknown, ground_errors, errors)
        return _positions(boxes, camera, depths, errors)

    def _ground(self) -> GroundPlane | None:
        config = self._config
        if config.camera_height_m:
            return GroundPlane.below(config.camera_height_m, config.camera_tilt_deg, config.camera_roll_deg)
        return None if self._base_from_camera is None else GroundPlane.of_base(self._base_from_camera)

    def _on_ground(
        self, boxes: Floats, size: Size, camera: CameraModel, ground: GroundPlane
    ) -> tuple[Floats, Floats]:
        """Depths and their errors; NaN for an object whose foot the image's border cuts off."""
        feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1) - 0.5
        depths = ground.depths(camera.slopes(feet))
        depths[boxes[:, 3] >= size[1] - _BORDER_PX] = np.nan
        edges = _edge_errors(boxes[:, 3] - boxes[:, 1]) / camera.matrix[1, 1]
        errors = ground.depth_errors(depths, edges, math.radians(self._config.tilt_error_deg))
        return depths, np.hypot(errors, _HEIGHT_SHARE * depths)

    def _model(self, info: CameraInfo, size: Size) -> CameraModel:
        known = self._camera
        if known is None or known[0] != info or known[1].size != size:
            model = CameraModel.from_camera_info(info)
            model = model if model.size == size else model.scaled("reference", size)
            self._camera = known = info, model
        return known[1]


def _edge_errors(sides_px: Floats) -> Floats:
    return np.hypot(_EDGE_PX, _EDGE_SHARE * sides_px)


def _positions(boxes: Floats, camera: CameraModel, depths: Floats, errors: Floats) -> Positions:
    """Of boxes at depths with standard deviations, in the camera's optical frame."""
    slopes = camera.slopes((boxes[:, :2] + boxes[:, 2:]) / 2 - 0.5)
    rays = np.concatenate([slopes, np.ones((len(boxes), 1))], axis=1)
    focal = camera.matrix[[0, 1], [0, 1]]
    sides = boxes[:, 2:] - boxes[:, :2]
    sideways = _edge_errors(sides) / math.sqrt(2) / focal * depths[:, None]
    covariances = (errors**2)[:, None, None] * rays[:, :, None] * rays[:, None, :]
    covariances[:, [0, 1], [0, 1]] += sideways**2
    sizes = np.concatenate([sides / focal * depths[:, None], np.zeros((len(boxes), 1))], axis=1)
    return Positions(rays * depths[:, None], sizes, covariances)
