"""One detector on the images of every method, scene by scene, with a journal."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ivfusion_ros import __version__
from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.class_names import names_from_metadata
from ivfusion_ros.detection.thresholds import own_thresholds
from ivfusion_ros.errors import ConfigError, IvfusionError
from ivfusion_ros.evaluation.detection.scenes import Scene
from ivfusion_ros.evaluation.fusion.journal import Journal, Subject
from ivfusion_ros.evaluation.fusion.methods import Method, file_identity, read_thermal
from ivfusion_ros.graphs.onnx_file import read_metadata
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.models import file_sha256, resolve_model
from ivfusion_ros.types import CameraName, Detections, Floats, Floats32, Image, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.evaluation.fusion.pairs import Pair

log = logging.getLogger(__name__)

CONFIDENCE, OVERLAP, MAX_DETECTIONS = 0.001, 0.7, 100
"""The protocol: lowest score, overlap from which two boxes are one, most objects per image; as COCO's and
ultralytics' validation."""

_VALUES = ("size", "boxes", "scores", "classes")


def classes_of(detector: Path) -> tuple[str, ...]:
    """What a detector's file says that it finds, () where it does not. Raises ModelError."""
    return names_from_metadata(read_metadata(detector)) or ()


class CameraMethod:
    """One camera's own image instead of a fused one (see Method)."""

    def __init__(self, camera: CameraName) -> None:
        self.label: str = camera

    def fused(self, pair: Pair) -> Path:
        """See Method.fused."""
        return pair.thermal if self.label == "thermal" else pair.rgb

    def identity(self, pair: Pair) -> str:
        """See Method.identity."""
        return file_identity(self.fused(pair))

    def details(self) -> dict[str, Any]:
        """See Method.details."""
        return {"camera": self.label}


class DetectorUnderTest:
    """The detector under test, reporting the classes of the data set in their order."""

    def __init__(
        self,
        model: str,
        class_names: Sequence[str],
        *,
        backend: str,
        precision: str,
        threads: int,
        tiles: int = 1,
    ) -> None:
        """tiles: as detection.tiles. Raises ConfigError for a class it lacks, ModelError, BackendError."""
        self.path = resolve_model(model, "detection")
        config = DetectionConfig(
            confidence=CONFIDENCE,
            iou=OVERLAP,
            max_detections=MAX_DETECTIONS,
            classes=tuple(class_names),
            tiles=tiles,
        )
        loaded = load_backend(self.path, backend, precision=precision, threads=threads)
        try:
            self._detector = Detector(loaded, config)
        except ConfigError as error:
            raise ConfigError(
                f"{self.path.name} does not know all classes of the data set, {', '.join(class_names)}: "
                f"{error}"
            ) from error
        self.class_names = tuple(class_names)
        self.tiles = tiles
        self.identity = f"{file_sha256(self.path)} {loaded.description}"
        known = self._detector.class_names
        own = own_thresholds(loaded.metadata, len(known))
        self.thresholds: Floats = own[[known.index(name) for name in class_names]]
        self._own_ids = np.array([class_names.index(name) if name in class_names else -1 for name in known])

    def __call__(self, image: Image, method: Method, pair: Pair) -> Detections:
        """Objects in a method's (H, W, 3) uint8 RGB image of a pair, by the data set's classes.

        A detector of two images is given what the pipeline would give: with RGB alone a black one.
        """
        thermal = None
        if self._detector.takes_thermal:
            alone = isinstance(method, CameraMethod) and method.label == "rgb"
            thermal = np.zeros(image.shape[:2], np.uint8) if alone else read_thermal(pair)
        found = self._detector(image, thermal=thermal)
        return Detections(found.boxes_xyxy, found.scores, self._own_ids[found.class_ids], self.class_names)

    def close(self) -> None:
        """Free the model."""
        self._detector.close()

    def details(self) -> dict[str, Any]:
        """What it is and how it was asked, for the report; JSON."""
        return {
            "model": self.path.name,
            "sha256": file_sha256(self.path),
            "backend": self._detector.backend.description,
            "confidence": CONFIDENCE,
            "iou": OVERLAP,
            "max_detections": MAX_DETECTIONS,
            "tiles": self.tiles,
            "thresholds": {
                name: round(value, 4)
                for name, value in zip(self.class_names, self.thresholds.tolist(), strict=True)
            },
        }


@dataclass(frozen=True, eq=False)
class Found:
    """What a method's image shows to the detector; with a reason where there is no such image.

    size: (width, height) of the image.
    """

    scene: Scene
    method: str
    size: Size
    detections: Detections
    reason: str = ""


def find(
    scenes: Sequence[Scene], methods: Sequence[Method], detector: DetectorUnderTest, journal: Journal
) -> list[Found]:
    """Detect in every method's image of every scene; what the journal has is not done again.

    An image that cannot be read or fused gives a Found with a reason.
    """
    results = []
    with tqdm(total=len(scenes) * len(methods), unit="image", desc="detected") as bar:
        for scene in scenes:
            for method in methods:
                results.append(_find(scene, method, detector, journal))
                bar.update()
                if results[-1].reason:
                    log.warning(
                        "%s of %s is skipped: %s", method.label, scene.pair.stem, results[-1].reason
                    )
    return results


def _find(scene: Scene, method: Method, detector: DetectorUnderTest, journal: Journal) -> Found:
    pair = scene.pair
    try:
        sources = f"{file_identity(pair.thermal)}; {file_identity(pair.rgb)}"
        identity = f"{__version__}; {sources}; {method.identity(pair)}; {detector.identity}"
        protocol = f"{CONFIDENCE} {OVERLAP} {MAX_DETECTIONS} {' '.join(detector.class_names)}"
        protocol += f" {detector.tiles} tiles" if detector.tiles > 1 else ""
        subject = Subject(pair.data, pair.stem, method.label, f"{identity}; {protocol}")
        known = journal.find(subject, _VALUES)
        if known is None:
            image = _image(method, pair)
            known = _values(image, detector(image, method, pair))
            journal.add(subject, known)
    except IvfusionError as error:
        nothing = Detections.empty(detector.class_names)
        return Found(scene, method.label, (0, 0), nothing, str(error))
    detections = Detections(
        np.array(known["boxes"], np.float32).reshape(-1, 4),
        np.array(known["scores"], np.float32),
        np.array(known["classes"], np.int64),
        detector.class_names,
    )
    return Found(scene, method.label, (known["size"][0], known["size"][1]), detections)


def _image(method: Method, pair: Pair) -> Image:
    image = method.fused(pair)
    return to_rgb(read_image(image) if isinstance(image, Path) else image)


def _values(image: Image, found: Detections) -> dict[str, Any]:
    return {
        "size": [image.shape[1], image.shape[0]],
        "boxes": _rounded(found.boxes_xyxy, 2),
        "scores": _rounded(found.scores, 5),
        "classes": found.class_ids.tolist(),
    }


def _rounded(values: Floats32, digits: int) -> list[Any]:
    return list(np.round(values.astype(np.float64), digits).tolist())


def picture(found: Found, methods: Sequence[Method]) -> Image:
    """The image that a Found is about. Raises IvfusionError."""
    method = next(method for method in methods if method.label == found.method)
    return _image(method, found.scene.pair)
