"""`ivfusion fuse`: image files or folders in, fused images out."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.commands.options import add_pipeline_options, pipeline_config, refuse_input
from ivfusion_ros.commands.skipped import Skipped, refuse_existing
from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import SUFFIXES, read_image, write_image
from ivfusion_ros.images.pairs import images_by_stem
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    import argparse

log = logging.getLogger(__name__)

SECTIONS = ("images", "thermal", "registration", "faults", "fusion")
"""Of the configuration: each pair is fused on its own, and nothing is detected."""

_NAMED = 5
"""Most images without a partner that a message names."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "thermal", type=Path, help="image without colour (thermal, MRI, ...), or folder of images"
    )
    parser.add_argument(
        "rgb",
        type=Path,
        help="image that gives the result its size and colour (RGB, PET, ...; grey ones such as CT too), "
        "or folder of images with the same names",
    )
    parser.add_argument("output", type=Path, help="image to write, or folder for PNG images")
    parser.add_argument("--force", action="store_true", help="replace existing outputs")
    add_pipeline_options(parser, SECTIONS)


def run(options: argparse.Namespace) -> None:
    """Fuse each pair on its own; one that cannot be fused is skipped. Raises IvfusionError, also then."""
    config = pipeline_config(options)
    config = dataclasses.replace(config, detection=dataclasses.replace(config.detection, model=""))
    jobs = _jobs(options.thermal, options.rgb, options.output)
    refuse_existing([output for _, _, output in jobs], options.force)
    skipped = Skipped("pairs")
    with build_pipeline(config) as pipeline:
        for thermal, rgb, output in tqdm(jobs, unit="pair", disable=len(jobs) == 1):
            fused = None
            with skipped.costs_one(thermal.stem):
                pipeline.reset()
                frames = [Frame(read_image(path, config.images.max_pixels), 0) for path in (thermal, rgb)]
                fused = pipeline.process(FramePair(frames[0], frames[1])).fused
            if fused is not None:
                output.parent.mkdir(parents=True, exist_ok=True)
                write_image(output, fused)
    log.info("pairs fused: %d, in %s", len(jobs) - skipped.skipped, options.output)
    skipped.end()


def images_in(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, sorted. Raises DataError when there are none."""
    found = images_by_stem(folder)
    if not found:
        raise DataError(f"{folder} holds no images ({', '.join(SUFFIXES)})")
    return found


def _jobs(thermal: Path, rgb: Path, output: Path) -> list[tuple[Path, Path, Path]]:
    if thermal.is_dir() != rgb.is_dir():
        for path in (thermal, rgb):
            if not path.exists():
                raise DataError(f"there is no file or folder {path}")
        raise DataError(f"{thermal} and {rgb} must be two files or two folders")
    if not thermal.is_dir():
        picture = output / f"{thermal.stem}.png" if output.is_dir() else output
        refuse_input(picture, thermal, rgb)
        return [(thermal, rgb, picture)]
    refuse_input(output, thermal, rgb)
    thermal_images, rgb_images = images_in(thermal), images_in(rgb)
    stems = sorted(thermal_images.keys() & rgb_images.keys())
    if not stems:
        raise DataError(
            f"no image in {thermal} has the name of one in {rgb}; expected equal names for a pair"
        )
    alone = sorted(thermal_images.keys() ^ rgb_images.keys())
    if alone:
        names = ", ".join(alone[:_NAMED]) + (", ..." if len(alone) > _NAMED else "")
        log.warning("left out, without a partner of the same name: %d (%s)", len(alone), names)
    return [(thermal_images[stem], rgb_images[stem], output / f"{stem}.png") for stem in stems]
