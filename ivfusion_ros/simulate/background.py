"""What a camera sees of the still street; painted once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.simulate.panel import Panel, View
from ivfusion_ros.types import Floats, Floats32

if TYPE_CHECKING:
    from ivfusion_ros.simulate.camera import Camera
    from ivfusion_ros.simulate.light import Illumination

_OVERSAMPLING = 2
FARTHEST_M = 400.0
"""Distance of the sky."""


@dataclass(frozen=True, eq=False)
class Background:
    """picture: (H, W, 3) gamma-coded RGB for "rgb", (H, W) kelvin above ambient for "thermal".

    depth_m: (H, W) float32, along the world's z axis from the camera.
    """

    picture: Floats32
    depth_m: Floats32


def paint_rgb(view: View, panels: list[Panel], illumination: Illumination) -> Background:
    """The street in visible light, by sky, sun and lamps; panels: far ones first."""
    fine = View(view.camera, _OVERSAMPLING)
    painted: Floats32 = np.zeros((*fine.rays.shape[:2], 3), np.float32)
    shining = np.zeros_like(painted)
    for panel, patch in fine.find(panels):
        colour = patch.sample(panel.texture, heat=False)
        codes = colour[:, :, :3] * np.array(panel.light, np.float32)
        below, above = (painted, shining) if panel.kind == "surface" else (shining, painted)
        if panel.kind == "glow":
            shining[patch.region] = np.hypot(shining[patch.region], codes)
            continue
        below[patch.region] = below[patch.region] * (1 - colour[:, :, 3:]) + codes
        above[patch.region] *= 1 - colour[:, :, 3:]
    depth, normals = _surfaces(view, panels)
    light = np.sqrt(_light(view, depth, normals, illumination))
    picture = np.hypot(_shrink(painted, view.camera) * light, _shrink(shining, view.camera))
    return Background(illumination.in_fog(picture.astype(np.float32), depth[:, :, None]), depth)


def paint_thermal(view: View, panels: list[Panel]) -> Background:
    """The street as temperature; panels: far ones first."""
    fine = View(view.camera, _OVERSAMPLING)
    kelvin: Floats32 = np.zeros(fine.rays.shape[:2], np.float32)
    for panel, patch in fine.find([panel for panel in panels if panel.texture.heat is not None]):
        heat = patch.sample(panel.texture, heat=True)
        kelvin[patch.region] = kelvin[patch.region] * (1 - heat[:, :, 1]) + heat[:, :, 0]
    return Background(_shrink(kelvin, view.camera), _surfaces(view, panels)[0])


def _shrink(picture: Floats32, camera: Camera) -> Floats32:
    size = camera.width, camera.height
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)


def _surfaces(view: View, panels: list[Panel]) -> tuple[Floats32, Floats32]:
    """Depth (H, W) and normal (H, W, 3) of what each pixel sees."""
    depth: Floats32 = np.full(view.rays.shape[:2], FARTHEST_M, np.float32)
    normals: Floats32 = np.zeros((*depth.shape, 3), np.float32)
    for panel, patch in view.find([panel for panel in panels if panel.kind != "glow"]):
        seen = patch.sample(panel.texture, heat=False)[:, :, 3] > 0.5
        depth[patch.region][seen] = patch.depth_m[seen]
        normals[patch.region][seen] = panel.normal
    return depth, normals


def _light(view: View, depth: Floats32, normals: Floats32, illumination: Illumination) -> Floats:
    points = np.concatenate([view.rays * depth[:, :, None], depth[:, :, None]], axis=2)
    points = points.reshape(-1, 3) + view.camera.position
    return illumination.at(points, normals.reshape(-1, 3).astype(np.float64)).reshape(*depth.shape, 3)
