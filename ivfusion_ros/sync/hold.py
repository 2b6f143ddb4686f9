"""Which thermal frame an RGB frame gets where one may serve several RGB frames.

A slow thermal camera then does not hold a fast RGB camera back. An RGB frame gets the nearer of its two
neighbours, the later one only within the largest skew; the earlier one up to the age that is allowed. It
is decided at once where no thermal frame can follow that would be the better one, by the thermal camera's
period, else when the next one is there. So what comes out follows from the stamps alone.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.sync.order import Settled


class Step(Enum):
    """What becomes of the earliest RGB frame and the earliest thermal frame."""

    PAIR = auto()
    NEXT = auto()
    """the thermal frame makes way for the one that follows it"""
    NO_PARTNER = auto()
    """the RGB frame has none"""
    WAIT = auto()


def next_step(
    thermals: Sequence[Settled], age_ns: int, max_skew_ns: int, hold_ns: int, *, ended: bool
) -> Step:
    """Decide by the thermal frames that are there, at least one.

    age_ns: of the first one, at the RGB frame. ended: no other is waited for.
    """
    first = thermals[0]
    if age_ns <= 0:
        return Step.PAIR if -age_ns <= max_skew_ns else Step.NO_PARTNER
    follows = len(thermals) > 1 and thermals[1].era == first.era
    if not _is_certain(first, age_ns, max_skew_ns):
        if follows:
            ahead_ns = thermals[1].stamp_ns - first.stamp_ns - age_ns
            if ahead_ns <= 0 or ahead_ns <= min(max_skew_ns, age_ns - 1):
                return Step.NEXT
        elif len(thermals) == 1 and not ended:
            return Step.WAIT
    return Step.PAIR if age_ns <= max(hold_ns, max_skew_ns) else Step.NO_PARTNER


def _is_certain(first: Settled, age_ns: int, max_skew_ns: int) -> bool:
    """Whether the next thermal frame will be farther from the RGB frame, or too far, whenever it comes."""
    if first.period_ns is None:
        return False
    due_ns = 15 * first.period_ns // 16
    return 2 * age_ns <= due_ns or age_ns + max_skew_ns < due_ns
