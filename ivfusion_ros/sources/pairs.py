"""Pairs of one moment, by time or by name, for whatever wants pairs and no stream."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.images.pairs import PairPaths, folders_with_images, images_by_stem
from ivfusion_ros.sync.clocks import ClockCheck
from ivfusion_ros.sync.pairing import READ_AHEAD, Pairer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ivfusion_ros.config.pipeline import PairingConfig
    from ivfusion_ros.sources.source import Source
    from ivfusion_ros.types import FramePair

log = logging.getLogger(__name__)

_NAMED = 5
"""Most images without a partner, or folders, that a message names."""


def pairs_of_equal_names(thermal_folder: Path, rgb_folder: Path) -> list[PairPaths]:
    """Images of the same name in two folders. Raises DataError where there are none."""
    thermal, rgb = (images_in(folder) for folder in (thermal_folder, rgb_folder))
    found = [PairPaths(path, rgb[stem], None) for stem, path in thermal.items() if stem in rgb]
    if not found:
        raise DataError(
            f"no image in {thermal_folder} has the name of one in {rgb_folder}; expected equal names for a "
            "pair; with --stamps names they are paired by time"
        )
    alone = sorted(thermal.keys() ^ rgb.keys())
    if alone:
        names = ", ".join(alone[:_NAMED]) + (", ..." if len(alone) > _NAMED else "")
        log.warning("left out, without a partner of the same name: %d (%s)", len(alone), names)
    return found


def images_in(folder: Path) -> dict[str, Path]:
    """Image files of a folder by stem, in natural order. Raises DataError when there are none."""
    found = images_by_stem(folder)
    if not found:
        below = ", ".join(folders_with_images(folder)[:_NAMED])
        hint = f"; folders in it do: {below}" if below else ""
        raise DataError(f"{folder} holds no images ({', '.join(SUFFIXES)}){hint}")
    return found


def pairs_in_time(source: Source, pairing: PairingConfig) -> Iterator[FramePair]:
    """All pairs, in order of RGB stamps; clocks that are apart are made up for. Raises IvfusionError."""
    pairer = Pairer(pairing, READ_AHEAD)

    def take_offset(offset_ns: int) -> None:
        pairer.set_config(replace(pairing, thermal_time_offset_ms=offset_ns / 1e6))

    clocks = ClockCheck(None if pairing.thermal_time_offset_ms else take_offset)
    for camera, frame in clocks.frames(source.frames()):
        yield from pairer.add(camera, frame)
    yield from pairer.flush()
