"""Errors that a user can fix. Each message says what was found, what was expected, what to do.

The CLI prints such an error as one paragraph, without a traceback, and exits with its `exit_code`;
the ROS node logs it. Any other exception is a defect of this package.
"""

from __future__ import annotations

import difflib
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

INTERRUPTED = 130
"""The exit status after Ctrl-C."""


class IvfusionError(Exception):
    """Base of all errors caused by input, configuration or environment."""

    exit_code = 1


class ConfigError(IvfusionError):
    """A configuration file, parameter or calibration is wrong."""

    exit_code = 2


class ImageError(IvfusionError):
    """An image cannot be decoded or has a shape or dtype that does not fit."""

    exit_code = 3


class BagError(IvfusionError):
    """A bag cannot be read or written, or lacks what was asked of it."""

    exit_code = 4


class ModelError(IvfusionError):
    """A model file is missing, damaged, or does not obey its graph contract."""

    exit_code = 5


class BackendError(IvfusionError):
    """An inference backend is not installed or cannot run a model."""

    exit_code = 6


class DeviceLostError(BackendError):
    """The GPU failed in a way that this process cannot recover from; a new process can."""


class DataError(IvfusionError):
    """A data folder does not hold what training or evaluation needs."""

    exit_code = 7


def forget_frames(error: BaseException | None) -> None:
    """Let go of the frames that an error passed, once it has been told.

    They hold the images that failed, and often the error again, so that these would wait for a full
    collection of garbage: gigabytes where each image of a camera fails.
    """
    while error is not None:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__


def no_folder(path: Path, what: str = "") -> DataError:
    """What to raise where a folder was expected. what: that it should hold, for people; "" if plain."""
    found = f"{path} is a file, expected a folder" if path.exists() else f"there is no folder {path}"
    return DataError(f"{found} {what}".rstrip())


@contextmanager
def refusing(kind: type[IvfusionError], what: str, expected: str) -> Iterator[None]:
    """Around a parser: whatever it raises becomes a `kind` that names `what` and what was expected.

    Parsers of damaged input raise far more kinds than their pages say. Errors of this package pass.
    """
    try:
        yield
    except IvfusionError:
        raise
    except OSError as error:
        raise kind(f"cannot read {what}: {error.strerror or error}; expected {expected}") from error
    except Exception as error:
        said = " ".join(str(error).split())[:200]
        reason = f"{type(error).__name__}: {said}" if said else type(error).__name__
        raise kind(f"{what} cannot be read ({reason}), expected {expected}") from error


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A question for the name that is closest, with a space at its end; empty where none is close."""
    close = difflib.get_close_matches(name, list(known), 1, 0.6)
    return f"did you mean {close[0]}? " if close else ""
