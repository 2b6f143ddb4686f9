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
from ivfusion_ros.commands.skipped import Skipped
from ivfusion_ros.errors import ConfigError, DataError, ImageError
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.types import CAMERAS, AnyImage, CameraName, Frame

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

log = logging.getLogger(__name__)

START_NS = 1_000_000_000
"""Stamp of the first frame: fixed, so that the same input gives the same bag; not 0, which means unset."""

MIN_RATE_HZ, MAX_RATE_HZ = 0.001, 10000.0
MAX_TIME_S = 1e9
"""Of a recording: beyond it a ROS stamp ends."""

MAX_APART_S, MAX_APART = 0.5, 0.02
"""Seconds and share by which one camera may end before the other without a warning."""

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
    """Write the bag of all frames that can be read. Raises IvfusionError, also where some cannot."""
    if options.rate is not None and not MIN_RATE_HZ <= options.rate <= MAX_RATE_HZ:
        raise ConfigError(
            f"--rate is {options.rate}, expected a frame rate of {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"
        )
    skipped = Skipped("frames")
    streams = (
        _frames(options.thermal, "thermal", options.rate, skipped),
        _frames(options.rgb, "rgb", options.rate, skipped),
    )
    counts: Counter[str] = Counter()
    ends_ns: dict[CameraName, int] = {}
    with BagWriter(options.output, compressed=options.compressed, overwrite=options.force) as writer:
        merged = heapq.merge(*streams, key=lambda item: item[0])
        for stamp_ns, camera, frame in tqdm(merged, unit="frame"):
            writer.write_frame(camera, frame)
            counts[camera] += 1
            ends_ns[camera] = stamp_ns
        if not all(counts[camera] for camera in CAMERAS):
            skipped.end()
            raise DataError(
                f"{options.thermal} and {options.rgb} gave {counts['thermal']} thermal and "
                f"{counts['rgb']} RGB frames, expected some of both"
            )
    log.info("%d thermal and %d RGB frames: %s", counts["thermal"], counts["rgb"], options.output)
    _warn_of_lengths(ends_ns)
    skipped.end()


def _warn_of_lengths(ends_ns: dict[CameraName, int]) -> None:
    """Of two recordings of one drive, neither ends long before the other."""
    thermal_s, rgb_s = ((ends_ns[camera] - START_NS) / 1e9 for camera in CAMERAS)
    longer_s = max(thermal_s, rgb_s)
    if abs(thermal_s - rgb_s) > max(MAX_APART_S, MAX_APART * longer_s):
        log.warning(
            "thermal lasts %.3f s and RGB %.3f s: what is longer has no partner, and frames are paired by "
            "their time from the start; check that both belong together, begin at one moment, lack no "
            "frames, and have the rate that was given",
            thermal_s, rgb_s,
        )  # fmt: skip


def _frames(source: Path, camera: CameraName, rate_hz: float | None, skipped: Skipped) -> Iterator[Stamped]:
    read = _folder if source.is_dir() else _video
    for stamp_s, image in read(source, rate_hz, skipped):
        stamped = None
        with skipped.costs_one(f"{camera} frame at {stamp_s:.3f} s"):
            stamped = _stamped(camera, stamp_s, image)
        if stamped is not None:
            yield stamped


def _stamped(camera: CameraName, stamp_s: float, image: AnyImage) -> Stamped:
    if not 0 <= stamp_s < MAX_TIME_S:
        raise ImageError(f"its time is {stamp_s} s, expected 0 to {MAX_TIME_S:g}")
    stamp_ns = START_NS + round(stamp_s * 1e9)
    shaped = to_grey(image) if camera == "thermal" else to_rgb(image)
    return stamp_ns, camera, Frame(shaped, stamp_ns, f"{camera}_optical_frame")


def _folder(folder: Path, rate_hz: float | None, skipped: Skipped) -> Iterator[tuple[float, AnyImage]]:
    if rate_hz is None:
        raise DataError(f"{folder} is a folder of images, which have no frame rate; give --rate HZ")
    for index, path in enumerate(images_in(folder).values()):
        try:
            image = read_image(path)
        except ImageError as error:
            skipped.add(path, error)
            continue
        yield index / rate_hz, image


def _video(path: Path, rate_hz: float | None, skipped: Skipped) -> Iterator[tuple[float, AnyImage]]:
    with VideoReader(path) as video:
        for index, (stamp_s, image) in enumerate(video):
            yield (stamp_s if rate_hz is None else index / rate_hz), image
        for loss in video.losses:
            skipped.add(path, ImageError(loss))
