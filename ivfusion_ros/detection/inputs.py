"""What a detector reads: one image, or the registered thermal image beside it too, as its file says."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.errors import ImageError, ModelError
from ivfusion_ros.graphs.onnx_file import THERMAL
from ivfusion_ros.models import looks_like

if TYPE_CHECKING:
    from ivfusion_ros.backends.backend import Backend
    from ivfusion_ros.types import Image, Size


class Inputs(NamedTuple):
    """image: name of the input with the image. dtype: of all inputs. size: (width, height), None if free.

    with_thermal: whether there is an input THERMAL beside it.
    """

    image: str
    dtype: np.dtype[np.generic]
    size: Size | None
    with_thermal: bool

    def named(self, image: Image, thermal: Image | None) -> dict[str, Image]:
        """What each input is made of: (H, W, 3) RGB, and (H, W) thermal where that is one; uint8.

        Raises ImageError, and ModelError where an image is missing.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ImageError(f"detector was given {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        if not self.with_thermal:
            return {self.image: image}
        if thermal is None:
            raise self.incomplete()
        if thermal.shape != image.shape[:2] or thermal.dtype != np.uint8:
            raise ImageError(
                f"detector was given thermal {thermal.dtype} {thermal.shape}, expected uint8 "
                f"{image.shape[:2]}, registered to its image"
            )
        return {self.image: image, THERMAL: thermal}

    @staticmethod
    def incomplete() -> ModelError:
        """The error of a detector of two images that is given one."""
        return ModelError(
            f"the detector takes the registered thermal image beside the fused one (its input {THERMAL}), "
            "and here is one image alone; run it where pairs are fused (`ivfusion replay`, `live`, the "
            "node), or give a detector of one image"
        )


def inputs_of(backend: Backend) -> Inputs:
    """The inputs of a detector. Raises ModelError for another kind of model."""
    task = backend.metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(f"the model is for {task}, expected a detection model (task detect)")
    names = list(backend.inputs)
    with_thermal = len(names) == 2 and THERMAL in names
    if len(names) != 1 and not with_thermal:
        raise ModelError(
            f"the detector has the inputs {', '.join(names)}, expected one, or {THERMAL} beside it: export "
            "a YOLO detection model"
        )
    (image,) = [name for name in names if not with_thermal or name != THERMAL]
    dtype = backend.inputs[image].dtype
    if isinstance(backend, DeviceBackend):
        return Inputs(image, dtype, backend.image_size, with_thermal)
    size = _size_of(backend, image, 3)
    if with_thermal and (_size_of(backend, THERMAL, 1), backend.inputs[THERMAL].dtype) != (size, dtype):
        raise ModelError(
            f"the detector's inputs are {image}, {backend.inputs[image]}, and {THERMAL}, "
            f"{backend.inputs[THERMAL]}; expected one type and size: export it again"
        )
    return Inputs(image, dtype, size, with_thermal)


def _size_of(backend: Backend, name: str, channels: int) -> Size | None:
    """(width, height) of an input, None if free. Raises ModelError."""
    info = backend.inputs[name]
    shape = info.shape or ()
    fits = len(shape) == 4 and shape[0] in (1, None) and shape[1] in (channels, None) and 0 not in shape
    if not fits or info.dtype not in (np.float32, np.float16):
        raise ModelError(
            f"the detector's input {name} is {info}, expected float32 or float16 (1, {channels}, H, W): "
            f"{looks_like(backend.inputs, 'detection') or _remedy(shape)}"
        )
    height, width = shape[2:]
    return None if height is None or width is None else (width, height)


def _remedy(shape: tuple[int | None, ...]) -> str:
    """What to do about an input of another shape or type."""
    if len(shape) == 4 and shape[3] == 3:
        return "its channels come last, as in TensorFlow; export it to ONNX from PyTorch instead"
    if len(shape) == 4 and shape[0] not in (1, None):
        return f"it is for batches of {shape[0]}; export it with batch=1"
    return "export a detection model for RGB images in floating point"
