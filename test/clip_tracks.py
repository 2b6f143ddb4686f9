"""Clips without labels: what follows its own sure detections without a doubt stands for the truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.simulate import TrueObject
from ivfusion_ros.types import Detections, Frame, FramePair, Image

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.config.pipeline import PipelineConfig

SURE, SAME, OTHER = 0.4, 0.5, 0.3
"""Score of a detection that a chain has; overlap with the next one, and with any other than that."""
MIN_CHAIN_S = 0.5
CROP = 480, 360


@dataclass(frozen=True, eq=False)
class Seen:
    """A fused image, what the detector found in it, and those of it that belong to a chain."""

    image: Image
    detections: Detections
    chained: list[TrueObject]


def watch(clips: Path, config: PipelineConfig) -> list[tuple[float, list[Seen]]]:
    """Rate and images of each film in rgb/ and thermal/, fused and looked at."""
    watched = []
    for path in sorted((clips / "rgb").iterdir()):
        found: list[tuple[Image, Detections]] = []
        with (
            build_pipeline(config) as pipeline,
            VideoReader(path) as rgb,
            VideoReader(clips / "thermal" / path.name) as thermal,
        ):
            for (time_s, picture), (_, heat) in zip(rgb, thermal, strict=False):
                frames = [Frame(image, round(time_s * 1e9)) for image in (heat, picture)]
                result = pipeline.process(FramePair(*frames))
                assert result.detections is not None, "give a detector with --detector"
                found.append((result.fused, result.detections))
        chains = _chains([detections for _, detections in found], round(MIN_CHAIN_S * rgb.rate_hz))
        seen = [Seen(*item, chained) for item, chained in zip(found, chains, strict=True)]
        watched.append((rgb.rate_hz, seen))
    return watched


def shaken(images: list[Seen], rate_hz: float) -> list[Seen]:
    """As a camera saw them that swings to and fro: a part of each image, at up to 400 pixels a second."""
    moved = []
    for index, seen in enumerate(images):
        height, width = seen.image.shape[:2]
        swing = np.sin(2 * np.pi * np.array([0.8, 0.55]) * index / rate_hz)
        left, top = ((1 + swing) / 2 * (width - CROP[0], height - CROP[1])).round().astype(int)
        picture = np.ascontiguousarray(seen.image[top : top + CROP[1], left : left + CROP[0]])
        away = np.array([left, top, left, top], np.float32)
        boxes = seen.detections.boxes_xyxy - away
        detections = Detections(
            boxes, seen.detections.scores, seen.detections.class_ids, seen.detections.class_names
        )
        chained = [replace(item, box_xyxy=tuple(np.array(item.box_xyxy) - away)) for item in seen.chained]
        moved.append(Seen(picture, detections, chained))
    return moved


def _chains(images: list[Detections], least: int) -> list[list[TrueObject]]:
    """For each image its detections that belong to a chain of `least` images or more."""
    links: list[list[TrueObject]] = []
    count, last = 0, (np.zeros((0, 4), np.float32), np.zeros(0, int), np.zeros(0, int))
    for found in images:
        sure = np.flatnonzero(found.scores >= SURE)
        boxes, classes = found.boxes_xyxy[sure], found.class_ids[sure]
        numbers = _followed(last, boxes, classes)
        fresh = numbers < 0
        numbers[fresh] = count + np.arange(fresh.sum())
        count += int(fresh.sum())
        last = boxes, classes, numbers
        names = [found.class_names[index] for index in classes]
        rows = zip(numbers.tolist(), names, boxes.tolist(), strict=True)
        links.append(
            [(number, TrueObject(number, name, tuple(box), 0.0, 1.0)) for number, name, box in rows]
        )
    lengths = np.bincount([number for link in links for number, _ in link], minlength=1)
    return [[item for number, item in link if lengths[number] >= least] for link in links]


def _followed(last: tuple[np.ndarray, ...], boxes: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Numbers of the chains that go on with these boxes, -1 for none: where nothing else comes near."""
    before, classes_before, numbers_before = last
    overlaps = box_iou(before[:, None], boxes[None])
    overlaps[classes_before[:, None] != classes] = 0
    numbers = np.full(len(boxes), -1)
    for row, column in np.argwhere(overlaps >= SAME):
        if np.sum(overlaps[row] > OTHER) == np.sum(overlaps[:, column] > OTHER) == 1:
            numbers[column] = numbers_before[row]
    return numbers
