"""What a calibration is made from: pairs of a recorded bag, or of two folders of images."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.bags import BagReader, Topics
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.pairs import images_by_stem, spread
from ivfusion_ros.sync.pairing import Pairer
from ivfusion_ros.sync.time_offset import TimeOffset, TimeOffsetMonitor
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.config.pipeline import PairingConfig

NamedPair = tuple[str, FramePair]
"""A pair, and how to name it to people."""


class PairSource(Protocol):
    """Where pairs come from."""

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """At most so many pairs, evenly over all that there are. Raises IvfusionError."""

    def time_offset(self) -> TimeOffset:
        """The offset between the clocks, used for pairing from then on. Raises IvfusionError."""


def open_source(
    paths: Sequence[Path], topics: tuple[str | None, str | None], pairing: PairingConfig
) -> PairSource:
    """Two folders of images (thermal, RGB; pairs have the same name), or else bags.

    topics: (thermal, RGB) of bags, None to guess.
    """
    if len(paths) == 2 and all(map(images_by_stem, paths)):
        return FolderSource(*paths)
    return BagSource(paths, topics, pairing)


@dataclass
class FolderSource:
    """Images of two folders; those of the same name are a pair."""

    thermal: Path
    rgb: Path

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises DataError, ImageError."""
        thermal, rgb = images_by_stem(self.thermal), images_by_stem(self.rgb)
        names = sorted(thermal.keys() & rgb.keys())
        if not names:
            raise DataError(
                f"no image of {self.thermal} has the name of one in {self.rgb}; expected equal names for "
                "a pair"
            )
        for name in spread(names, most):
            frames = Frame(read_image(thermal[name]), 0), Frame(to_rgb(read_image(rgb[name])), 0)
            yield name, FramePair(*frames)

    def time_offset(self) -> TimeOffset:
        """Folders have no time. Raises ConfigError."""
        raise ConfigError("--time-offset needs stamps, which folders of images do not have; give a bag")


class BagSource:
    """Frames of bags, paired by their stamps."""

    def __init__(
        self, paths: Sequence[Path], topics: tuple[str | None, str | None], pairing: PairingConfig
    ) -> None:
        self._paths = paths
        self._topics = topics
        self._pairing = pairing

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises BagError."""
        with BagReader(self._paths) as reader:
            start_ns, end_ns = reader.start_ns, reader.end_ns
            length_ns = 0 if start_ns is None or end_ns is None else end_ns - start_ns
            next_ns, count, first_ns = None, 0, None
            for pair in self._all_pairs(reader):
                stamp_ns = pair.rgb.stamp_ns
                first_ns = stamp_ns if first_ns is None else first_ns
                if next_ns is not None and stamp_ns < next_ns:
                    continue
                next_ns, count = stamp_ns + length_ns // most, count + 1
                yield f"{(stamp_ns - first_ns) / 1e9:.2f} s", pair
                if count == most:
                    return

    def time_offset(self) -> TimeOffset:
        """See PairSource. Raises BagError."""
        monitor = TimeOffsetMonitor(None)
        with BagReader(self._paths) as reader:
            for camera, frame in reader.frames(self._choose(reader)):
                monitor.add(camera, frame)
        found = monitor.estimate()
        if found.offset_ns is not None:
            self._pairing = replace(self._pairing, thermal_time_offset_ms=found.offset_ns / 1e6)
        return found

    def _choose(self, reader: BagReader) -> Topics:
        return reader.choose_topics(*self._topics)

    def _all_pairs(self, reader: BagReader) -> Iterator[FramePair]:
        pairer = Pairer(self._pairing)
        for camera, frame in reader.frames(self._choose(reader)):
            yield from map(_with_colour, pairer.add(camera, frame))
        yield from map(_with_colour, pairer.flush())


def _with_colour(pair: FramePair) -> FramePair:
    return replace(pair, rgb=replace(pair.rgb, image=to_rgb(pair.rgb.image)))
