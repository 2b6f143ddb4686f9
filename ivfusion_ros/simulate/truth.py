"""What is really where: boxes, visibility and depth of the moving objects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from ivfusion_ros.simulate.bodies import Body
    from ivfusion_ros.simulate.panel import View
    from ivfusion_ros.types import Floats, Floats32, Mask


@dataclass(frozen=True)
class TrueObject:
    """A person or car in a camera's image.

    identity: the same in both cameras and at all times.
    box_xyxy: tight around its part within the image, hidden parts included; pixels as in detections
    (the first pixel spans 0 to 1), lens distortion included.
    depth_m: of its nearest point, along the optical axis.
    visible_fraction: share of its pixels in the image that nothing nearer hides.
    """

    identity: int
    class_name: str
    box_xyxy: tuple[float, float, float, float]
    depth_m: float
    visible_fraction: float


def find_objects(view: View, background_m: Floats32, bodies: list[Body]) -> list[TrueObject]:
    """The bodies within the image, nearest first; bodies: farthest first; background_m: (H, W) depth."""
    owners: npt.NDArray[np.int32] = np.zeros(background_m.shape, np.int32)
    alone: dict[int, Mask] = {}
    for body in bodies:
        silhouette = np.zeros(background_m.shape, np.bool_)
        for panel, patch in view.find(body.turned_to(view.camera)):
            covered = patch.sample(panel.texture, heat=False)[:, :, 3] > 0.5
            silhouette[patch.region] |= covered
            owners[patch.region][covered & patch.in_front(background_m)] = body.identity
        alone[body.identity] = silhouette
    found = []
    for body in reversed(bodies):
        silhouette = alone[body.identity]
        if silhouette.any():
            visible = np.count_nonzero(owners == body.identity) / np.count_nonzero(silhouette)
            surfaces = [panel for panel in body.turned_to(view.camera) if panel.kind == "surface"]
            contour = np.vstack([panel.points(*panel.texture.outline.T) for panel in surfaces])
            depth = float(np.maximum(view.camera.depth(contour), 0).min())
            box = _box(silhouette, view.camera.project(contour) + 0.5)
            found.append(TrueObject(body.identity, body.class_name, box, depth, float(visible)))
    return found


def paint_depth(view: View, background_m: Floats32, bodies: list[Body]) -> Floats32:
    """background_m (H, W) with the bodies in front of it; bodies: farthest first."""
    depth = background_m.copy()
    for body in bodies:
        for panel, patch in view.find(body.turned_to(view.camera)):
            seen = patch.sample(panel.texture, heat=False)[:, :, 3] > 0.5
            seen &= patch.in_front(background_m)
            depth[patch.region][seen] = patch.depth_m[seen]
    return depth


def _box(silhouette: Mask, pixels: Floats) -> tuple[float, float, float, float]:
    """Exact from the projected contour, except for an object that the image border cuts."""
    height, width = silhouette.shape
    left, top = pixels.min(axis=0)
    right, bottom = pixels.max(axis=0)
    if left < 0 or top < 0 or right > width or bottom > height:
        rows, columns = np.flatnonzero(silhouette.any(axis=1)), np.flatnonzero(silhouette.any(axis=0))
        left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    return float(left), float(top), float(right), float(bottom)
