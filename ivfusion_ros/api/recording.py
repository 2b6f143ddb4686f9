"""Pairs of a recording: bags, films, folders or a data set."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.config.pipeline import PairingConfig
from ivfusion_ros.errors import DataError
from ivfusion_ros.sources.choice import open_source
from ivfusion_ros.sources.pairs import pairs_in_time
from ivfusion_ros.sources.source import SourceOptions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.types import FramePair

log = logging.getLogger(__name__)

_NAMED = 3
"""Most reasons that an error names."""


class Recording:
    """The pairs of a source, in order of their RGB stamps; close it when done, or use `with`.

    source: what is read; its `note` says what was chosen.
    """

    def __init__(self, source: Source, pairing: PairingConfig, skipped: list[str]) -> None:
        """skipped: gets a line for each image file that cannot be used, while it is read."""
        self.source = source
        self._pairing = pairing
        self._skipped = skipped

    def __iter__(self) -> Iterator[FramePair]:
        """All pairs, once; what cannot be read is logged. Raises IvfusionError, also without any pair."""
        found = False
        for pair in pairs_in_time(self.source, self._pairing):
            found = True
            yield pair
        lost = [*(self._skipped or self._skipped_messages()), *self.source.losses]
        if not found:
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            raise DataError(
                "; ".join(["no thermal frame was paired with an RGB frame", *lost[:_NAMED]]) + more
            )
        for reason in lost:
            log.warning("lost: %s", reason)

    def _skipped_messages(self) -> list[str]:
        reasons = self.source.skip_reasons
        return [
            f"{count} messages of {name}: {reasons[name]}" for name, count in self.source.skipped.items()
        ]

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
    given, skipped = options or SourceOptions(), list[str]()

    def note(name: str, error: Exception, count: int = 1, /) -> None:
        skipped.append(f"{name}: {error}")
        given.on_skip(name, error, count)

    source = open_source([Path(path) for path in paths], replace(given, on_skip=note))
    return Recording(source, pairing or PairingConfig(), skipped)
