"""Which of two frames in a row gets the partner that both could have.

Nearest first sounds right and loses pairs: with cameras half a period apart, jitter alone decides which
neighbour is nearer, and each change of mind costs a pair. Earliest first loses none, but may stay with the
farther neighbour for ever. So a pair has a price, three periods of skew, and a frame is given up for the
one that follows it, which is nearer to the partner,
- where that costs no pair: its camera is the faster one (7/8 of the other's period or less), or the other
  camera's next frame will be out of the following one's reach;
- where the following one is nearer by more than half a period;
- where what was lost by not giving up, in nearness, adds up to the price.
Before the periods are known, it is given up unless the following one is nearer still to the other camera's
next frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.sync.order import Settled

_PERIODS_PER_PAIR = 3


class PartnerChoice:
    """Decides for the two earliest frames of two cameras, whenever these are within the limit."""

    def __init__(self) -> None:
        self._regret_ns = 0
        """how much nearer the frames would have been for which none was given up; at least 0"""

    def gives_up(
        self,
        earlier: Sequence[Settled],
        later: Sequence[Settled],
        skew_ns: int,
        max_skew_ns: int,
        ended: bool,
    ) -> bool | None:
        """Whether the earlier of the two frames is given up; None: not known before more frames come.

        earlier, later: what waits of the camera that has the earlier frame, and of the other, whose first
        frame is skew_ns later, from 0 to max_skew_ns. ended: no frame follows.
        """
        first, partner = earlier[0], later[0]
        if skew_ns == 0 or (first.next_due_ns is not None and first.next_due_ns >= 2 * skew_ns):
            self._regret_ns = 0
            return False
        if len(earlier) < 2:
            return False if ended else None
        # A following frame of the next era lies further back than the first, so it is not nearer.
        past_partner_ns = earlier[1].stamp_ns - first.stamp_ns - skew_ns
        gain_ns = skew_ns - abs(past_partner_ns)
        period_ns = first.period_ns
        if gain_ns > 0 and (period_ns is None or partner.period_ns is None):
            return _is_nearest_to_following(later, past_partner_ns, ended)
        self._regret_ns = max(0, self._regret_ns + gain_ns)
        if gain_ns <= 0 or period_ns is None:
            return False
        given_up = (
            _costs_no_pair(period_ns, partner, past_partner_ns, max_skew_ns)
            or 2 * gain_ns > period_ns
            or self._regret_ns > _PERIODS_PER_PAIR * period_ns
        )
        if given_up:
            self._regret_ns = 0
        return given_up


def _costs_no_pair(period_ns: int, partner: Settled, past_partner_ns: int, max_skew_ns: int) -> bool:
    """Whether the following frame, past_partner_ns after the partner, would find no partner of its own."""
    if partner.period_ns is None or partner.next_due_ns is None:
        return False
    return 8 * period_ns <= 7 * partner.period_ns or partner.next_due_ns - past_partner_ns > max_skew_ns


def _is_nearest_to_following(later: Sequence[Settled], past_partner_ns: int, ended: bool) -> bool | None:
    """Whether the following frame, past_partner_ns after later's first, is not nearer to its second."""
    if len(later) < 2:
        return True if ended else None
    apart_ns = later[1].stamp_ns - later[0].stamp_ns
    return apart_ns <= 0 or abs(apart_ns - past_partner_ns) >= abs(past_partner_ns)
