"""`ivfusion dataset`: pairs with labels -> images with boxes, to train and evaluate detectors."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.commands.options import add_backend_option, add_camera_option, output_folder
from ivfusion_ros.detection.classes import read_class_map
from ivfusion_ros.files import alone_in
from ivfusion_ros.models import resolve_model
from ivfusion_ros.training.detector.dataset import Kind, write_dataset
from ivfusion_ros.training.detector.teacher import Teacher

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data",
        nargs="+",
        type=Path,
        required=True,
        metavar="DIR",
        help="folders of registered pairs with thermal/ and rgb/, or of images of one of them; beside them "
        "labels/ (maps of MSRS's class ids), boxes/ (YOLO's text files) or a file of COCO's form; or data "
        "sets as published: M3FD, MSRS, LLVIP, KAIST, FLIR, HIT-UAV, or any of the form of YOLO, VOC or "
        "COCO",
    )
    parser.add_argument(
        "--out",
        type=output_folder,
        required=True,
        metavar="DIR",
        help="folder of the data set; existing files in it are kept",
    )
    parser.add_argument(
        "--images",
        nargs="+",
        required=True,
        metavar="KIND[:SHARE]",
        help="thermal, rgb, or fusion networks by name or ONNX file; several are mixed. SHARE is the "
        "part of the training pairs that is used in this kind, for example mda:0.1; rgb+haze is RGB in "
        "smoke, mda+haze is fused with it",
    )
    parser.add_argument(
        "--teacher",
        metavar="MODEL",
        help="detector of COCO's classes (ONNX) that separates touching objects, adds those that labels/ "
        "leaves out of what is trained on, and labels scenes without labels/ and boxes/",
    )
    parser.add_argument(
        "--classes",
        type=Path,
        metavar="FILE",
        help="YAML of `number: name` or `name: name`, the classes in box files (default: COCO's numbers, "
        "usual names); others are left out and counted",
    )
    add_camera_option(parser)
    add_backend_option(parser, "fusion")


def run(options: argparse.Namespace) -> None:
    """Write images, labels, preview.png and data.yaml. Raises IvfusionError."""
    with alone_in(options.out):
        _write(options)


def _write(options: argparse.Namespace) -> None:
    kinds = [Kind.parse(text) for text in options.images]
    teacher = Teacher(resolve_model(options.teacher), options.backend) if options.teacher else None
    class_map = read_class_map(options.classes)
    counts = write_dataset(
        options.data, options.out, kinds, teacher, options.backend, class_map, camera=options.camera
    )
    for part, count in counts.items():
        objects = ", ".join(f"{number} {name}" for name, number in count.objects.items())
        log.info("%s: %d scenes, %d images; objects: %s", part, count.pairs, count.images, objects)
    log.info(
        "data set: %s; a few with their boxes: %s", options.out / "data.yaml", options.out / "preview.png"
    )
