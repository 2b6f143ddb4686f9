"""A film as one camera's stream; one that starts late in its own time stays late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.video import VideoReader
from ivfusion_ros.sources.stamps import read_stamp_list
from ivfusion_ros.sources.stream import START_NS, check_rate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.sources.source import SourceOptions
    from ivfusion_ros.types import AnyImage, CameraName


class FilmStream:
    """See CameraStream."""

    def __init__(self, path: Path, options: SourceOptions, stamps: Path | None, camera: CameraName) -> None:
        """stamps: text file with a line for each frame. Raises ImageError, DataError and ConfigError."""
        check_rate(options.rate_hz)
        self._path, self._options = path, options
        self._told_ns = None if stamps is None else read_stamp_list(stamps)
        encoding = options.thermal_encoding if camera == "thermal" else ""
        self._film = VideoReader(path, options.max_pixels, encoding)
        self.has_clock = self._told_ns is not None
        self.first_ns = START_NS if self._told_ns is None else self._told_ns[0]
        self.count: int | None = self._film.frame_count or None
        self.rate_hz: float | None = options.rate_hz or self._film.rate_hz or None

    def images(self) -> Iterator[tuple[int, AnyImage]]:
        """See CameraStream."""
        for index, (stamp_s, image) in enumerate(self._film):
            stamp_ns = self._stamp_ns(index, stamp_s)
            if stamp_ns is None:
                self._options.on_skip(
                    f"frame {index} of {self._path}", ImageError("its stamps' file has no line for it")
                )
                continue
            yield stamp_ns, image
        if self._film.losses:
            reason = "; ".join(self._film.losses)
            self._options.on_skip(str(self._path), ImageError(reason), max(self._film.lost, 1))

    def _stamp_ns(self, index: int, stamp_s: float) -> int | None:
        if self._told_ns is not None:
            return self._told_ns[index] if index < len(self._told_ns) else None
        seconds = stamp_s if self._options.rate_hz is None else index / self._options.rate_hz
        return START_NS + round(seconds * 1e9)

    def close(self) -> None:
        """Close the file."""
        self._film.close()
