"""Fuser: a registered 8-bit pair -> fused RGB, through a backend that runs a fusion graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.errors import ImageError, ModelError
from ivfusion_ros.models import looks_like
from ivfusion_ros.pipeline.guided import guided, reduced

if TYPE_CHECKING:
    from ivfusion_ros.backends.backend import Backend
    from ivfusion_ros.types import Image, Size

MINIMUM_SIDE = 8
"""Smaller images cannot be padded to a network's stride by repeating borders."""

_LONGER_SIDE = 640
"""The least to which images are reduced, pixels: that of the images on which the networks are trained."""


class Fuser:
    """Fuses one pair after the other. Raises ModelError for a model that is no fusion graph."""

    def __init__(self, backend: Backend, resolution: str = "full") -> None:
        """resolution: as in FusionConfig; may be changed."""
        if set(backend.inputs) != {"thermal", "rgb"} or set(backend.outputs) != {"fused"}:
            raise ModelError(
                f"the fusion model has inputs {sorted(backend.inputs)} and outputs "
                f"{sorted(backend.outputs)}, expected thermal and rgb -> fused; "
                f"{looks_like(backend.inputs, 'fusion') or 'make one with `ivfusion export`'}"
            )
        self.backend = backend
        self.resolution = resolution
        self._fused: Image | None = None

    def __call__(self, thermal: Image, rgb: Image, thermal_pixel: float = 1.0) -> Image:
        """Fuse (H, W) uint8 thermal and (H, W, 3) uint8 RGB of one geometry to (H, W, 3) uint8 RGB.

        thermal_pixel: side of what was one pixel of the thermal camera, in pixels of these images. Raises
        ImageError for other images, ModelError where the model fails.
        """
        fits = rgb.shape == (*thermal.shape, 3) and thermal.dtype == rgb.dtype == np.uint8
        if not fits or min(thermal.shape) < MINIMUM_SIDE:
            raise ImageError(
                f"cannot fuse thermal {thermal.dtype} {thermal.shape} with rgb {rgb.dtype} {rgb.shape}; "
                f"expected uint8 (H, W) and (H, W, 3), H and W alike and at least {MINIMUM_SIDE}"
            )
        factor = 1 if self.resolution == "full" else reduction(thermal.shape, thermal_pixel)
        if factor == 1:
            self._fused = self._run(thermal, rgb)
            return self._fused
        self._fused = None
        full, small = (thermal, rgb), (reduced(thermal, factor), reduced(rgb, factor))
        return guided(self._run(*small), small, full, factor)

    def _run(self, thermal: Image, rgb: Image) -> Image:
        fused = self.backend.run({"thermal": thermal[None], "rgb": rgb[None]})["fused"]
        image = np.asarray(fused[0], np.uint8)
        if _is_flat(image) and not (_is_flat(thermal) and _is_flat(rgb)):
            raise ModelError(
                f"the fusion model gives one grey level, {int(image.flat[0])}, for images that have more: "
                "its weights are damaged (NaN?), or overflow in this precision; try fusion.precision=f32, "
                "or export it again"
            )
        return image

    def kept_sizes(self) -> list[Size]:
        """As DeviceBackend.kept_sizes; none where there is nothing to keep."""
        return self.backend.kept_sizes() if isinstance(self.backend, DeviceBackend) else []

    def resident(self, image: Image) -> Any:
        """The image on the GPU, if it is the very one fused last and the backend keeps it there."""
        if image is not self._fused or not isinstance(self.backend, DeviceBackend):
            return None
        return self.backend.resident.get("fused")


def reduction(shape: tuple[int, ...], thermal_pixel: float) -> int:
    """By what whole number images of (H, W) are reduced, so that no thermal pixel is lost.

    thermal_pixel: as for a Fuser.
    """
    return max(1, min(int(thermal_pixel), max(shape) // _LONGER_SIDE, min(shape) // MINIMUM_SIDE))


def _is_flat(image: Image) -> bool:
    """Whether all values are one; a few are looked at before all of them are."""
    few = image[::16, ::16]
    return bool(few.min() == few.max() and image.min() == image.max())
