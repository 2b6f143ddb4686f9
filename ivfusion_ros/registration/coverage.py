"""Coverage: which part of the reference camera's view the other camera sees, and what becomes of the rest.

A thermal camera with a narrower lens than the RGB camera leaves a border that is empty, not cold. A network
that takes it for cold darkens all of it, and brightens what lies within, since networks reckon with the
mean of the image. So the network gets a smooth continuation of what is seen, and of its output only that
part is taken, with a soft seam to the reference image.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.registration.luminance import luminance

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats32, Image, Size

_CELLS = 160
"""Along the image's longer side: what is seen is decided cell by cell, and all follows the image's size."""
SHOWN_ABOVE = 63
"""Of 255: interpolation makes the outermost row of pixels half of what it is, and a corner a quarter."""
_FEATHER_CELLS = 8.0
_TILE_CELLS = 4
_BITS, _HALF = np.uint16(8), np.uint16(128)

_FILL_CELLS = 80
_FILL_WINDOW = (21, 21)
_FILL_SIGMA_CELLS, _FILL_OF_MEAN = 4.0, 0.05
"""How far around a place the continuation looks, and the weight of the whole seen part's mean in it."""

Weights = npt.NDArray[np.uint16]

Place = tuple[slice, slice]
"""Rows and columns of an image as (H, 3 W) values."""


class Seam(NamedTuple):
    """A piece in which both images count: its weights of them, 0 to 256, and memory for two products."""

    place: Place
    of_fused: Weights
    of_reference: Weights
    scratch: tuple[Weights, Weights]


class Coverage:
    """For one mask of what is seen. Not for several threads.

    share: of the picture, in [0, 1].
    """

    def __init__(self, shown: Image, cells: Image) -> None:
        """shown, cells: as in coverage_of, 1 for cells that are seen."""
        height, width = shown.shape
        self.share = float(cells.mean())
        self._size: Size = (width, height)
        # A cell beside an unseen one gets nothing of the network either: some of its pixels may be unseen.
        ramp = np.clip((cv2.distanceTransform(cells, cv2.DIST_L2, 5) - 1) / _FEATHER_CELLS, 0, 1)
        smooth = np.asarray(ramp * ramp * (3 - 2 * ramp) * 255 + 0.5, np.uint8)
        self._inside, self._seams = _pieces(smooth, self._size)
        self._full = _above(shown, 254)
        self._fill_size = _grid(self._size, _FILL_CELLS)
        inner = cv2.resize(self._full, self._fill_size, interpolation=cv2.INTER_AREA) == 255
        self._inner = inner.astype(np.uint8)
        self._inverse_density = 1 / (_smoothed(inner.astype(np.float32)) + _FILL_OF_MEAN)

    def filled(self, warped: Image) -> Image:
        """The warped image, (H, W) or (H, W, 3) uint8, continued smoothly, in grey, where it is unseen."""
        # Every few rows tell enough, and reading all of them would take as long as all the rest.
        step = max(1, self._size[1] // (2 * self._fill_size[1]))
        few = np.asarray(
            cv2.resize(warped[::step], self._fill_size, interpolation=cv2.INTER_AREA), np.uint8
        )
        small = luminance(few)
        mean = np.float32(cv2.mean(small, self._inner)[0])
        near = _smoothed((small - mean) * self._inner) * self._inverse_density + mean
        whole = cv2.resize(near.round().astype(np.uint8), self._size, interpolation=cv2.INTER_LINEAR)
        if warped.ndim == 3:
            whole = cv2.cvtColor(whole, cv2.COLOR_GRAY2RGB)
        return np.asarray(cv2.copyTo(warped, self._full, whole), np.uint8)

    def feathered(self, fused: Image, reference: Image) -> Image:
        """(H, W, 3) uint8: fused where the camera sees something, else reference, a soft seam between."""
        joined = reference.copy()
        ours, others, both = (image.reshape(len(image), -1) for image in (fused, reference, joined))
        for place in self._inside:
            both[place] = ours[place]
        # Plain 16-bit sums take a third of the CPU time of cv2.blendLinear.
        for place, of_fused, of_reference, (total, product) in self._seams:
            np.multiply(ours[place], of_fused, out=total)
            np.multiply(others[place], of_reference, out=product)
            total += product
            total += _HALF
            total >>= _BITS
            both[place] = total
        return joined


def coverage_of(shown: Image) -> Coverage | None:
    """The coverage of a mask, (H, W) uint8, 255 where a warped image has pixels; None where all is seen.

    A strip that is narrower than half a cell, three pixels in 1000, counts as seen.
    """
    seen = _above(shown, SHOWN_ABOVE)
    size = _grid((shown.shape[1], shown.shape[0]), _CELLS)
    cells = (cv2.resize(seen, size, interpolation=cv2.INTER_AREA) >= 128).astype(np.uint8)
    return None if cells.all() else Coverage(shown, cells)


def _grid(size: Size, cells: int) -> Size:
    """A smaller size of the same aspect ratio whose longer side has at most so many cells."""
    factor = max(1.0, max(size) / cells)
    return max(1, round(size[0] / factor)), max(1, round(size[1] / factor))


def _above(mask: Image, limit: int) -> Image:
    """255 where a mask is above the limit, else 0."""
    return np.asarray(cv2.threshold(mask, limit, 255, cv2.THRESH_BINARY)[1], np.uint8)


def _smoothed(cells: Floats32) -> Floats32:
    return np.asarray(cv2.GaussianBlur(cells, _FILL_WINDOW, _FILL_SIGMA_CELLS), np.float32)


def _pieces(ramp: Image, size: Size) -> tuple[list[Place], list[Seam]]:
    """The pieces of an image where only the fused one counts, and those where both do; the latter last.

    ramp: (h, w) uint8, weights of the fused image cell by cell; between cells they are interpolated.
    """
    weights = np.asarray(cv2.resize(ramp, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    # A pixel near the border of a cell has a share of the next one.
    between = ((ramp > 0) & (ramp < 255)).astype(np.uint8)
    partly = np.asarray(cv2.dilate(between, np.ones((3, 3), np.uint8)), np.uint8)
    seams = [_seam(weights, *place) for place in _places(partly, _tiled(partly, np.maximum), size)]
    whole = _tiled((ramp == 255).astype(np.uint8), np.minimum)
    return [_values(*place) for place in _places(ramp, whole, size)], seams


def _tiled(cells: Image, over: np.ufunc) -> Image:
    """A reduction of (h, w) cells over the tiles."""
    starts = [np.arange(0, side, _TILE_CELLS) for side in cells.shape]
    return np.asarray(over.reduceat(over.reduceat(cells, starts[0], 0), starts[1], 1), np.uint8)


def _places(cells: Image, tiles: Image, size: Size) -> list[Place]:
    """Rows and columns of pixels that cover the tiles of 1 in a grid of (h, w) cells; a little more."""
    down, right = (
        _TILE_CELLS * large / small for large, small in zip(size[::-1], cells.shape, strict=True)
    )
    return [
        (
            slice(math.floor(rows[0] * down), min(math.ceil(rows[1] * down), size[1])),
            slice(math.floor(columns[0] * right), min(math.ceil(columns[1] * right), size[0])),
        )
        for rows, columns in _rectangles(tiles)
    ]


def _values(rows: slice, columns: slice) -> Place:
    return rows, slice(3 * columns.start, 3 * columns.stop)


def _seam(weights: Image, rows: slice, columns: slice) -> Seam:
    of_fused = np.repeat(weights[rows, columns], 3, axis=1).astype(np.uint16)
    of_fused += of_fused >= 128
    scratch = np.empty_like(of_fused), np.empty_like(of_fused)
    return Seam(_values(rows, columns), of_fused, 256 - of_fused, scratch)


def _rectangles(tiles: Image) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Rows and columns, from and to, of rectangles that hold all tiles of 1, each once, and none of 0."""
    steps = np.diff(tiles.astype(np.int8), axis=1, prepend=0, append=0)
    begins, ends = np.argwhere(steps == 1).tolist(), np.argwhere(steps == -1).tolist()
    found: list[tuple[list[int], tuple[int, int]]] = []
    newest: dict[tuple[int, int], list[int]] = {}
    for (row, left), (_, right) in zip(begins, ends, strict=True):
        rows = newest.get((left, right), [0, -1])
        if rows[1] == row:
            rows[1] = row + 1
        else:
            rows = newest[left, right] = [row, row + 1]
            found.append((rows, (left, right)))
    return [((rows[0], rows[1]), columns) for rows, columns in found]
