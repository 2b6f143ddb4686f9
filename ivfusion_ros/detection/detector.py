"""The YOLOv5 detector: letterbox, backend, decode, NMS -> Detections in image pixels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.detection.class_names import class_mask, names_from_metadata, names_from_yaml
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.detection.tiles import tile_windows, whole_in
from ivfusion_ros.errors import ConfigError, ImageError, ModelError
from ivfusion_ros.graphs.letterbox import GREY, Letterbox, network_size, stride_of
from ivfusion_ros.graphs.yolo import Candidates, Head, decode, detection_output, identify_head
from ivfusion_ros.types import Detections, Floats32, Image, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.backends import Backend
    from ivfusion_ros.config.pipeline import DetectionConfig

log = logging.getLogger(__name__)

_SQUARE = (640, 640)
"""Image (width, height) on which a model of free input size is tried."""


THRESHOLD_KEY = "ivfusion.threshold"
"""Metadata key: lowest score to report, measured at 0.1 false alarms per image."""
DEFAULT_THRESHOLD = 0.25
"""Of models that do not say."""


class Detector:
    """A YOLO model in a backend. One object serves one thread at a time."""

    class_names: tuple[str, ...]

    def __init__(self, backend: Backend, config: DetectionConfig) -> None:
        """Check the model by running it once on grey. Raises ModelError, ConfigError."""
        self.backend = backend
        self._stride = stride_of(backend.metadata)
        self._own_threshold = own_threshold(backend.metadata)
        self._on_device = backend if isinstance(backend, DeviceBackend) else None
        self._input, self._dtype, self._fixed_size = _input_of(backend)
        self._output = detection_output({name: info.shape for name, info in backend.outputs.items()})
        names = names_from_yaml(config.class_names) if config.class_names else None
        self.class_names = names or names_from_metadata(backend.metadata) or ()
        head = self._probe()
        if not head.class_count:
            raise ModelError(
                "the detector's output does not tell how many classes there are, and its metadata does not "
                "name them: give detection.class_names"
            )
        if not self.class_names:
            log.warning(
                "the detector names none of its %d classes: give their names with detection.class_names",
                head.class_count,
            )
            self.class_names = tuple(f"class_{index}" for index in range(head.class_count))
        if head.class_count != len(self.class_names):
            found = f"the detector's output has {head.class_count} classes"
            if names:
                raise ConfigError(f"{found}, but {config.class_names} names {len(self.class_names)}")
            raise ModelError(
                f"{found}, but its metadata names {len(self.class_names)}; "
                "export a detection model (not segmentation or pose), or give detection.class_names"
            )
        self.set_config(config)

    def set_config(self, config: DetectionConfig) -> None:
        """Take over the live parameters: thresholds and class filter. Raises ConfigError."""
        self._reported = class_mask(config.classes, self.class_names)
        self._config = config

    def __call__(self, image: Image, resident: Any = None) -> Detections:
        """Objects in an (H, W, 3) uint8 RGB image of any size. Raises ImageError, ModelError.

        resident: the same image on the GPU, see DeviceBackend.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or image.size == 0:
            raise ImageError(f"detector was given {image.dtype} {image.shape}, expected uint8 (H, W, 3)")
        found = self._find(image, resident)
        if self._config.tiles > 1:
            found = self._with_tiles(found, image)
        return Detections(
            found.boxes_xyxy,
            found.scores,
            found.class_ids,
            self.class_names,
            threshold=self.threshold,
        )

    @property
    def threshold(self) -> float:
        """Lowest score that is reported: the configuration's, else the model's own."""
        return self._own_threshold if self._config.confidence < 0 else self._config.confidence

    def _with_tiles(self, found: Candidates, image: Image) -> Candidates:
        """Add what tiles of the image show, each object once."""
        size = (image.shape[1], image.shape[0])
        parts = [found]
        for window in tile_windows(size, self._config.tiles):
            left, top, right, bottom = window
            part = self._find(np.ascontiguousarray(image[top:bottom, left:right]))
            part = part.select(whole_in(window, part.boxes_xyxy, size))
            offset = np.array([left, top, left, top], np.float32)
            parts.append(Candidates(part.boxes_xyxy + offset, part.scores, part.class_ids))
        every = Candidates(
            np.concatenate([part.boxes_xyxy for part in parts]),
            np.concatenate([part.scores for part in parts]),
            np.concatenate([part.class_ids for part in parts]),
        )
        return every.select(
            suppress(
                every.boxes_xyxy,
                every.scores,
                every.class_ids,
                self._config.iou,
                self._config.max_detections,
            )
        )

    def _find(self, image: Image, resident: Any = None) -> Candidates:
        """Objects in one look at an image, in its pixels and cut at its border."""
        config = self._config
        size = (image.shape[1], image.shape[0])
        letterbox = Letterbox.fit(size, self._fixed_size or network_size(size, self._stride))
        output, head = self._run(image, letterbox, resident)
        found = decode(output, head, self.threshold)
        if found.class_ids.max(initial=0) >= len(self.class_names):
            raise ModelError(
                f"the detector found class {found.class_ids.max()}, but only {len(self.class_names)} "
                "classes are named: give all names with detection.class_names"
            )
        found = found.select(self._reported[found.class_ids])
        # Before boxes are cut at the image's border: cut, two objects that leave it would overlap more.
        # Of a head that chose by itself, overlapping boxes are different objects.
        iou = 1.0 if head.layout == "end2end" else config.iou
        found = found.select(
            suppress(found.boxes_xyxy, found.scores, found.class_ids, iou, config.max_detections)
        )
        boxes = letterbox.to_image(found.boxes_xyxy)
        # What lies in the padding, and what was empty, has no area left.
        inside = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
        return Candidates(boxes[inside], found.scores[inside], found.class_ids[inside])

    def follow(self, fusion: Backend) -> None:
        """Start on another backend's images before they are asked for, where both are on a GPU."""
        if self._on_device is not None:
            self._on_device.follow(fusion)

    def close(self) -> None:
        """Free the model."""
        self.backend.close()

    def _probe(self) -> Head:
        size = self._fixed_size or _SQUARE
        shape = self.backend.outputs[self._output].shape or (None,)
        if self._on_device is not None and None not in shape:
            # A run would have an engine built for an image size that no camera has.
            return identify_head(tuple(side or 0 for side in shape), size, len(self.class_names) or None)
        grey = np.full((size[1], size[0], 3), GREY, np.uint8)
        return self._run(grey, Letterbox.fit(size, size))[1]

    def _run(self, image: Image, letterbox: Letterbox, resident: Any = None) -> tuple[Floats32, Head]:
        if self._on_device is not None:
            outputs = self._on_device.run_image(image[None], resident)
        else:
            outputs = self.backend.run({self._input: self._tensor(letterbox.apply(image))})
        output = outputs[self._output]
        size = (letterbox.out_width, letterbox.out_height)
        return output, identify_head(output.shape, size, len(self.class_names) or None)

    def _tensor(self, canvas: Image) -> Floats32 | npt.NDArray[np.float16]:
        """(H, W, 3) uint8 -> (1, 3, H, W) in [0, 1] of the model's dtype."""
        tensor = np.empty((1, 3, *canvas.shape[:2]), np.float32)
        for channel, plane in enumerate(cv2.split(canvas)):
            np.multiply(plane, np.float32(1 / 255), out=tensor[0, channel])
        return tensor if self._dtype == np.float32 else tensor.astype(np.float16)


def own_threshold(metadata: Mapping[str, str]) -> float:
    """The threshold that a model's metadata recommend, DEFAULT_THRESHOLD without one. Raises ModelError."""
    text = metadata.get(THRESHOLD_KEY)
    if text is None:
        return DEFAULT_THRESHOLD
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise ModelError(
            f"the model's metadata `{THRESHOLD_KEY}` is {text[:80]!r}, expected a score from 0 to 1; write "
            "it again with `ivfusion eval-detection --set-threshold`"
        )
    return value


def _input_of(backend: Backend) -> tuple[str, np.dtype[np.generic], Size | None]:
    """(name, dtype, (width, height) or None if free) of a detector's input. Raises ModelError."""
    task = backend.metadata.get("task", "detect")
    if task != "detect":
        raise ModelError(f"the model is for {task}, expected a detection model (task detect)")
    if len(backend.inputs) != 1:
        raise ModelError(
            f"the detector has the inputs {', '.join(backend.inputs)}, expected one: export a YOLO "
            "detection model"
        )
    name, info = next(iter(backend.inputs.items()))
    if isinstance(backend, DeviceBackend):
        return name, info.dtype, backend.image_size
    shape = info.shape or ()
    fits = len(shape) == 4 and shape[0] in (1, None) and shape[1] in (3, None) and 0 not in shape
    if not fits or info.dtype not in (np.float32, np.float16):
        raise ModelError(
            f"the detector's input {name} is {info}, expected float32 or float16 (1, 3, H, W): "
            f"{_remedy(shape)}"
        )
    height, width = shape[2:]
    if height is None or width is None:
        return name, info.dtype, None
    return name, info.dtype, (width, height)


def _remedy(shape: tuple[int | None, ...]) -> str:
    """What to do about an input of another shape or type."""
    if len(shape) == 4 and shape[3] == 3:
        return "its channels come last, as in TensorFlow; export it to ONNX from PyTorch instead"
    if len(shape) == 4 and shape[0] not in (1, None):
        return f"it is for batches of {shape[0]}; export it with batch=1"
    return "export a detection model for RGB images in floating point"
