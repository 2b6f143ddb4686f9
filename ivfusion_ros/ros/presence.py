"""Whether this node itself runs: what came while it did not is no camera's fault."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

PERIOD_S = 0.2
"""From one look at the clock to the next."""
_LATE_S = 0.2
"""A look that is later than this was held up: the process was stopped, or the machine did other things."""
_KEPT_S = 10.0


class Presence:
    """Tells by its own looks at the clock for how long nobody looked.

    begin: called before the first look. look: called every PERIOD_S, and before what came is judged.
    on_return: called with the length of each absence, s, when it is over. returned_s: the end of the last
    one, by the clock. clock: seconds, steady.
    """

    def __init__(
        self, on_return: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_return = on_return
        self._clock = clock
        self._looked_s = self.returned_s = clock()
        self._absences: deque[tuple[float, float]] = deque()

    def begin(self) -> None:
        """Start to look; what was before is no absence."""
        self._looked_s = self._clock()

    def look(self) -> None:
        """Note that the node runs."""
        now_s = self._clock()
        late_s = now_s - self._looked_s - PERIOD_S
        self._looked_s = now_s
        if late_s <= _LATE_S:
            return
        self.returned_s = now_s
        self._absences.append((now_s, late_s))
        while now_s - self._absences[0][0] > _KEPT_S:
            self._absences.popleft()
        self._on_return(late_s)

    def absent_s(self, window_s: float) -> float:
        """For how much of the last seconds, 10 at most, nobody looked."""
        begin_s = self._clock() - window_s
        return sum(min(late_s, end_s - begin_s) for end_s, late_s in self._absences if end_s > begin_s)
