"""Times of the detector against ultralytics' own predict: python test/measure_detector.py DETECTOR.onnx.

From a uint8 image of 640x480 to boxes in its pixels, in turn, round after round, so that noise hits all
alike: ultralytics on the same ONNX file (and on --weights, the .pt that it came from), and this package
through each backend; with --int8 in OpenVINO as well. Pre- and postprocessing are timed apart, on a
recorded output of the network. The image is a real one where the data is at hand; how many of ultralytics'
objects are found is printed.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from places import SHARED

os.environ |= {"YOLO_AUTOINSTALL": "false", "YOLO_OFFLINE": "true", "YOLO_VERBOSE": "false"}
os.environ.setdefault("YOLO_CONFIG_DIR", tempfile.mkdtemp(prefix="ultralytics_"))

import numpy as np
import torch
from tqdm import trange
from ultralytics import YOLO

from ivfusion_ros.backends import available_backends, load_backend
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.evaluation.speed.benchmark import alternate
from ivfusion_ros.graphs.letterbox import Letterbox
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.replay import summary
from ivfusion_ros.training.detector.nms_stand_in import provide_nms

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import Detections, Image


SCENES = SHARED / "data" / "msrs" / "rgb"
SIZE = (640, 480)
CONFIG = DetectionConfig()
BACKENDS = (("onnxruntime", "auto"), ("openvino", "f32"), ("openvino", "auto"))


def street() -> Image:
    """A day scene with people and cars, or noise where there is no data set."""
    path = SCENES / "00232D.webp"
    if not path.exists():
        return np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    return np.asarray(to_rgb(read_image(path)), np.uint8)


def theirs(model: YOLO, image: Image) -> Callable[[], Any]:
    """predict as ultralytics' users call it, with this package's thresholds."""
    bgr = np.ascontiguousarray(image[:, :, ::-1])

    def predict() -> Any:
        return model.predict(
            bgr,
            imgsz=(SIZE[1], SIZE[0]),
            conf=CONFIG.confidence,
            iou=CONFIG.iou,
            max_det=CONFIG.max_detections,
            device="cpu",
            verbose=False,
        )[0].boxes

    return predict


def around(path: Path, image: Image, threads: int) -> dict[str, Callable[[], Any]]:
    """The detector's steps without its network: all of them on a recorded output, and the first ones."""
    detector = Detector(load_backend(path, "onnxruntime", threads=threads), CONFIG)
    letterbox = Letterbox.fit(SIZE, SIZE)
    output = detector.backend.run({"images": detector._tensor(letterbox.apply(image))})
    detector.backend.run = lambda inputs: dict(output)  # type: ignore[method-assign]
    return {
        "everything but the network": lambda: detector(image),
        "letterbox and tensor": lambda: detector._tensor(letterbox.apply(image)),
    }


def agreement(found: Detections, boxes: Any) -> str:
    """How many of ultralytics' sure boxes (scores from 0.4) this package finds too."""
    sure = boxes.xyxy.numpy()[boxes.conf.numpy() > 0.4]
    hits = sum(bool((box_iou(box, found.boxes_xyxy) > 0.8).any()) for box in sure)
    return f"{hits} of {len(sure)} sure boxes of ultralytics"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("detector", help="name in models.yaml or ONNX file, of input 640x480")
    parser.add_argument("--weights", type=Path, help="the .pt that it was exported from: torch's time too")
    parser.add_argument("--int8", help="the same detector in int8: name in models.yaml or ONNX file")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--threads", type=int, default=0, help="of each; 0: all cores")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    provide_nms()
    if options.threads:
        torch.set_num_threads(options.threads)
    path, image = resolve_model(options.detector), street()
    candidates = {"ultralytics predict, ONNX": theirs(YOLO(path, task="detect"), image)}
    if options.weights:
        candidates["ultralytics predict, torch"] = theirs(YOLO(options.weights), image)
    reference = candidates["ultralytics predict, ONNX"]()
    runs = [(path, *backend) for backend in BACKENDS]
    if options.int8:
        runs.append((resolve_model(options.int8), "openvino", "auto"))
    for model, name, precision in runs:
        if available_backends()[name].usable:
            backend = load_backend(model, name, precision=precision, threads=options.threads)
            detector = Detector(backend, CONFIG)
            candidates[backend.description] = functools.partial(detector, image)
            print(f"{backend.description}: {agreement(detector(image), reference)}")
    steps = around(path, image, options.threads)
    figures: dict[str, Any] = {"objects": len(reference)}
    for title, group, factor in (("from image to boxes", candidates, 1), ("of it", steps, 10)):
        times = alternate(group, trange(factor * options.rounds, desc=title, leave=False), 3)
        slowest = np.median(times[next(iter(group))])
        print(f"{title:58} {'median ms':>10} {'p95 ms':>8} {'speed-up':>9}")
        for name, values in times.items():
            row = summary(values)
            figures[name] = row
            row["speed_up"] = round(float(slowest / np.median(values)), 2)
            print(f"{name:58} {row['median']:10.2f} {row['p95']:8.2f} {row['speed_up']:9.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
