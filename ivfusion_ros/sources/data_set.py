"""A data set's pairs as a source: one after the other at a constant rate, since they have no times."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, IvfusionError
from ivfusion_ros.images.radiometric import read_camera_image
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.sources.stream import START_NS, camera_frame, check_rate
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.sources.source import SourceOptions
    from ivfusion_ros.types import CameraName, Frame


class DataSet:
    """See Source. Both images of a pair have one stamp."""

    def __init__(self, paths: Sequence[Path], options: SourceOptions) -> None:
        """paths: the one folder. Raises DataError and ConfigError."""
        check_rate(options.rate_hz)
        (folder,) = paths
        self._pairs = find_pairs(folder)
        if options.rate_hz is None:
            raise DataError(f"the {len(self._pairs)} pairs of {folder} have no times; give --rate HZ")
        self.paths = (folder,)
        self.names: dict[CameraName, str] = {camera: f"{folder} ({camera})" for camera in CAMERAS}
        self.note = f"{len(self._pairs)} pairs of {folder}"
        self.losses: list[str] = []
        self.skipped: Counter[str] = Counter()
        self.skip_reasons: dict[str, str] = {}
        self.rate_hz: float | None = options.rate_hz
        self.expected: int | None = len(self._pairs)
        self._options = options

    def frames(self) -> Iterator[tuple[CameraName, Frame]]:
        """See Source."""
        assert self.rate_hz is not None
        for index, pair in enumerate(self._pairs):
            stamp_ns = START_NS + round(index * 1e9 / self.rate_hz)
            for camera, path in zip(CAMERAS, (pair.thermal, pair.rgb), strict=True):
                try:
                    image = read_camera_image(path, camera, self._options.max_pixels)
                    frame = camera_frame(camera, stamp_ns, image)
                except IvfusionError as error:
                    self.skipped[self.names[camera]] += 1
                    self.skip_reasons.setdefault(self.names[camera], str(error))
                    self._options.on_skip(str(path), error)
                    continue
                yield camera, frame

    def close(self) -> None:
        """Nothing is held."""
