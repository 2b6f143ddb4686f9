"""Detector of ultralytics (yolov5su.pt and its like, with any classes) -> ONNX, as detection/ runs it.

Classic YOLOv5 needs no export here: its own repository writes the ONNX file that detection/ reads as it is.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.thresholds import DEFAULT_THRESHOLD, THRESHOLD_KEY
from ivfusion_ros.errors import BackendError, ConfigError, ModelError, refusing
from ivfusion_ros.export.safe_pickle import check_is_data
from ivfusion_ros.files import whole_files
from ivfusion_ros.graphs.onnx_file import THERMAL, read_metadata, read_model
from ivfusion_ros.graphs.task import fixed_network_size
from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

OPSET = 17
METADATA = ("names", "stride", "task", "batch", "imgsz", "channels", "license", THRESHOLD_KEY)
"""What of ultralytics' metadata says something about the network."""

_STRIDE = 32
_ANCHORS = b"ivfusion_ros.networks.yolov5"
"""Where the head comes from, as a checkpoint of ultralytics names it."""
_TOLERANCE = 1e-3
"""Largest difference between ONNX Runtime and torch, as a share of the image's longer side."""


def export_detector(weights: Path, path: Path, size: Size) -> tuple[str, ...]:
    """Write the detector for images of (width, height) as ONNX, check it, and return its class names.

    The file appears only when it is whole. Class names, task and stride are in its metadata.
    weights: of ultralytics, or the final.pt or the ONNX file of a detector with anchors; any is read as
    data, and a file that would run a program is refused. A threshold in the ONNX file is taken along, and
    the log says at which size it was measured, or that there is none.
    Raises ConfigError for a size that is no multiple of 32, ModelError for a file that is no such detector,
    BackendError where ultralytics is missing.
    """
    if size[0] % _STRIDE or size[1] % _STRIDE:
        raise ConfigError(
            f"size is {size[0]}x{size[1]}, expected multiples of {_STRIDE}, for example 640x480"
        )
    if not weights.is_file():
        raise ModelError(f"there is no file {weights}; expected a detector's .pt, for example yolov5su.pt")
    has_anchors = weights.suffix == ".onnx" or is_final(weights)
    if not has_anchors:
        _check_is_end(weights)
        _check_origin(weights, size)
    export, output = _WITH_ANCHORS if has_anchors else _OF_ULTRALYTICS
    with whole_files(path) as staged, tempfile.TemporaryDirectory(dir=staged.parent) as folder:
        # ultralytics writes beside the weights.
        copy = Path(folder) / "detector.pt"
        shutil.copyfile(weights, copy)
        exported = export(copy, weights, size)
        backend = load_backend(exported, "onnxruntime", precision="f32")
        class_names = Detector(backend, DetectionConfig()).class_names
        random = np.random.default_rng(0)
        images = {
            name: random.random((1, 1 if name == THERMAL else 3, size[1], size[0]), np.float32)
            for name in backend.inputs
        }
        (found,) = backend.run(images).values()
        backend.close()
        _check_against_torch(found, output(copy, weights, *images.values()), max(size))
        _keep_own_metadata(exported)
        exported.replace(staged)
    _tell_threshold(weights, path, size)
    return class_names


def _tell_threshold(weights: Path, path: Path, size: Size) -> None:
    """Log where the threshold of an exported detector is none of its own."""
    if THRESHOLD_KEY not in read_metadata(path):
        log.info(
            "%s recommends no threshold, so that %g counts; `ivfusion eval-detection --set-threshold` "
            "measures one",
            path,
            DEFAULT_THRESHOLD,
        )
    elif (measured := fixed_network_size(read_model(weights))) not in (None, size):
        log.info(
            "%s keeps the threshold that was measured at %dx%d; `ivfusion eval-detection --set-threshold` "
            "measures the one at %dx%d",
            path,
            *measured,
            *size,
        )


def is_final(weights: Path) -> bool:
    """Whether a file is the final.pt of a detector with anchors, by what torch reads of it as data."""
    from ivfusion_ros.networks.torch_file import load_data

    try:
        content = load_data(weights)
    except Exception:  # noqa: BLE001 (torch raises many kinds for what is no such file)
        return False
    return isinstance(content, dict) and content.get("head") == "anchors"


def _export_ultralytics(copy: Path, weights: Path, size: Size) -> Path:
    options = {"format": "onnx", "opset": OPSET, "simplify": False, "nms": False, "device": "cpu"}
    return Path(_load(copy, weights).export(imgsz=(size[1], size[0]), verbose=False, **options))


def _missing(error: ImportError) -> BackendError:
    return BackendError(f"export of a detector needs ultralytics ({error}); run: pip install ultralytics")


def _classic_model(weights: Path) -> Any:
    """The model of a final.pt or an ONNX file, which then gives (B, N, 5 + classes)."""
    try:
        from ivfusion_ros.export.folded import folded_model
        from ivfusion_ros.networks.yolov5 import load_final
    except ImportError as error:
        raise _missing(error) from error
    model = (folded_model if weights.suffix == ".onnx" else load_final)(weights)
    model.model[-1].classic = True
    return model


def _export_anchors(copy: Path, weights: Path, size: Size) -> Path:
    import onnx
    import torch

    from ivfusion_ros.networks.yolov5 import RGB

    model = _classic_model(weights).fuse(verbose=False)
    path = copy.with_name("exported.onnx")
    images = torch.split(torch.zeros(1, model.channels, size[1], size[0]), RGB, 1)
    with torch.no_grad():
        torch.onnx.export(
            _of_images(model), images, str(path), dynamo=False, opset_version=OPSET,
            input_names=["images", THERMAL][: len(images)], output_names=["output0"],
        )  # fmt: skip
    graph = onnx.load(path)
    metadata = {"names": model.names, "stride": _STRIDE, "task": "detect", "license": "AGPL-3.0"}
    if weights.suffix == ".onnx" and THRESHOLD_KEY in (known := read_metadata(weights)):
        metadata[THRESHOLD_KEY] = known[THRESHOLD_KEY]
    for key, value in metadata.items():
        graph.metadata_props.add(key=key, value=str(value))
    onnx.save(graph, path)
    return path


def _of_images(model: Any) -> Any:
    """A model as its graph has it: called with the image, and with the thermal one where it takes that."""
    from ivfusion_ros.networks.yolov5 import RGB, TwoImages

    return model if model.channels == RGB else TwoImages(model)


def _anchors_output(_copy: Path, weights: Path, *images: Any) -> Any:
    import torch

    with torch.no_grad():
        return _of_images(_classic_model(weights))(*map(torch.from_numpy, images)).numpy()


def _keep_own_metadata(path: Path) -> None:
    """Leave out what changes with every export or names folders of this machine."""
    import onnx

    from ivfusion_ros.export.fusion import strip_traces

    model = onnx.load(path)
    kept = [entry for entry in model.metadata_props if entry.key in METADATA]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    strip_traces(model)
    onnx.save(model, path)


def is_detector(weights: Path) -> bool:
    """Whether a .pt file holds a detector, of ultralytics, of classic YOLOv5 or a final.pt."""
    return is_final(weights) or _origin(weights) is not None


def _origin(weights: Path) -> str | None:
    """The package whose classes a checkpoint holds, without running any code of it."""
    content = weights.read_bytes()
    for marker, origin in ((b"ultralytics.nn", "ultralytics"), (b"models.yolo", "yolov5")):
        if marker in content:
            return origin
    return None


def _check_is_end(weights: Path) -> None:
    """Raises ModelError for what ultralytics writes while a detector with anchors is trained."""
    if _ANCHORS not in weights.read_bytes():
        return
    final = weights.with_name("final.pt")
    raise ModelError(
        f"{weights} is of a training of a detector with anchors, whose end is exported: give "
        + (f"{final}" if final.is_file() else f"{final.name}, which is written beside it at the end")
    )


def _check_origin(weights: Path, size: Size) -> None:
    origin = _origin(weights)
    if origin == "yolov5":
        raise ModelError(
            f"{weights} is a classic YOLOv5 checkpoint, which only the repository ultralytics/yolov5 "
            f"reads; export it there: `python export.py --weights {weights.name} --include onnx --imgsz "
            f"{size[1]} {size[0]}`; that ONNX file is taken as it is"
        )
    if origin is None:
        from ivfusion_ros.networks.torch_file import load_data

        with refusing(ModelError, str(weights), "a detector's .pt of ultralytics"):
            load_data(weights)
        raise ModelError(
            f"{weights} holds no detector of ultralytics; a checkpoint of a fusion network is exported "
            "without --detector"
        )


def _load(copy: Path, weights: Path) -> Any:
    # Nothing is installed or fetched behind the user's back.
    os.environ["YOLO_AUTOINSTALL"] = "false"
    os.environ.setdefault("YOLO_OFFLINE", "true")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    try:
        from ultralytics.models import YOLO
    except ImportError as error:
        raise _missing(error) from error
    check_is_data(copy, weights)
    try:
        model = YOLO(copy)
    except Exception as error:
        # Anything can go wrong in a pickle, and each version of ultralytics puts it in other words.
        raise ModelError(f"ultralytics cannot read {weights}: {error}") from error
    if model.task != "detect":
        raise ModelError(f"{weights} is for {model.task}, expected a detector (task detect)")
    return model


def _torch_output(copy: Path, weights: Path, image: Any) -> Any:
    """The prediction of the network itself, read again: an export leaves its network changed."""
    import torch

    network = _load(copy, weights).model.float().eval()
    with torch.no_grad():
        output = network(torch.from_numpy(image))
    return (output[0] if isinstance(output, (list, tuple)) else output).numpy()


def _check_against_torch(found: Any, expected: Any, side: int) -> None:
    worst = float(np.abs(found - expected).max()) if found.shape == expected.shape else float("inf")
    if not worst <= _TOLERANCE * side:
        raise ModelError(
            f"the exported detector differs from torch by up to {worst:g}, expected at most "
            f"{_TOLERANCE * side:g}; export it with another version of ultralytics"
        )


_Export = tuple[Callable[[Path, Path, Size], Path], Callable[..., Any]]
"""Writes ONNX beside a copy of the weights; the output of torch for the images that go in."""

_WITH_ANCHORS: _Export = (_export_anchors, _anchors_output)
_OF_ULTRALYTICS: _Export = (_export_ultralytics, _torch_output)
