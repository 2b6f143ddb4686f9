"""Callbacks that can wait a little, kept out of the executor's way while images come.

rclpy's executor goes through all that it may wait for, several times an image and each time anew; half of
that is QoS events, of which there are two per output.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import CallbackGroup

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

PERIOD_S, OPEN_S = 0.1, 0.02
"""At most so long after it looked, and for so long, the executor looks again."""


class SeldomGroup(CallbackGroup):
    """The node's default group, of which the executor sees these callbacks only now and then.

    at_once: while it says so, it sees them always. An executor that begins to wait just after it looked
    looks again when something wakes it, as the node's timers do once a second.
    """

    def __init__(self, node: Node, at_once: Callable[[], bool]) -> None:
        super().__init__()
        self._default = node.default_callback_group
        self._at_once = at_once
        self._opened_s = -PERIOD_S

    def add_entity(self, entity: Any) -> None:
        """Take a callback's owner."""
        super().add_entity(entity)
        self._default.add_entity(entity)

    def can_execute(self, entity: Any) -> bool:
        """Whether it is this callback's turn."""
        return self._is_open() and bool(self._default.can_execute(entity))

    def _is_open(self) -> bool:
        now_s = time.monotonic()
        # By the time since then, not by a clock's phase, which a timer could miss for ever.
        if now_s - self._opened_s >= PERIOD_S:
            self._opened_s = now_s
        return now_s - self._opened_s < OPEN_S or self._at_once()

    def beginning_execution(self, entity: Any) -> bool:
        """Whether the callback may begin."""
        return bool(self._default.beginning_execution(entity))

    def ending_execution(self, entity: Any) -> None:
        """The callback is done."""
        self._default.ending_execution(entity)
