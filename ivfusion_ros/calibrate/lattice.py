"""Grids among points: grown from a point and two steps, and a board's place in what was grown."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import Floats

if TYPE_CHECKING:
    from collections.abc import Iterator

Cell = tuple[int, int]
Cells = npt.NDArray[np.int64]
"""(N, 2) whole steps along the two directions of a grid."""
Indices = npt.NDArray[np.int64]

_NEIGHBOURS = 6
_TOLERANCE = 0.35
_MIN_SINE = 0.35
_MIN_DIAGONAL = 0.8
_MOST_LOOKS = 8_000
_SIDES: tuple[Cell, ...] = ((1, 0), (-1, 0), (0, 1), (0, -1))
# A grid is the same one by other directions, such as along its diagonals: every short way to name it
# that does not mirror it.
_WAYS = [
    np.array(way).reshape(2, 2)
    for way in product((1, 0, -1), repeat=4)
    if way[0] * way[3] - way[1] * way[2] == 1
]


@dataclass(eq=False)
class GridSearch:
    """Grids of points (N, 2).

    like: (N, N) bool, which points may be neighbours. reach: (N,) the longest step from each, pixels.
    looks_left: how often points may still be compared with the place where the next one of a grid should
    lie; it bounds the time of a search in clutter.
    """

    points: Floats
    like: npt.NDArray[np.bool_]
    reach: Floats
    looks_left: int = _MOST_LOOKS

    def grids(self, least: int) -> Iterator[dict[Cell, int]]:
        """Grids of at least so many points: cell to index of the point.

        The second direction lies clockwise of the first in the image. A point in a grid starts no other.
        """
        taken: set[int] = set()
        for start in range(len(self.points)):
            if start not in taken:
                ways = (self._grow(start, *steps) for steps in self._steps_from(start))
                grown = max(ways, key=len, default={})
                if len(grown) >= least:
                    taken.update(grown.values())
                    yield grown

    def _steps_from(self, start: int) -> Iterator[tuple[Floats, Floats]]:
        """Pairs of steps to two neighbours of a point's kind, the shortest first."""
        steps = self.points - self.points[start]
        apart = np.where(self.like[start], np.linalg.norm(steps, axis=1), np.inf)
        apart[start] = np.inf
        near = [i for i in np.argsort(apart)[:_NEIGHBOURS] if apart[i] < self.reach[start]]
        for first, second in combinations(near, 2):
            u, v = steps[first], steps[second]
            sine = (u[0] * v[1] - u[1] * v[0]) / (apart[first] * apart[second])
            # Where a diagonal is clearly shorter than a step, it is itself a step.
            diagonal = min(np.linalg.norm(u + v), np.linalg.norm(u - v))
            if abs(sine) > _MIN_SINE and diagonal > _MIN_DIAGONAL * max(apart[first], apart[second]):
                yield (u, v) if sine > 0 else (v, u)

    def _grow(self, start: int, u: Floats, v: Floats) -> dict[Cell, int]:
        """What is reached step by step; a step is as the one before it, so the grid may bend."""
        cells, used = {(0, 0): start}, {start}
        steps = {(0, 0): np.stack([u, v])}
        queue = [(0, 0)]
        for cell in queue:
            for side in _SIDES:
                target = cell[0] + side[0], cell[1] + side[1]
                if target in cells:
                    continue
                axis, sign = (0, side[0]) if side[0] else (1, side[1])
                found = self._next(cells[cell], sign * steps[cell][axis])
                if found is None or found in used:
                    continue
                cells[target] = found
                used.add(found)
                steps[target] = steps[cell].copy()
                steps[target][axis] = sign * (self.points[found] - self.points[cells[cell]])
                queue.append(target)
        return cells

    def _next(self, here: int, step: Floats) -> int | None:
        """The point that lies a step away, if there is one of the same kind."""
        if self.looks_left <= 0:
            return None
        self.looks_left -= 1
        apart = np.linalg.norm(self.points - (self.points[here] + step), axis=1)
        nearest = int(np.where(self.like[here], apart, np.inf).argmin())
        return nearest if apart[nearest] < _TOLERANCE * np.linalg.norm(step) else None


def place(board: Cells, grown: dict[Cell, int], points: Floats, most_missing: int) -> Indices | None:
    """Which point of a grid is which of a board's cells (N, 2): (N,) indices, -1 for a missing one.

    points: (M, 2) pixels of all. None where the board fits nowhere, or at several places: then the grid
    is not that board. Of a board's symmetric orders, the most upright one in the image.
    """
    best: dict[frozenset[int], Indices] = {}
    fewest = most_missing
    for at in _placements(board, grown):
        missing = int(np.count_nonzero(at < 0))
        if missing > fewest:
            continue
        if missing < fewest:
            best, fewest = {}, missing
        same = frozenset(at.tolist())
        best[same] = max(best.get(same, at), at, key=lambda way: _uprightness(board, points, way))
    return next(iter(best.values())) if len(best) == 1 else None


def _placements(board: Cells, grown: dict[Cell, int]) -> Iterator[Indices]:
    cells = np.array(list(grown), np.int64)
    low = cells.min(axis=0)
    table = np.full(cells.max(axis=0) - low + 1, -1, np.int64)
    table[tuple((cells - low).T)] = list(grown.values())
    for way in _WAYS:
        turned = board @ way
        turned = turned - turned.min(axis=0)
        room = np.array(table.shape) - turned.max(axis=0)
        for shift in np.ndindex(*np.maximum(room, 0)):
            yield table[tuple((turned + shift).T)]


def _uprightness(board: Cells, points: Floats, at: Indices) -> float:
    seen = at >= 0
    pixels, cells = points[at[seen]], board[seen]
    return float(((pixels - pixels.mean(axis=0)) * (cells - cells.mean(axis=0))).sum())
