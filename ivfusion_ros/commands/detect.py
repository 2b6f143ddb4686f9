"""`ivfusion detect`: objects in image files, as pictures and as JSON."""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ivfusion_ros.build import build_detector
from ivfusion_ros.commands.fuse import images_in
from ivfusion_ros.commands.options import add_pipeline_options, pipeline_config, write_text
from ivfusion_ros.draw import annotate
from ivfusion_ros.errors import ModelError
from ivfusion_ros.image_files import read_image, write_image
from ivfusion_ros.images import to_rgb
from ivfusion_ros.types import Detections

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", type=Path, help="image, or folder of images; fused, RGB or thermal")
    parser.add_argument("output", type=Path, help="folder for pictures with boxes and detections.json")
    add_pipeline_options(parser)


def run(options: argparse.Namespace) -> None:
    """Detect in each image. Raises IvfusionError."""
    detector = build_detector(pipeline_config(options).detection)
    if detector is None:
        raise ModelError("no detector was given; name one with --detector FILE.onnx")
    paths = list(images_in(options.images).values()) if options.images.is_dir() else [options.images]
    options.output.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[dict[str, Any]]] = {}
    for path in tqdm(paths, unit="image", disable=len(paths) == 1):
        image = to_rgb(read_image(path))
        detections = detector(image)
        write_image(options.output / f"{path.stem}.png", annotate(image, detections))
        found[path.name] = as_rows(detections)
    detector.close()
    write_text(options.output / "detections.json", json.dumps(found, indent=1) + "\n")
    log.info("%d objects in %d images: %s", sum(map(len, found.values())), len(paths), options.output)


def as_rows(detections: Detections) -> list[dict[str, Any]]:
    """Detections as JSON-ready rows: class, score, box_xyxy in pixels.

    Where they are known also thermal_box_xyxy and rgb_box_xyxy in the pixels of each camera's own image,
    max_kelvin and mean_kelvin; null for an object that the camera does not see.
    """
    rows: list[dict[str, Any]] = [
        {
            "class": detections.class_names[int(class_id)],
            "score": round(float(score), 4),
            "box_xyxy": [round(float(side), 2) for side in box],
        }
        for box, score, class_id in zip(
            detections.boxes_xyxy, detections.scores, detections.class_ids, strict=True
        )
    ]
    for name, values in (
        ("thermal_box_xyxy", detections.thermal_boxes_xyxy),
        ("rgb_box_xyxy", detections.rgb_boxes_xyxy),
        ("max_kelvin", detections.max_kelvin),
        ("mean_kelvin", detections.mean_kelvin),
    ):
        if values is not None:
            for row, value in zip(rows, values, strict=True):
                row[name] = (
                    np.round(value.astype(np.float64), 2).tolist() if np.isfinite(value).all() else None
                )
    return rows
