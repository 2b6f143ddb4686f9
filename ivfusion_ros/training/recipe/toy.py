"""Tiny simulated pairs with labels, on which a recipe runs to its end in a minute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.images.files import write_image
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Image

_SIZE = (160, 128)
_RUNS = 8
_FRAMES = 2
_CLASS_IDS = {"person": 2, "car": 1}
"""As MSRS numbers them."""


def write_toy_data(folder: Path) -> list[Path]:
    """Two folders of pairs, one by day and one at night, in runs of two frames; what is there stays."""
    return [_write_street(folder / hour, hour) for hour in ("day", "night")]


def _write_street(folder: Path, hour: str) -> Path:
    done = folder / "labels"
    if done.is_dir() and len(list(done.iterdir())) == _RUNS * _FRAMES:
        return folder
    street = Simulator(SceneConfig(duration_s=_RUNS, illumination=hour), _rig())
    for name in ("thermal", "rgb", "labels"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for run in range(_RUNS):
        for frame in range(_FRAMES):
            time_s, stem = run + frame / 10, f"{100 * run + frame:05d}.png"
            write_image(folder / "thermal" / stem, _grey(street.thermal_at(time_s)))
            write_image(folder / "rgb" / stem, street.rgb_at(time_s))
            write_image(folder / "labels" / stem, _labels(street, time_s))
    return folder


def _rig() -> RigConfig:
    """Both cameras in one place with one lens: their images are registered."""
    lens = {"width": _SIZE[0], "height": _SIZE[1], "hfov_deg": 54.0}
    ideal = {"principal_offset_px": (0.0, 0.0), "distortion": (0.0, 0.0)}
    place = {"position_m": (0.0, 0.0, 0.0), "rotation_deg": (0.0, 0.0, 0.0)}
    rgb = RgbConfig(**lens, **ideal)  # type: ignore[arg-type]
    return RigConfig(rgb=rgb, thermal=ThermalCameraConfig(**lens, **ideal, **place))  # type: ignore[arg-type]


def _grey(counts: object) -> Image:
    values = np.asarray(counts, np.float64)
    low, high = np.percentile(values, (0.5, 99.5))
    return np.asarray(np.clip(255 * (values - low) / (high - low), 0, 255), np.uint8)


def _labels(street: Simulator, time_s: float) -> Image:
    """Class ids of boxes that are filled, the nearest last."""
    labels = np.zeros(_SIZE[::-1], np.uint8)
    for item in reversed(street.boxes(time_s, "rgb")):
        left, top, right, bottom = (round(value) for value in item.box_xyxy)
        labels[max(0, top) : bottom, max(0, left) : right] = _CLASS_IDS[item.class_name]
    return labels
