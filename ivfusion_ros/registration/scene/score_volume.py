"""How alike two images' features are at each place, for each small shift."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import Floats, Floats32, Size

_MIN_COVER = 0.3


@dataclass(frozen=True, eq=False)
class ScoreVolume:
    """Similarity of the moving image around each cell with the fixed image, shifted.

    scores: (2R + 1, 2R + 1, h, w) float32 in [-1, 1] for a shift of -R..R px down and across.
    cover: (h, w) float32 in [0, 1], share of the cell's window where the moving image has content.
    cell_px: side of a cell; that of row i and column j has its centre at ((j + 0.5) cell_px - 0.5, ...).
    """

    scores: Floats32
    cover: Floats32
    cell_px: int

    @property
    def reach(self) -> int:
        """R, the largest shift along an axis, pixels."""
        return int(self.scores.shape[0]) // 2

    def centres(self) -> Floats:
        """(h w, 2) x and y of the cells' centres in pixels."""
        rows, columns = self.cover.shape
        x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
        return np.asarray(np.stack([x.ravel(), y.ravel()], axis=1) * self.cell_px - 0.5, np.float64)

    def best_shifts(self) -> tuple[Floats, Floats, Floats]:
        """The best shift of each cell, (h w, 2) px, x first; its score; its lead over the median score."""
        best = self.scores.reshape(self.scores.shape[0] ** 2, -1).argmax(axis=0)
        down, across = np.divmod(best, self.scores.shape[0])
        shifts = np.stack([across, down], axis=1).astype(np.float64) - self.reach
        return shifts, *self._peaks()

    def weights(self) -> Floats:
        """(h w,) how much each cell can tell: its best score times its lead, 0 where covered too little."""
        score, lead = self._peaks()
        cover = self.cover.ravel()
        return np.asarray(np.maximum(score, 0) * lead * cover * (cover > _MIN_COVER), np.float64)

    def _peaks(self) -> tuple[Floats, Floats]:
        """(h w,) the best score of each cell, and its lead over the median score."""
        flat = self.scores.reshape(self.scores.shape[0] ** 2, -1)
        score, count = flat.max(axis=0), len(flat)
        # Of an odd number of scores; np.median along the first axis takes several times as long.
        middle = np.partition(np.ascontiguousarray(flat.T), count // 2, axis=1)[:, count // 2]
        return score.astype(np.float64), (score - middle).astype(np.float64)

    def at(self, shifts: Floats) -> Floats:
        """Scores (h w,) at shifts (h w, 2) px, interpolated; beyond the reach, those at its border."""
        side = 2 * self.reach + 1
        place = np.clip(shifts + self.reach, 0, side - 1.001)
        low = place.astype(np.intp)
        (fx, fy), (x, y) = (place - low).T, low.T
        flat = self.scores.reshape(side, side, -1)
        cell = np.arange(flat.shape[2])
        above = flat[y, x, cell] * (1 - fx) + flat[y, x + 1, cell] * fx
        below = flat[y + 1, x, cell] * (1 - fx) + flat[y + 1, x + 1, cell] * fx
        return np.asarray(above * (1 - fy) + below * fy, np.float64)


def mean_volume(volumes: list[ScoreVolume]) -> ScoreVolume:
    """Volumes of several frames with the same geometry as one, each cell weighted by its cover."""
    if len(volumes) == 1:
        return volumes[0]
    cover = np.sum([volume.cover for volume in volumes], axis=0)
    scores = np.sum([volume.scores * volume.cover for volume in volumes], axis=0)
    return ScoreVolume(
        (scores / np.maximum(cover, 1e-3)).astype(np.float32),
        (cover / len(volumes)).astype(np.float32),
        volumes[0].cell_px,
    )


def score_volume(
    moving: Floats32,
    fixed: Floats32,
    content: Floats32,
    reach: int,
    cell_px: int,
    window_px: float,
    every: int = 1,
) -> ScoreVolume:
    """Normalised correlation of features (C, H, W) in Gaussian windows, for all shifts up to reach px.

    content: (H, W), 1 where the moving image has some. window_px: standard deviation of the window,
    a cell or more. every: which of a cell's rows are multiplied; at night, half of them tell less.
    """
    windows = _Windows((int(moving.shape[2]), int(moving.shape[1])), cell_px, window_px)
    products = windows.products(moving, fixed, reach, every)
    own = windows.means(np.einsum("chw,chw->hw", moving, moving))
    others = windows.means(np.einsum("chw,chw->hw", fixed, fixed) * content)
    # Windows with next to no edges would score by their noise.
    floor = np.float32(0.1 * own.mean() + 1e-6)
    energies = (own + floor) * (_shifted(others, reach, cell_px) + floor)
    scores = np.asarray(products / np.sqrt(energies), np.float32)
    return ScoreVolume(scores, windows.means(content), cell_px)


class _Windows:
    """Gaussian means around cells, by a matrix for rows and one for columns: quicker than small blurs."""

    def __init__(self, size: Size, cell_px: int, window_px: float) -> None:
        columns, rows = size[0] // cell_px, size[1] // cell_px
        self._cell_px, self._shape = cell_px, (rows, columns)
        self._down = _blur(rows, window_px / cell_px)
        across = np.repeat(_blur(columns, window_px / cell_px), cell_px, axis=0) / np.float32(cell_px)
        self._across = np.asarray(across, np.float32)

    def means(self, values: npt.NDArray[np.floating]) -> Floats32:
        """(H, W) -> (h, w) means around each cell."""
        rows = values[: self._shape[0] * self._cell_px].reshape(self._shape[0], self._cell_px, -1)
        return self._around(rows.mean(axis=1, dtype=np.float32))

    def products(self, moving: Floats32, fixed: Floats32, reach: int, every: int) -> Floats32:
        """(2R + 1, 2R + 1, h, w) means of the features' products for each shift."""
        side, (channels, height, width) = 2 * reach + 1, moving.shape
        padded = np.zeros((channels, height + 2 * reach, width + 2 * reach), np.float32)
        padded[:, reach : reach + height, reach : reach + width] = fixed
        rows = self._strips(padded, every)
        own, others = np.zeros((2, *rows.shape), np.float32)
        own[..., :width] = self._strips(moving, every)
        # All rows as one run, as wide as padded ones: a shift across is an offset in it, which is quick.
        own_run, run = (part.reshape(rows.shape[0] * rows.shape[1], -1) for part in (own, others))
        length = run.shape[1] - side + 1
        sums = np.empty((side, side, run.shape[1]), np.float32)
        for down in range(side):
            others[...] = self._strips(padded[:, down:], every)
            for across in range(side):
                shifted = run[:, across : across + length]
                np.einsum("cn,cn->n", own_run[:, :length], shifted, out=sums[down, across, :length])
        found = sums.reshape(side, side, *rows.shape[2:])[..., :width]
        return self._around(found) / np.float32(rows.shape[1])

    def _strips(self, features: Floats32, every: int) -> Floats32:
        """(C, H, W) -> (C, rows of a cell that count, h, W), a view."""
        rows, cell_px = self._shape[0], self._cell_px
        cells = features[:, : rows * cell_px].reshape(len(features), rows, cell_px, -1)
        return cells[:, :, ::every].transpose(0, 2, 1, 3)

    def _around(self, rows: Floats32) -> Floats32:
        """(..., h, W) means of a cell's rows -> (..., h, w)."""
        cropped = rows[..., : self._shape[1] * self._cell_px]
        return np.asarray(self._down.T @ (cropped @ self._across), np.float32)


@lru_cache(maxsize=32)
def _blur(count: int, spread: float) -> Floats32:
    """(count, count): what each cell of a row gives to the Gaussian mean around each; mirrored ends."""
    reach = int(4 * spread + 1)
    taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * spread**2))
    places = np.arange(count)[:, None] + np.arange(-reach, reach + 1)
    places = places % (2 * count)
    matrix = np.zeros((count, count))
    mirrored = np.where(places >= count, 2 * count - 1 - places, places)
    np.add.at(matrix, (mirrored, np.arange(count)[:, None]), taps / taps.sum())
    return matrix.astype(np.float32)


def _shifted(values: Floats32, reach: int, cell_px: int) -> Floats32:
    """(2R + 1, 2R + 1, h, w): cells (h, w) seen from each shift away; smooth, so linear will do."""
    down, across = (_steps(count, reach, cell_px) for count in values.shape)
    return np.asarray((down @ values)[:, None] @ across.transpose(0, 2, 1), np.float32)


@lru_cache(maxsize=32)
def _steps(count: int, reach: int, cell_px: int) -> Floats32:
    """(2R + 1, count, count): interpolation at -R..R px from each of the cells, held at the ends."""
    places = np.arange(count) + np.arange(-reach, reach + 1)[:, None] / cell_px
    places = np.clip(places, 0, count - 1)
    weights = np.maximum(0, 1 - np.abs(places[:, :, None] - np.arange(count)))
    return np.asarray(weights, np.float32)
