"""What sends frames, and what a user says about it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.declared import MAX_PIXELS

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Collection, Iterator, Sequence

    from ivfusion_ros.types import CameraName, Frame


class OnSkip(Protocol):
    """Takes the name of what could not be used, why, and how many images that are."""

    def __call__(self, name: str, error: Exception, count: int = 1, /) -> None:
        """See above."""


def _ignore(name: str, error: Exception, count: int = 1, /) -> None:
    """Nobody asked."""


@dataclass(frozen=True)
class SourceOptions:
    """What a user says about a source; None where it is to be found out.

    thermal_topic, rgb_topic: of bags. rate_hz: of films and folders. stamps: of folders, see stamps.py.
    thermal_stamps, rgb_stamps: text files with the stamps of a film or folder. max_pixels: of an image.
    thermal_encoding: what raw thermal images of bags and films really are, '' for what they say.
    between: log times in ns of a bag's messages that are read, both included; None for all.
    """

    thermal_topic: str | None = None
    rgb_topic: str | None = None
    rate_hz: float | None = None
    stamps: str = "auto"
    thermal_stamps: Path | None = None
    rgb_stamps: Path | None = None
    max_pixels: int = MAX_PIXELS
    thermal_encoding: str = ""
    between: tuple[int, int] | None = None
    on_skip: OnSkip = _ignore

    @property
    def names_times(self) -> bool:
        """Whether the user says how images that are files have times."""
        return self.stamps != "auto" or None not in (self.thermal_stamps, self.rgb_stamps)

    def refuse_unused(self, used: Collection[str], what: str) -> None:
        """Raises ConfigError where something is given that a source does not use.

        used: names of the fields that it takes. what: the source, for people.
        """
        for name in ("thermal_topic", "rgb_topic", "rate_hz", "stamps", "thermal_stamps", "rgb_stamps"):
            if name not in used and getattr(self, name) != getattr(SourceOptions, name):
                option = name.removesuffix("_hz").replace("_", "-")
                raise ConfigError(f"--{option} does nothing for {what}; leave it out")


class Source(Protocol):
    """Frames of a thermal and an RGB camera with stamps, in order of arrival.

    paths: what is read, of which no output may be one. names: of the cameras, to people. note: what was
    chosen and why. expected: most pairs that can come. rate_hz: of these, about. None where not known.
    losses, skipped, skip_reasons: what could not be read, and frames that could not be used, by name of the
    camera; complete after reading.
    """

    names: dict[CameraName, str]
    note: str
    skipped: Counter[str]
    skip_reasons: dict[str, str]

    @property
    def paths(self) -> Sequence[Path]:
        """See above."""

    @property
    def expected(self) -> int | None:
        """See above."""

    @property
    def rate_hz(self) -> float | None:
        """See above."""

    @property
    def losses(self) -> list[str]:
        """See above."""

    def frames(self) -> Iterator[tuple[CameraName, Frame]]:
        """All frames, once. Raises IvfusionError."""

    def close(self) -> None:
        """Let go of the files."""
