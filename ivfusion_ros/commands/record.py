"""`ivfusion record`: two folders of images or two videos -> a bag with both cameras' topics."""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.commands.fuse import images_in
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.types import AnyImage, CameraName, Frame

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

log = logging.getLogger(__name__)

START_NS = 1_000_000_000
"""Stamp of the first frame: fixed, so that the same input gives the same bag; not 0, which means unset."""

Stamped = tuple[int, CameraName, Frame]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("thermal", type=Path, help="video, or folder of images in the order of their names")
    parser.add_argument("rgb", type=Path, help="the same of the RGB camera")
    parser.add_argument("output", type=Path, help="bag to write: NAME.mcap, or a rosbag2 folder")
    parser.add_argument(
        "--rate", type=float, metavar="HZ", help="frame rate; folders need one (default: the video's)"
    )
    parser.add_argument("--compressed", action="store_true", help="write JPEG for colour, PNG for thermal")
    parser.add_argument("--force", action="store_true", help="replace an existing output")


def run(options: argparse.Namespace) -> None:
    """Write the bag. Raises IvfusionError."""
    if options.rate is not None and not 0 < options.rate <= 10000:
        raise ConfigError(f"--rate is {options.rate}, expected a frame rate above 0 Hz")
    streams = (
        _frames(options.thermal, "thermal", options.rate),
        _frames(options.rgb, "rgb", options.rate),
    )
    counts: Counter[str] = Counter()
    with BagWriter(options.output, compressed=options.compressed, overwrite=options.force) as writer:
        merged = heapq.merge(*streams, key=lambda item: item[0])
        for _, camera, frame in tqdm(merged, unit="frame"):
            writer.write_frame(camera, frame)
            counts[camera] += 1
    log.info("%d thermal and %d RGB frames: %s", counts["thermal"], counts["rgb"], options.output)


def _frames(source: Path, camera: CameraName, rate_hz: float | None) -> Iterator[Stamped]:
    for stamp_s, image in _folder(source, rate_hz) if source.is_dir() else _video(source, rate_hz):
        stamp_ns = START_NS + round(stamp_s * 1e9)
        shaped = to_grey(image) if camera == "thermal" else to_rgb(image)
        yield stamp_ns, camera, Frame(shaped, stamp_ns, f"{camera}_optical_frame")


def _folder(folder: Path, rate_hz: float | None) -> Iterator[tuple[float, AnyImage]]:
    if rate_hz is None:
        raise DataError(f"{folder} is a folder of images, which have no frame rate; give --rate HZ")
    for index, path in enumerate(images_in(folder).values()):
        yield index / rate_hz, read_image(path)


def _video(path: Path, rate_hz: float | None) -> Iterator[tuple[float, AnyImage]]:
    with VideoReader(path) as video:
        for index, (stamp_s, image) in enumerate(video):
            yield (stamp_s if rate_hz is None else index / rate_hz), image
