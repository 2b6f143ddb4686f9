"""Deadline: the detector rests on some frames while the machine is too slow for its budget."""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import DeadlineConfig

MAX_STRIDE = 4
"""A detector that runs less often than this is of no use to a tracker."""

BACK_BELOW = 0.9
"""Share of the budget that the next shorter stride must be expected to need before it is taken: without
this margin the pipeline would go back and forth."""

_REMEMBERED = 15
"""Frames of which the median is taken."""


class Deadline:
    """Chooses on which frames the detector runs: each, every second or every fourth one.

    The cost of a frame is the median time of everything else plus the detector's median time over the
    stride, each of the newest frames, so that a hiccup changes nothing. A budget of 0 switches it off.
    """

    def __init__(self, config: DeadlineConfig) -> None:
        self.stride = 1
        """the detector runs on every stride-th frame"""
        self._config = config
        self.reset()

    def set_config(self, config: DeadlineConfig) -> None:
        """Take over live parameters."""
        self._config = config
        if not config.budget_ms:
            self.stride = 1

    def reset(self) -> None:
        """Detect on the next frame, and measure from the start; the stride stays, as the machine does."""
        self._others_ms: deque[float] = deque([0.0], _REMEMBERED)
        self._detect_ms: deque[float] = deque([0.0], _REMEMBERED)
        self._rested = MAX_STRIDE
        self._unfit_ms = 0.0

    @property
    def detects(self) -> bool:
        """Whether the detector runs on the coming frame."""
        return self._rested + 1 >= self.stride

    @property
    def cost_ms(self) -> float:
        """Usual time per frame at the present stride, ms."""
        return self._cost_ms(self.stride)

    def update(self, total_ms: float, detect_ms: float | None) -> None:
        """Learn from a frame: total_ms in all, detect_ms of it in the detector, None where it rested."""
        self._rested = self._rested + 1 if detect_ms is None else 0
        config = self._config
        if not config.budget_ms:
            return
        self._others_ms.append(total_ms - (detect_ms or 0.0))
        if detect_ms is not None:
            self._detect_ms.append(detect_ms)
        wanted = self._wanted_stride()
        # The time that frames take is the clock: a replay has no other.
        self._unfit_ms = 0.0 if wanted == self.stride else self._unfit_ms + total_ms
        if self._unfit_ms >= config.patience_s * 1e3:
            self.stride, self._unfit_ms = wanted, 0.0

    def _wanted_stride(self) -> int:
        budget = self._config.budget_ms
        if self.cost_ms > budget:
            return min(2 * self.stride, MAX_STRIDE)
        if self.stride > 1 and self._cost_ms(self.stride // 2) < BACK_BELOW * budget:
            return self.stride // 2
        return self.stride

    def _cost_ms(self, stride: int) -> float:
        return median(self._others_ms) + median(self._detect_ms) / stride
