"""Pipelines of the blend model, and pairs of random images for them."""

import dataclasses

import numpy as np

from ivfusion_ros.config.pipeline import DetectionConfig, FusionConfig, PipelineConfig, RegistrationConfig
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.types import CameraInfo, Frame, FramePair

INFO = CameraInfo(96, 64)
K = (80.0, 0.0, 47.5, 0.0, 80.0, 31.5, 0.0, 0.0, 1.0)
SIDE_BY_SIDE = Extrinsics(np.eye(3), np.array([0.2, 0.0, 0.0]))
"""rgb_from_thermal: at z metres a thermal pixel lies 80 * 0.2 / z to the left of the RGB pixel."""


def configure(blend_model, detector="", **sections) -> PipelineConfig:
    return PipelineConfig(
        fusion=FusionConfig(model=str(blend_model), backend="onnxruntime"),
        detection=DetectionConfig(model=str(detector), backend="onnxruntime"),
        **sections,
    )


def make_pair(seed: int = 0, thermal_size: tuple[int, int] = (96, 64)) -> FramePair:
    random = np.random.default_rng(seed)
    thermal = random.integers(0, 256, (thermal_size[1], thermal_size[0]), np.uint8)
    rgb = random.integers(0, 256, (64, 96, 3), np.uint8)
    return FramePair(Frame(thermal, 1004, "t"), Frame(rgb, 1000, "rgb_frame", INFO), 4)


def rig_file(tmp_path, **parts) -> RegistrationConfig:
    parts = {"rgb_from_thermal": SIDE_BY_SIDE, "plane_distance_m": 4.0, **parts}
    write_calibration(tmp_path / "rig.yaml", Calibration((96, 64), (96, 64), rig=RigParts(**parts)))
    return RegistrationConfig(str(tmp_path / "rig.yaml"))


def with_infos(pair: FramePair, **changes) -> FramePair:
    info = CameraInfo(96, 64, k=K)
    thermal, rgb = (dataclasses.replace(frame, camera_info=info) for frame in (pair.thermal, pair.rgb))
    return dataclasses.replace(pair, thermal=thermal, rgb=rgb, **changes)
