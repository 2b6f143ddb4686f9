"""Pairs of a recording: bags, films, folders or a data set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.sources import SourceOptions, open_source
from ivfusion_ros.sources.pairs import pairs_in_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ivfusion_ros.sources import Source
    from ivfusion_ros.types import FramePair


class Recording:
    """The pairs of a source, in order of their RGB stamps; close it when done, or use `with`.

    source: what is read; its `note` says what was chosen, `skipped` and `losses` what could not be used.
    """

    def __init__(self, source: Source, pairing: PairingConfig) -> None:
        self.source = source
        self._pairing = pairing

    def __iter__(self) -> Iterator[FramePair]:
        """All pairs, once. Raises IvfusionError."""
        return pairs_in_time(self.source, self._pairing)

    def close(self) -> None:
        """Let go of the files."""
        self.source.close()

    def __enter__(self) -> Recording:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def open(  # noqa: A001
    *paths: str | Path, options: SourceOptions | None = None, pairing: PairingConfig | None = None
) -> Recording:
    """A recording: bags, two films or folders (thermal first), or the folder of a data set.

    options: topics, rates, stamps. pairing: which frames belong together. Raises IvfusionError where the
    paths are none of these.
    """
    source = open_source([Path(path) for path in paths], options)
    return Recording(source, pairing or PairingConfig())
