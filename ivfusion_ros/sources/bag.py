"""Bags of any kind as a source, merged by log time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags import EVER, BagReader

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.bags import BagTopic
    from ivfusion_ros.sources.source import SourceOptions
    from ivfusion_ros.types import CameraName, Frame

_MIN_RATE_HZ, _MAX_RATE_HZ = 1.0, 120.0


class BagSource:
    """See Source. each_message, others: as in BagReader.frames, to be set before it."""

    def __init__(self, paths: Sequence[Path], options: SourceOptions) -> None:
        """Open the bags and choose the cameras. Raises BagError."""
        self._thermal_encoding = options.thermal_encoding
        self.reader = BagReader(paths, options.max_pixels, options.between or EVER)
        self.reader.__enter__()
        try:
            self.topics = self.reader.choose_topics(options.thermal_topic, options.rgb_topic)
        except BaseException:
            self.reader.close()
            raise
        self.names: dict[CameraName, str] = {"thermal": self.topics.thermal, "rgb": self.topics.rgb}
        self.note = self.topics.note or f"thermal: {self.topics.thermal}, RGB: {self.topics.rgb}"
        self.skipped: Counter[str] = self.reader.skipped
        self.skip_reasons = self.reader.skip_reasons
        self.each_message: Callable[[BagTopic, int, memoryview], None] | None = None
        self.others: dict[str, Callable[[Any], object]] = {}

    @property
    def paths(self) -> Sequence[Path]:
        """The storage files, and the folders that they lie in."""
        return [*self.reader.files, *(file.resolve().parent for file in self.reader.files)]

    @property
    def expected(self) -> int | None:
        """See Source."""
        counts = self.reader.message_counts
        return min(counts[name] for name in self.names.values()) if counts else None

    @property
    def rate_hz(self) -> float | None:
        """See Source."""
        start_ns, end_ns = self.reader.start_ns, self.reader.end_ns
        if not self.expected or start_ns is None or end_ns is None or end_ns <= start_ns:
            return None
        return min(_MAX_RATE_HZ, max(_MIN_RATE_HZ, self.expected / ((end_ns - start_ns) / 1e9)))

    @property
    def losses(self) -> list[str]:
        """See Source."""
        return self.reader.losses

    def frames(self) -> Iterator[tuple[CameraName, Frame]]:
        """See Source."""
        return self.reader.frames(self.topics, self.each_message, self.others, self._thermal_encoding)

    def close(self) -> None:
        """See Source."""
        self.reader.close()
