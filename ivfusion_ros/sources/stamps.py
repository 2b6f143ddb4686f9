"""Stamps of images that carry none themselves: from their names, from a text file, or at a constant rate.

What the user says is `auto` (a text file beside the images, else names that are times of this century, else
a rate), `names`, or `names:UNIT`. The unit of numbers is the one that makes them times of this century; of
numbers that count from elsewhere, it is the one that makes them come at 0.5 to 500 a second.
"""

from __future__ import annotations

import logging
import re
import statistics
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.files import read_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

log = logging.getLogger(__name__)

UNITS_NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
WAYS = ("auto", "names", "rate")
EPOCH_S = (946_684_800, 4_102_444_800)
"""The years 2000 to 2100, seconds since 1970."""
MIN_PERIOD_S, MAX_PERIOD_S = 0.002, 2.0

MAX_BYTES = 2**28
_MAX_DIGITS = 20
"""Before the point of a stamp; in nanoseconds 2**63 has 19."""
_SECONDS_AND_PARTS = re.compile(r"(?<!\d)(\d{9,10})[_-](\d{6}|\d{9})$")
_LAST_NUMBER = re.compile(r"\d+(?:\.\d+)?(?=\D*$)")
_TOLD_UNIT = re.compile(r"(?:\[|_|\b)(ns|us|ms|s|sec|nsec|usec|msec)(?:\]|\b)", re.IGNORECASE)
_FILES = ("timestamps.csv", "timestamps.txt", "times.csv", "times.txt", "stamps.csv", "data.csv")


def stamps_of(
    images: Mapping[str, Path], folder: Path, how: str, file: Path | None
) -> dict[str, int] | None:
    """Stamp in ns by stem of the images of a folder; None where nothing tells it.

    how: as the user says it. file: named by the user. Raises DataError and ConfigError where what the
    user named does not tell it.
    """
    if file is not None:
        return read_stamps(file, list(images))
    word, _, unit = how.partition(":")
    if word not in WAYS or (unit and (unit not in UNITS_NS or word != "names")):
        raise ConfigError(
            f"--stamps is {how!r}, expected {', '.join(WAYS)} or names:UNIT, of {', '.join(UNITS_NS)}"
        )
    if word == "rate":
        return None
    found = _found_file(folder, list(images)) if word == "auto" else None
    found = _by_names(list(images), unit, epoch_only=word == "auto") if found is None else found
    if found is None and word == "names":
        raise DataError(
            f"the names of the images in {folder} are no stamps: expected a number at the end of each, for "
            "example 1700000000123456789.png, and its unit in --stamps names:UNIT where it is not plain"
        )
    return found


def _by_names(stems: Sequence[str], unit: str, *, epoch_only: bool) -> dict[str, int] | None:
    numbers = [number for number in map(_number, stems) if number is not None]
    found = unit or _unit(numbers, epoch_only=epoch_only)
    if found is None or len(numbers) < len(stems):
        return None
    return {stem: int(number * UNITS_NS[found]) for stem, number in zip(stems, numbers, strict=True)}


def read_stamps(file: Path, stems: Sequence[str]) -> dict[str, int]:
    """Stamp in ns by stem: a stamp and a name a line, or a stamp a line in the order of the images.

    Commas, semicolons and blanks separate; a head, and lines that begin with #, hold no stamps. Raises
    DataError.
    """
    table = _read_table(file)
    known = set(stems)
    named = {
        stem: value
        for row, value in zip(table.rows, table.values, strict=True)
        if (stem := next((_stem(word) for word in row if _stem(word) in known), None)) is not None
    }
    if not named and len(table.rows) == len(stems):
        named = dict(zip(stems, table.values, strict=True))
    if not named:
        raise DataError(
            f"{file} has {len(table.rows)} lines with numbers for {len(stems)} images, expected lines of a "
            "stamp and the name of an image, or a stamp for each image"
        )
    return dict(zip(named, _to_ns(list(named.values()), table.unit, file), strict=True))


def read_stamp_list(file: Path) -> list[int]:
    """The stamp of each line as ns, for the frames of a film. Raises DataError."""
    table = _read_table(file)
    if not table.rows:
        raise DataError(f"{file} has no stamps, expected a line for each frame")
    return _to_ns(table.values, table.unit, file)


class _Table(NamedTuple):
    """Lines with numbers as words, each one's stamp, and the unit that the head tells."""

    rows: list[list[str]]
    values: list[Decimal]
    unit: str | None


def _read_table(file: Path) -> _Table:
    try:
        text = read_bytes(file, MAX_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"cannot read {file}: {error.strerror or error}") from error
    lines = [re.split(r"[,;\s]+", line.strip()) for line in text.splitlines() if line.strip()]
    rows = [line for line in lines if not line[0].startswith("#") and any(map(_is_number, line))]
    numbers = [[value for word in row if (value := _decimal(word)) is not None] for row in rows]
    # A number in front of the times counts the images.
    columns = list(zip(*numbers, strict=False))
    times = next((column for column in columns if _unit(column, epoch_only=True)), None)
    values = list(times or (columns[0] if columns else ()))
    return _Table(rows, values, _told_unit(lines[0]) if lines else None)


def _is_number(word: str) -> bool:
    return _decimal(word) is not None


def _to_ns(values: Sequence[Decimal], told: str | None, file: Path) -> list[int]:
    unit = told or _unit(values, epoch_only=False)
    if unit is None:
        raise DataError(
            f"the unit of the stamps in {file} is not plain; write it into the first line: timestamp_ns, "
            "timestamp_us, timestamp_ms or timestamp_s"
        )
    return [int(value * UNITS_NS[unit]) for value in values]


def _found_file(folder: Path, stems: Sequence[str]) -> dict[str, int] | None:
    """By a usual text file in the folder or beside it."""
    beside = [folder.with_name(f"{folder.name}{suffix}") for suffix in (".csv", ".txt")]
    for file in [*(folder / name for name in _FILES), *beside]:
        if file.is_file():
            try:
                return read_stamps(file, stems)
            except DataError as error:
                log.warning("%s; it was left out, --stamps rate takes no file", error)
    return None


def _number(stem: str) -> Decimal | None:
    if parts := _SECONDS_AND_PARTS.search(stem):
        return Decimal(f"{parts[1]}.{parts[2]}")
    match = _LAST_NUMBER.search(stem)
    return Decimal(match[0]) if match else None


def _unit(numbers: Sequence[Decimal], *, epoch_only: bool) -> str | None:
    if not numbers:
        return None
    for unit, unit_ns in UNITS_NS.items():
        if all(EPOCH_S[0] <= number * unit_ns / UNITS_NS["s"] <= EPOCH_S[1] for number in numbers):
            return unit
    ordered = sorted(numbers)
    if epoch_only or len(ordered) < 2:
        return None
    period = statistics.median(float(after - before) for before, after in pairwise(ordered))
    return next(
        (unit for unit, ns in UNITS_NS.items() if MIN_PERIOD_S <= period * ns / 1e9 < MAX_PERIOD_S), None
    )


def _told_unit(head: Sequence[str]) -> str | None:
    """The unit that a table's head names, such as timestamp_ns or [ns]."""
    words = " ".join(head)
    if any(map(_is_number, head)):
        return None
    match = _TOLD_UNIT.search(words)
    return match[1].lower().removesuffix("ec") if match else None


def _decimal(word: str) -> Decimal | None:
    try:
        value = Decimal(word)
    except InvalidOperation:
        return None
    # abs() and products of a huge exponent raise.
    return value if value.is_finite() and value.adjusted() < _MAX_DIGITS else None


def _stem(word: str) -> str:
    name = word.replace("\\", "/").rsplit("/", 1)[-1]
    return name.rsplit(".", 1)[0] if not _decimal(name) and "." in name else name
