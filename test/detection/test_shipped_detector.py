"""The detector of models.yaml: what it is, what it is not, and that it finds people at night."""

from pathlib import Path

import numpy as np
import pytest
from places import ROOT

from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, PipelineConfig
from ivfusion_ros.detection.classes import CLASS_NAMES
from ivfusion_ros.graphs.onnx_file import read_metadata
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.objects import boxes_of
from ivfusion_ros.models import read_models
from ivfusion_ros.pipeline.build import build_detector, build_pipeline
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.detector.split import hold_out_scenes
from ivfusion_ros.types import Frame, FramePair

SHIPPED = {name: entry for name, entry in read_models().items() if entry.task == "detection"}


def test_auto_takes_one() -> None:
    detector = build_detector(DetectionConfig())
    assert detector is not None and set(detector.class_names) <= set(CLASS_NAMES)
    assert len(detector(np.full((480, 640, 3), 114, np.uint8))) == 0
    assert len(detector(np.full((300, 500, 3), 114, np.uint8))) == 0
    detector.close()


@pytest.mark.parametrize("name", SHIPPED)
def test_file_is_small_and_names_no_folder_of_its_maker(name: str) -> None:
    path = SHIPPED[name].path
    assert path.stat().st_size < 20_000_000
    metadata = read_metadata(path)
    assert metadata["task"] == "detect" and metadata["stride"] == "32"
    content = path.read_bytes()
    here = str(ROOT)
    assert not [folder for folder in ("/tmp/", "/home/", "/root/", here) if folder.encode() in content]


@pytest.mark.parametrize("name", SHIPPED)
def test_people_of_held_out_nights(name: str, shared: Path) -> None:
    """On MST's images, since that network is quick: most people who are at least 40 pixels tall."""
    _, held = hold_out_scenes(find_pairs(shared / "data" / "msrs"))
    config = make_config(PipelineConfig, {"fusion.model": "mst", "detection.model": name})
    seen = wanted = 0
    with build_pipeline(config) as pipeline:
        for pair in [pair for pair in held if pair.stem.endswith("N")][::8]:
            frames = FramePair(Frame(read_image(pair.thermal), 0), Frame(read_image(pair.rgb), 0))
            detections = pipeline.process(frames).detections
            assert detections is not None and pair.labels is not None
            people = detections.boxes_xyxy[detections.class_ids == 0]
            boxes, class_ids = boxes_of(np.asarray(read_image(pair.labels), np.uint8), {})
            for box in boxes[(class_ids == 0) & (boxes[:, 3] - boxes[:, 1] >= 40)]:
                wanted += 1
                seen += any(_overlap(box, other) > 0.4 for other in people)
    assert wanted >= 5 and seen >= 0.5 * wanted


def _overlap(first: np.ndarray, second: np.ndarray) -> float:
    shared = np.maximum(np.minimum(first[2:], second[2:]) - np.maximum(first[:2], second[:2]), 0).prod()
    return float(shared / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - shared))
