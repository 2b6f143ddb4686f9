"""Flat textured pieces of the world, and how a camera sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.simulate.texture import Texture
from ivfusion_ros.types import Floats, Floats32, Mask, Size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.simulate.camera import Camera

Kind = Literal["surface", "lamp", "glow"]
Region = tuple[slice, slice]

_STEPS = np.linspace(0, 1, 5)
_RIM_U = np.concatenate([_STEPS, _STEPS, np.zeros(5), np.ones(5)])
_RIM_V = np.concatenate([np.zeros(5), np.ones(5), _STEPS, _STEPS])


@dataclass(frozen=True, eq=False)
class Panel:
    """A texture on a parallelogram in the world.

    origin: the texture's top left corner; across, down: its upper and left edge; (3,) metres.
    kind: a surface is lit by the scene; a lamp shines by itself and covers what is behind; a glow adds
    its light to what is behind.
    light: factor on the gamma-coded colour, per channel.
    """

    texture: Texture
    origin: Floats
    across: Floats
    down: Floats
    kind: Kind = "surface"
    light: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def points(self, u: Floats, v: Floats) -> Floats:
        """World points (N, 3) of texture coordinates (N,) in 0..1."""
        return self.origin + u[:, None] * self.across + v[:, None] * self.down

    @cached_property
    def centre(self) -> Floats:
        """World point in the middle, (3,) metres."""
        return self.origin + (self.across + self.down) / 2

    @cached_property
    def normal(self) -> Floats:
        """Unit normal, (3,); it points at the viewer who sees the texture unmirrored."""
        (ax, ay, az), (bx, by, bz) = self.down.tolist(), self.across.tolist()
        x, y, z = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx  # np.cross takes 40 us
        return np.array([x, y, z]) / math.sqrt(x * x + y * y + z * z)

    def lit(self, light: npt.ArrayLike) -> Panel:
        """A copy whose surface receives this radiance (3,), 1 for full light."""
        if self.kind != "surface":
            return self
        red, green, blue = np.sqrt(np.maximum(np.asarray(light, float), 0)).tolist()
        return replace(self, light=(red, green, blue))


@dataclass(frozen=True, eq=False)
class Patch:
    """Where a panel appears in an image.

    region: rows and columns; texels: (h, w, 2) float32, texture coordinates 0..1 of each pixel.
    depth_m: (h, w) float32, world z minus the camera's, negative where the ray misses the plane.
    levels: how often to halve the texture across and down so that a texel is about a pixel.
    """

    region: Region
    texels: Floats32
    depth_m: Floats32
    levels: tuple[int, int]

    def sample(self, texture: Texture, heat: bool) -> Floats32:
        """The texture's colour (h, w, 4), or heat (h, w, 2), at the patch's pixels."""
        smaller = texture.level(*self.levels)
        width, height = smaller.size
        source = smaller.heat if heat else smaller.colour
        assert source is not None, "a texture without heat has no thermal patch"
        x = self.texels[:, :, 0] * np.float32(width) - np.float32(0.5)
        y = self.texels[:, :, 1] * np.float32(height) - np.float32(0.5)
        return np.asarray(cv2.remap(source, x, y, cv2.INTER_LINEAR), np.float32)

    def in_front(self, background_m: Floats32) -> Mask:
        """Where (h, w) the panel is nearer than an image's background; standing on the ground counts."""
        return self.depth_m < background_m[self.region] * 1.02 + 0.3


class View:
    """A camera with the ray of each pixel, finding panels in its image."""

    def __init__(self, camera: Camera, oversampling: int = 1) -> None:
        self.camera = camera
        self.oversampling = oversampling
        self.rays = camera.rays(oversampling)

    def find(self, panels: Sequence[Panel]) -> Iterator[tuple[Panel, Patch]]:
        """The panels within the image, in their order; nothing is said about occlusion."""
        if not panels:
            return
        rims = np.concatenate([panel.points(_RIM_U, _RIM_V) for panel in panels])
        pixels = (self.camera.project(rims) * self.oversampling).reshape(len(panels), -1, 2)
        low = np.floor(pixels.min(axis=1)).astype(int) - 1
        high = np.ceil(pixels.max(axis=1)).astype(int) + 1 + self.oversampling
        corners = np.hstack([np.maximum(low, 0), np.minimum(high, self.rays.shape[1::-1])])
        for panel, (left, top, right, bottom) in zip(panels, corners.tolist(), strict=True):
            if left < right and top < bottom:
                patch = self._patch(panel, (slice(top, bottom), slice(left, right)))
                if patch is not None:
                    yield panel, patch

    def _patch(self, panel: Panel, region: Region) -> Patch | None:
        frame = np.stack([panel.across, panel.down, panel.origin - self.camera.position], axis=1)
        if abs(np.linalg.det(frame)) < 1e-9:
            return None  # seen edge-on
        inverse = np.linalg.inv(frame)
        rays = np.ascontiguousarray(self.rays[region])
        # Homogeneous scale: positive in front of the camera, and one over the depth.
        x, y, one = inverse[2].astype(np.float32)
        scale = rays[:, :, 0] * x + rays[:, :, 1] * y + one
        texels = np.asarray(cv2.perspectiveTransform(rays, inverse), np.float32)
        ahead = scale > 1e-9
        if not ahead.all():
            texels[~ahead] = -9
            scale = np.where(ahead, scale, np.float32(-1))
        return Patch(region, texels, 1 / scale, _levels(texels, panel.texture.size))


def _levels(texels: Floats32, size: Size) -> tuple[int, int]:
    """How often to halve a texture of this size so that its texels are about a pixel apart."""
    row, column = (max(0, length // 2 - 1) for length in texels.shape[:2])
    block = texels[row : row + 2, column : column + 2]
    steps = np.abs(block - block[:1, :1]).max(axis=(0, 1)) * size
    across, down = np.log2(np.maximum(steps, 1.0)).round().astype(int).tolist()
    return min(across, 10), min(down, 10)
