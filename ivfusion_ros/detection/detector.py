"""The YOLOv5 detector: letterbox, backend, decode, NMS -> Detections in image pixels."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.backends.backend import PixelBackend
from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.detection.class_names import class_mask, names_from_metadata, names_from_yaml
from ivfusion_ros.detection.inputs import inputs_of
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.detection.thresholds import own_thresholds
from ivfusion_ros.detection.tiles import tile_windows, whole_in
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.graphs.letterbox import GREY, Letterbox, network_size, stride_of
from ivfusion_ros.graphs.yolo import Candidates, Head, decode, detection_output, identify_head
from ivfusion_ros.types import Detections, Floats, Floats32, Image, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ivfusion_ros.backends.backend import Backend
    from ivfusion_ros.config.pipeline import DetectionConfig

log = logging.getLogger(__name__)

_SQUARE = (640, 640)
"""Image (width, height) on which a model of free input size is tried."""


class Detector:
    """A YOLO model in a backend. One object serves one thread at a time."""

    class_names: tuple[str, ...]

    def __init__(self, backend: Backend, config: DetectionConfig) -> None:
        """Check the model by running it once on grey. Raises ModelError, ConfigError."""
        self.backend = backend
        self._stride = stride_of(backend.metadata)
        self._on_device = backend if isinstance(backend, DeviceBackend) else None
        self._inputs = inputs_of(backend)
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
        self._own_thresholds = own_thresholds(backend.metadata, len(self.class_names))
        self.set_config(config)

    def check_config(self, config: DetectionConfig) -> None:
        """Raise ConfigError for live parameters that set_config would refuse."""
        class_mask(config.classes, self.class_names)

    def set_config(self, config: DetectionConfig) -> None:
        """Take over the live parameters: thresholds and class filter. Raises ConfigError."""
        self._reported = class_mask(config.classes, self.class_names)
        # As scores are, so that one that is just as high counts.
        self._thresholds = self._thresholds_of(config).astype(np.float32)
        self._config = config

    def __call__(self, image: Image, resident: Any = None, thermal: Image | None = None) -> Detections:
        """Objects in an (H, W, 3) uint8 RGB image of any size. Raises ImageError, ModelError.

        resident: the same image on the GPU, see DeviceBackend. thermal: (H, W) uint8 in its pixels, as a
        fusion network gets it; only a detector of two images looks at it.
        """
        images = self._inputs.named(image, thermal)
        found = self._find(images, resident)
        if self._config.tiles > 1:
            found = self._with_tiles(found, images)
        return Detections(
            found.boxes_xyxy,
            found.scores,
            found.class_ids,
            self.class_names,
            threshold=self.threshold,
        )

    @property
    def takes_thermal(self) -> bool:
        """Whether the registered thermal image is looked at too."""
        return self._inputs.with_thermal

    def check_alone(self) -> None:
        """Raises ModelError where an image alone is not enough."""
        if self.takes_thermal:
            raise self._inputs.incomplete()

    @property
    def threshold(self) -> float:
        """Lowest score that is reported, of any class: the configuration's, else the model's own."""
        return self.threshold_of(self._config)

    def threshold_of(self, config: DetectionConfig) -> float:
        """What `threshold` is with another configuration."""
        reported = self._thresholds_of(config)[class_mask(config.classes, self.class_names)]
        return float(reported.min())

    def _thresholds_of(self, config: DetectionConfig) -> Floats:
        """(classes,)."""
        if config.confidence < 0:
            return self._own_thresholds
        return np.full(len(self.class_names), config.confidence)

    def _with_tiles(self, found: Candidates, images: Mapping[str, Image]) -> Candidates:
        """Add what tiles of the images show, each object once."""
        size = _size(images)
        parts = [found]
        for window in tile_windows(size, self._config.tiles):
            left, top, right, bottom = window
            part = self._find(
                {
                    name: np.ascontiguousarray(image[top:bottom, left:right])
                    for name, image in images.items()
                }
            )
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

    def _find(self, images: Mapping[str, Image], resident: Any = None) -> Candidates:
        """Objects in one look at images by input, in their pixels and cut at their border."""
        config = self._config
        size = _size(images)
        letterbox = Letterbox.fit(size, self._inputs.size or network_size(size, self._stride))
        output, head = self._run(images, letterbox, resident)
        found = decode(output, head, float(self._thresholds.min()))
        if found.class_ids.max(initial=0) >= len(self.class_names):
            raise ModelError(
                f"the detector found class {found.class_ids.max()}, but only {len(self.class_names)} "
                "classes are named: give all names with detection.class_names"
            )
        sure = found.scores >= self._thresholds[found.class_ids]
        found = found.select(self._reported[found.class_ids] & sure)
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
        size = self._inputs.size or _SQUARE
        shape = self.backend.outputs[self._output].shape or (None,)
        if self._on_device is not None and None not in shape:
            # A run would have an engine built for an image size that no camera has.
            return identify_head(tuple(side or 0 for side in shape), size, len(self.class_names) or None)
        grey = np.full((size[1], size[0], 3), GREY, np.uint8)
        return self._run(self._inputs.named(grey, grey[..., 0]), Letterbox.fit(size, size))[1]

    def _run(
        self, images: Mapping[str, Image], letterbox: Letterbox, resident: Any = None
    ) -> tuple[Floats32, Head]:
        if self._on_device is None:
            tensors = {name: self._tensor(name, letterbox.apply(image)) for name, image in images.items()}
            outputs = self.backend.run(tensors)
        elif self.takes_thermal:
            # Of two images one is on the host alone.
            outputs = self.backend.run({name: image[None] for name, image in images.items()})
        else:
            outputs = self._on_device.run_image(images[self._inputs.image][None], resident)
        output = outputs[self._output]
        size = (letterbox.out_width, letterbox.out_height)
        return output, identify_head(output.shape, size, len(self.class_names) or None)

    def _tensor(self, name: str, canvas: Image) -> Image | Floats32 | npt.NDArray[np.float16]:
        """(H, W, 3) or (H, W) uint8 -> (1, 3 or 1, H, W) in [0, 1] of the model's dtype, as the input is.

        Where the backend makes that by itself, it gets (1, H, W, 3 or 1) uint8.
        """
        if isinstance(self.backend, PixelBackend) and self.backend.takes_pixels(name):
            return canvas.reshape(1, *canvas.shape[:2], -1)
        planes = cv2.split(canvas)
        tensor = np.empty((1, len(planes), *canvas.shape[:2]), np.float32)
        for channel, plane in enumerate(planes):
            np.multiply(plane, np.float32(1 / 255), out=tensor[0, channel])
        return tensor if self._inputs.dtype == np.float32 else tensor.astype(np.float16)


def _size(images: Mapping[str, Image]) -> Size:
    """(width, height) of images that share it."""
    height, width = next(iter(images.values())).shape[:2]
    return width, height
