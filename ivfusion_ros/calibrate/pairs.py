"""What a calibration is made from: pairs of two folders or a data set, or of any other source."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.bags.files import is_bag
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.pairs import PairPaths, images_by_stem, spread
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.sources import SourceOptions, find_pairs, open_source
from ivfusion_ros.sources.pairs import pairs_in_time, pairs_of_equal_names
from ivfusion_ros.sync.time_offset import TimeOffset, TimeOffsetMonitor
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.config.pipeline import PairingConfig

NamedPair = tuple[str, FramePair]
"""A pair, and how to name it to people."""


class PairSource(Protocol):
    """Where pairs come from."""

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """At most so many pairs, evenly over all that there are. Raises IvfusionError."""

    def time_offset(self) -> TimeOffset:
        """The offset between the clocks, used for pairing from then on. Raises IvfusionError."""


def open_pairs(
    paths: Sequence[Path], pairing: PairingConfig, options: SourceOptions | None = None
) -> PairSource:
    """Two folders of images (thermal, RGB) or a data set, or else any source. Raises IvfusionError."""
    if len(paths) == 2 and all(map(images_by_stem, paths)):
        return PairsOnDisk(pairs_of_equal_names(*paths))
    if len(paths) == 1 and paths[0].is_dir() and not is_bag(paths[0]):
        return PairsOnDisk(find_pairs(paths[0]))
    return PairsInTime(paths, pairing, options or SourceOptions())


@dataclass
class PairsOnDisk:
    """Images that are pairs by their names."""

    found: list[PairPaths]

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises ImageError."""
        for pair in spread(self.found, most):
            thermal = read_camera_image(pair.thermal, "thermal")
            rgb = to_rgb(read_camera_image(pair.rgb, "rgb"))
            yield pair.stem, FramePair(Frame(thermal, 0), Frame(rgb, 0))

    def time_offset(self) -> TimeOffset:
        """Folders have no time. Raises ConfigError."""
        raise ConfigError("--time-offset needs stamps, which folders of images do not have; give a bag")


class PairsInTime:
    """Frames of a source, paired by their stamps."""

    def __init__(self, paths: Sequence[Path], pairing: PairingConfig, options: SourceOptions) -> None:
        self._paths = paths
        self._pairing = pairing
        self._options = options

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises IvfusionError."""
        with closing(open_source(self._paths, self._options)) as source:
            length_s = source.expected / source.rate_hz if source.expected and source.rate_hz else 0.0
            next_ns, count, first_ns = None, 0, None
            for pair in map(_with_colour, pairs_in_time(source, self._pairing)):
                stamp_ns = pair.rgb.stamp_ns
                first_ns = stamp_ns if first_ns is None else first_ns
                if next_ns is not None and stamp_ns < next_ns:
                    continue
                next_ns, count = stamp_ns + round(length_s * 1e9 / most), count + 1
                yield f"{(stamp_ns - first_ns) / 1e9:.2f} s", pair
                if count == most:
                    return

    def time_offset(self) -> TimeOffset:
        """See PairSource. Raises IvfusionError."""
        monitor = TimeOffsetMonitor(None)
        with closing(open_source(self._paths, self._options)) as source:
            for camera, frame in source.frames():
                monitor.add(camera, frame)
        found = monitor.estimate()
        if found.offset_ns is not None:
            self._pairing = replace(self._pairing, thermal_time_offset_ms=found.offset_ns / 1e6)
        return found


def _with_colour(pair: FramePair) -> FramePair:
    return replace(pair, rgb=replace(pair.rgb, image=to_rgb(pair.rgb.image)))
