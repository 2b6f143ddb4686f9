"""A calibration from ordinary scenes, without a board."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ivfusion_ros.calibrate.collect import check_sizes
from ivfusion_ros.calibrate.pairs import NamedPair
from ivfusion_ros.config import ThermalConfig
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.images import to_grey
from ivfusion_ros.registration.calibration import Calibration
from ivfusion_ros.registration.camera import CameraModel, Floats, Size
from ivfusion_ros.registration.matching import Alignment, ImagePair, align_many
from ivfusion_ros.registration.rig import CameraName
from ivfusion_ros.thermal import ThermalScaler
from ivfusion_ros.types import FramePair

SceneModel = Literal["homography", "affine"]


@dataclass(frozen=True, eq=False)
class SceneFit:
    """A calibration without a board. example: the last pair, as it was matched."""

    calibration: Calibration
    alignment: Alignment
    example: FramePair


def fit_scenes(pairs: Iterable[NamedPair], model: SceneModel) -> SceneFit:
    """One alignment from all pairs. Raises DataError where it cannot be trusted."""
    sizes: dict[CameraName, Size] = {}
    images: list[ImagePair] = []
    example, initial = None, None
    for name, pair in pairs:
        check_sizes(sizes, name, pair)
        images.append((_thermal_grey(pair), np.asarray(to_grey(pair.rgb.image), np.uint8)))
        initial = _initial(pair) if initial is None else initial
        example = pair
    if example is None:
        raise DataError(
            "there are no pairs of a thermal and an RGB image; check the topics or folders, and the offset "
            "between the clocks (--time-offset)"
        )
    alignment = align_many(images, initial, model)
    _check(alignment)
    quality: dict[str, Any] = {
        "method": "targetless",
        "model": model,
        "confidence": round(alignment.confidence, 3),
        "agreement": round(alignment.agreement, 3),
        "split_px": round(alignment.split_px, 2),
        "frames": alignment.frames,
    }
    calibration = Calibration(sizes["thermal"], sizes["rgb"], alignment.rgb_from_thermal, quality=quality)
    return SceneFit(calibration, alignment, example)


def _thermal_grey(pair: FramePair) -> np.typing.NDArray[np.uint8]:
    # Each frame for itself: they are far apart in time.
    return ThermalScaler(ThermalConfig())(pair.thermal.image, pair.thermal.stamp_ns)


def _initial(pair: FramePair) -> Floats | None:
    """Where distant things lie by the cameras' published intrinsics, if both publish them."""
    cameras = []
    for name, frame in (("thermal", pair.thermal), ("rgb", pair.rgb)):
        if frame.camera_info is None:
            return None
        try:
            cameras.append(CameraModel.from_camera_info(frame.camera_info).scaled(name, frame.size))
        except ConfigError:
            return None
    thermal, rgb = cameras
    return np.asarray(rgb.matrix @ np.linalg.inv(thermal.matrix), np.float64)


def _check(alignment: Alignment) -> None:
    if alignment.trusted:
        return
    raise DataError(
        f"the images do not agree on one alignment: confidence {alignment.confidence:.2f}, expected 0.5 "
        f"or more (from {alignment.frames} pairs); record various scenes with edges that both cameras "
        "see, such as buildings, cars and people by day, at the distances that matter, or use a board "
        "(--board)"
    )
