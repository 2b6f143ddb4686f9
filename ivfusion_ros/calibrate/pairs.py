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
from ivfusion_ros.images.thermal_input import ThermalInput
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.sources.pairs import pairs_in_time, pairs_of_equal_names
from ivfusion_ros.sources.source import SourceOptions
from ivfusion_ros.sync.time_offset import TimeOffset, TimeOffsetMonitor
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.config.pipeline import PairingConfig, PipelineConfig

NamedPair = tuple[str, FramePair]
"""A pair, and how to name it to people."""


class PairSource(Protocol):
    """Where pairs come from."""

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """At most so many pairs, evenly over all that there are. Raises IvfusionError."""

    def time_offset(self) -> TimeOffset:
        """The offset between the clocks, used for pairing from then on. Raises IvfusionError."""


def open_pairs(
    paths: Sequence[Path], config: PipelineConfig, options: SourceOptions | None = None
) -> PairSource:
    """Two folders of images (thermal, RGB) or a data set, or else any source. Raises IvfusionError.

    config: its pairing counts, and of thermal what the images are.
    """
    thermal_input, options = ThermalInput(config.thermal), options or SourceOptions()
    if len(paths) == 2 and all(map(images_by_stem, paths)) and not options.names_times:
        options.refuse_unused((), "images of equal names, which are pairs without times")
        return PairsOnDisk(pairs_of_equal_names(*paths), thermal_input)
    if len(paths) == 1 and paths[0].is_dir() and not is_bag(paths[0]):
        options.refuse_unused((), "the pairs of a data set, which need no times")
        return PairsOnDisk(find_pairs(paths[0]), thermal_input)
    return PairsInTime(paths, config.pairing, options, thermal_input)


@dataclass
class PairsOnDisk:
    """Images that are pairs by their names."""

    found: list[PairPaths]
    thermal_input: ThermalInput

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises ImageError."""
        for pair in spread(self.found, most):
            thermal = Frame(read_camera_image(pair.thermal, "thermal"), 0)
            rgb = Frame(read_camera_image(pair.rgb, "rgb"), 0)
            yield pair.stem, _as_used(FramePair(thermal, rgb), self.thermal_input)

    def time_offset(self) -> TimeOffset:
        """Folders have no time. Raises ConfigError."""
        raise ConfigError("--time-offset needs stamps, which folders of images do not have; give a bag")


class PairsInTime:
    """Frames of a source, paired by their stamps."""

    def __init__(
        self,
        paths: Sequence[Path],
        pairing: PairingConfig,
        options: SourceOptions,
        thermal_input: ThermalInput,
    ) -> None:
        self._paths = paths
        self._thermal_input = thermal_input
        self._pairing = pairing
        self._options = options

    def pairs(self, most: int) -> Iterator[NamedPair]:
        """See PairSource. Raises IvfusionError."""
        with closing(open_source(self._paths, self._options)) as source:
            length_s = source.expected / source.rate_hz if source.expected and source.rate_hz else 0.0
            next_ns, count, first_ns = None, 0, None
            for sent in pairs_in_time(source, self._pairing):
                pair = _as_used(sent, self._thermal_input)
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


def _as_used(pair: FramePair, thermal_input: ThermalInput) -> FramePair:
    """What the pipeline makes of a pair: the scene of the thermal frame, and colour of 8 bits."""
    rgb = replace(pair.rgb, image=to_rgb(pair.rgb.image))
    return replace(pair, thermal=thermal_input(pair.thermal), rgb=rgb)
