"""Grey pixels of 10, 12 or 14 bits that share bytes -> (H, W) uint16 counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Packing:
    """bits: of a pixel. pixels: in a group, which begins on a byte.

    split: None where the bits of a group follow each other from the lowest on. Otherwise a pixel has a byte
    of its upper eight bits, and shares the byte number `split` of the group for the rest, the first pixel
    in its lower half.
    """

    bits: int
    pixels: int
    split: int | None = None

    @property
    def group_bytes(self) -> int:
        """Of all pixels of a group."""
        return -(-self.pixels * self.bits // 8) if self.split is None else self.pixels + 1

    def row_bytes(self, width: int) -> int:
        """Of a row, the last group of which may be incomplete."""
        if self.split is None:
            return -(-width * self.bits // 8)
        groups, rest = divmod(width, self.pixels)
        return groups * self.group_bytes + (rest + 1 if rest else 0)


PACKINGS = {
    # Names of GenICam's pixel format naming convention; with "packed", those of GigE Vision before it.
    "mono10p": Packing(10, 4),
    "mono12p": Packing(12, 2),
    "mono14p": Packing(14, 4),
    "mono10packed": Packing(10, 2, split=1),
    "mono12packed": Packing(12, 2, split=1),
}


def unpack(rows: npt.NDArray[np.uint8], name: str, width: int) -> npt.NDArray[np.uint16]:
    """(H, bytes) rows of a packing -> (H, width) counts."""
    packing = PACKINGS[name]
    groups = -(-width // packing.pixels)
    short = groups * packing.group_bytes - rows.shape[1]
    whole = np.pad(rows, ((0, 0), (0, short))) if short else rows
    octets = whole.reshape(len(rows), groups, packing.group_bytes).astype(np.uint32)
    read = _consecutive if packing.split is None else _split
    pixels = [read(octets, packing, index) for index in range(packing.pixels)]
    return np.stack(pixels, axis=2).reshape(len(rows), -1)[:, :width].astype(np.uint16)


def _consecutive(octets: npt.NDArray[Any], packing: Packing, index: int) -> npt.NDArray[Any]:
    first, shift = divmod(index * packing.bits, 8)
    last = -(-(index + 1) * packing.bits // 8)
    value = sum(octets[..., place] << (8 * (place - first)) for place in range(first, last))
    return np.asarray(value) >> shift & (1 << packing.bits) - 1


def _split(octets: npt.NDArray[Any], packing: Packing, index: int) -> npt.NDArray[Any]:
    rest = packing.bits - 8
    own = octets[..., index + (index >= (packing.split or 0))]
    shared = octets[..., packing.split]
    return own << rest | (shared >> 4 * index & (1 << rest) - 1)
