"""`ivfusion dataset`: pairs with labels -> images with boxes, to train and evaluate detectors."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.commands.interruption import going_on_by_itself
from ivfusion_ros.detection.classes import read_class_map
from ivfusion_ros.files import alone_in
from ivfusion_ros.models import resolve_model
from ivfusion_ros.training.detector.dataset import write_dataset
from ivfusion_ros.training.detector.kinds import Kind
from ivfusion_ros.training.detector.teacher import Teacher

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)


def run(options: argparse.Namespace) -> None:
    """Write images, labels, preview.png and data.yaml. Raises IvfusionError."""
    with alone_in(options.out), going_on_by_itself(options.out):
        _write(options)


def _write(options: argparse.Namespace) -> None:
    kinds = [Kind.parse(text) for text in options.images]
    teacher = (
        Teacher(resolve_model(options.teacher, "detection"), options.backend) if options.teacher else None
    )
    class_map = read_class_map(options.classes)
    counts = write_dataset(
        options.data, options.out, kinds, teacher, options.backend, class_map, camera=options.camera
    )
    for part, count in counts.items():
        objects = ", ".join(f"{number} {name}" for name, number in count.objects.items())
        scenes = f"{count.pairs} scene{'' if count.pairs == 1 else 's'}"
        images = f"{count.images} image{'' if count.images == 1 else 's'}"
        log.info("%s: %s, %s; objects: %s", part, scenes, images, objects)
    log.info(
        "data set: %s; a few with their boxes: %s", options.out / "data.yaml", options.out / "preview.png"
    )
