"""How alike two images' features are at each place, for each small shift."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import Floats, Floats32

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
        flat = self.scores.reshape(self.scores.shape[0] ** 2, -1)
        best = flat.argmax(axis=0)
        score = flat.max(axis=0)
        down, across = np.divmod(best, self.scores.shape[0])
        shifts = np.stack([across, down], axis=1).astype(np.float64) - self.reach
        lead = score - np.median(flat, axis=0)
        return shifts, score.astype(np.float64), lead.astype(np.float64)

    def weights(self) -> Floats:
        """(h w,) how much each cell can tell: its best score times its lead, 0 where covered too little."""
        _, score, lead = self.best_shifts()
        cover = self.cover.ravel()
        return np.asarray(np.maximum(score, 0) * lead * cover * (cover > _MIN_COVER), np.float64)

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
    cover = np.sum([volume.cover for volume in volumes], axis=0)
    scores = np.sum([volume.scores * volume.cover for volume in volumes], axis=0)
    return ScoreVolume(
        (scores / np.maximum(cover, 1e-3)).astype(np.float32),
        (cover / len(volumes)).astype(np.float32),
        volumes[0].cell_px,
    )


def score_volume(
    moving: Floats32, fixed: Floats32, content: Floats32, reach: int, cell_px: int, window_px: float
) -> ScoreVolume:
    """Normalised correlation of features (C, H, W) in Gaussian windows, for all shifts up to reach px.

    content: (H, W), 1 where the moving image has some. window_px: standard deviation of the window.
    """
    _, height, width = moving.shape
    rows, columns = height // cell_px, width // cell_px
    spread = window_px / cell_px

    def windowed(values: npt.NDArray[np.floating]) -> Floats32:
        cropped = values[: rows * cell_px, : columns * cell_px].astype(np.float32, copy=False)
        cells = cv2.resize(cropped, (columns, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(
            cv2.GaussianBlur(cells, (0, 0), spread, borderType=cv2.BORDER_REFLECT), np.float32
        )

    own = windowed(np.einsum("chw,chw->hw", moving, moving))
    # Windows with next to no edges would score by their noise.
    floor = np.float32(0.1 * own.mean() + 1e-6)
    padding = ((reach, reach), (reach, reach))
    others = np.pad(np.einsum("chw,chw->hw", fixed, fixed), padding)
    padded = np.pad(fixed, ((0, 0), *padding))
    side = 2 * reach + 1
    scores: Floats32 = np.empty((side, side, rows, columns), np.float32)
    for down in range(side):
        for across in range(side):
            region = np.s_[down : down + height, across : across + width]
            product = windowed(np.einsum("chw,chw->hw", moving, padded[:, region[0], region[1]]))
            other = windowed(others[region] * content)
            scores[down, across] = product / np.sqrt((own + floor) * (other + floor))
    return ScoreVolume(scores, windowed(content), cell_px)
