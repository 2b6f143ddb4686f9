"""Whether this run is slower than an earlier one: ratios with their intervals, on machines that are noisy.

Two runs on one machine differ by tens of percent for reasons that have nothing to do with the code. So
each run times a yardstick that the code has no part in, between its candidates; a candidate's time in
yardsticks is what is compared. Intervals are of the percentile bootstrap over rounds (Efron, "Bootstrap
methods", 1979).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ivfusion_ros.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

YARDSTICK = "yardstick"
"""Name of the row that is no candidate."""
TIMES = "times_ms"
"""Key of a row's times, one per round."""
_DRAWS = 2000
_SIDE = 512


@dataclass(frozen=True)
class Ratio:
    """Time now over time then, in yardsticks, with its interval of 95%."""

    ratio: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """slower, faster, or the same as far as can be told."""
        if self.low > 1.0:
            return "slower"
        return "faster" if self.high < 1.0 else "no difference seen"


def yardstick() -> Callable[[], object]:
    """Work of a fixed size for OpenCV and NumPy: products, a blur, memory."""
    random = np.random.default_rng(0)
    left, right = random.random((2, _SIDE, _SIDE), np.float32)

    def run() -> object:
        return cv2.GaussianBlur(left @ right, (0, 0), 2.0)

    return run


def compare(now: Mapping[str, Any], then: Mapping[str, Any]) -> dict[str, Ratio]:
    """Ratio of each row that both runs have. now, then: rows of a table, by name, with TIMES.

    Raises DataError where the yardstick is missing or no row is in both.
    """
    if not all(YARDSTICK in rows for rows in (now, then)):
        raise DataError(
            "the baseline has no times of the yardstick; make it anew: ivfusion bench --json BASELINE.json"
        )
    names = [name for name in now if name in then and name != YARDSTICK]
    if not names:
        raise DataError(
            f"the baseline has {', '.join(map(repr, then))}, this run {', '.join(map(repr, now))}: none is "
            "in both; take the same models, backends and threads"
        )
    return {name: _ratio(now, then, name) for name in names}


def _ratio(now: Mapping[str, Any], then: Mapping[str, Any], name: str) -> Ratio:
    draws = np.random.default_rng(0)
    drawn = _in_yardsticks(now, name, draws) / _in_yardsticks(then, name, draws)
    low, high = np.quantile(drawn[1:], (0.025, 0.975))
    return Ratio(float(drawn[0]), float(low), float(high))


def _in_yardsticks(rows: Mapping[str, Any], name: str, draws: np.random.Generator) -> Floats:
    """A row's median over the yardstick's, of the rounds as they are and of _DRAWS samples of them."""
    times, units = (_times(rows, key) for key in (name, YARDSTICK))
    count = min(len(times), len(units))
    # What disturbs a round disturbs both, so they are drawn together.
    rounds = np.vstack([np.arange(count), draws.integers(0, count, (_DRAWS, count))])
    return np.asarray(np.median(times[rounds], axis=1) / np.median(units[rounds], axis=1), np.float64)


def _times(rows: Mapping[str, Any], name: str) -> Floats:
    try:
        times = np.asarray(rows[name][TIMES], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"the baseline's row {name!r} has no list {TIMES}; make it anew") from error
    if times.ndim != 1 or not times.size or not np.all(np.isfinite(times) & (times > 0)):
        raise DataError(f"the baseline's row {name!r} has other {TIMES} than times; make it anew")
    return times
