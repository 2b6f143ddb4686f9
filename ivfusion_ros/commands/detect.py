"""`ivfusion detect`: objects in image files or a film, as pictures and as JSON."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from ivfusion_ros.bags.files import is_bag
from ivfusion_ros.bags.writer import NO_FOLDERS
from ivfusion_ros.commands.options import pipeline_config, write_json
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.detection.rows import as_rows
from ivfusion_ros.errors import DataError, ModelError
from ivfusion_ros.files import alone_in, write_whole
from ivfusion_ros.images.draw import annotate
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.images.thermal_input import ThermalInput
from ivfusion_ros.options.outputs import refuse_existing, refuse_input
from ivfusion_ros.pipeline.build import build_detector, detection_model_name
from ivfusion_ros.sources.pairs import images_in
from ivfusion_ros.sources.source import SourceOptions
from ivfusion_ros.sources.two_cameras import open_stream
from ivfusion_ros.types import AnyImage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from ivfusion_ros.sources.stream import CameraStream
    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)

Job = tuple[str, Path, Callable[[], AnyImage]]
"""The name of an image, the picture to write of it, and what reads it."""


def run(options: argparse.Namespace) -> None:
    """Detect in each image; one that cannot be read is skipped. Raises IvfusionError, also then."""
    with ExitStack() as stack:
        _detect(options, stack)


def _detect(options: argparse.Namespace, stack: ExitStack) -> None:
    config = pipeline_config(options)
    rows_file = options.output / "detections.json"
    skipped = Skipped("images")
    jobs, count = _jobs(options, config.images.max_pixels, skipped, stack)
    detector = build_detector(config.detection)
    if detector is None:
        raise ModelError("no detector was given; name one with --detector FILE.onnx")
    detector.check_alone()
    scaler, thermal_input = ThermalScaler(config.thermal), ThermalInput(config.thermal)
    found: dict[str, list[dict[str, Any]]] = {}
    for name, picture, read in tqdm(jobs, total=count, unit="image", disable=count == 1):
        annotated = None
        with skipped.costs_one(name):
            image = _scaled(read(), thermal_input, scaler)
            detections = detector(image)
            annotated = annotate(image, detections)
        if annotated is not None:
            write_image(picture, annotated)
            found[name] = as_rows(detections)
    model = f"{detection_model_name(config.detection)} by {detector.backend.description}"
    detector.close()
    if found:
        write_whole(rows_file, json.dumps(found, indent=1) + "\n")
        write_json(options.json, _figures(options, model, skipped, found))
    log.info("images: %d, objects: %d, in %s", len(found), sum(map(len, found.values())), options.output)
    skipped.end()


def _figures(
    options: argparse.Namespace, model: str, skipped: Skipped, found: dict[str, list[dict[str, Any]]]
) -> dict[str, Any]:
    """What --json has."""
    classes = Counter(row["class"] for rows in found.values() for row in rows)
    return {
        "input": str(options.images),
        "output": str(options.output),
        "models": {"detection": model},
        "images": len(found),
        **skipped.report(),
        "detections": dict(classes.most_common()),
        "results": [{"image": name, "detections": rows} for name, rows in found.items()],
    }


def _jobs(
    options: argparse.Namespace, max_pixels: int, skipped: Skipped, stack: ExitStack
) -> tuple[Iterable[Job], int | None]:
    """What to read and the picture to write of it, and how many, as far as that is known."""
    images, output = options.images, options.output
    if not output.is_dir() and (output.exists() or output.suffix.lower() in (*NO_FOLDERS, ".mcap")):
        raise DataError(f"the output is {output}, expected a folder for pictures and detections.json")
    if not images.exists():
        raise DataError(f"there is no file or folder {images}")
    if is_bag(images):
        raise DataError(f"{images} is a bag; `ivfusion replay` detects in bags")
    refuse_input(output, images)
    stack.enter_context(alone_in(output))
    rows_file = output / "detections.json"
    if images.is_file() and images.suffix.lower() not in SUFFIXES:
        refuse_existing([rows_file], options.force)
        stream = open_stream(images, SourceOptions(max_pixels=max_pixels, on_skip=skipped.add))
        return _of_film(stream, images.stem, output), stream.count
    paths = list(images_in(images).values()) if images.is_dir() else [images]
    pictures = [output / f"{path.stem}.png" for path in paths]
    for path, picture in zip(paths, pictures, strict=True):
        refuse_input(picture, path)
    refuse_existing([rows_file, *pictures], options.force)
    reads = (partial(read_camera_image, path, "thermal", max_pixels) for path in paths)
    return list(zip((path.name for path in paths), pictures, reads, strict=True)), len(paths)


def _of_film(stream: CameraStream, stem: str, output: Path) -> Iterator[Job]:
    with closing(stream):
        for index, (_, image) in enumerate(stream.images()):
            name = f"{stem}_{index:06d}.png"
            yield name, output / name, partial(np.asarray, image)


def _scaled(image: AnyImage, thermal_input: ThermalInput, scaler: ThermalScaler) -> Image:
    """(H, W, 3) RGB; counts of more than 8 bits are stretched, each image on its own."""
    if image.ndim == 2 and image.dtype != np.uint8:
        thermal_input.reset()
        scaler.reset()
        image = scaler(thermal_input.counts(image), 0)
    return to_rgb(image)
