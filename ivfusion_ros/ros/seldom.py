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
"""Of each period, the part in which the executor looks."""


class SeldomGroup(CallbackGroup):
    """The node's default group, of which the executor sees these callbacks only now and then.

    at_once: while it says so, it sees them always. An executor that has nothing else to do may look again
    only with the next timer's turn, which is a second at most.
    """

    def __init__(self, node: Node, at_once: Callable[[], bool]) -> None:
        super().__init__()
        self._default = node.default_callback_group
        self._at_once = at_once

    def add_entity(self, entity: Any) -> None:
        """Take a callback's owner."""
        super().add_entity(entity)
        self._default.add_entity(entity)

    def can_execute(self, entity: Any) -> bool:
        """Whether it is this callback's turn."""
        is_open = time.monotonic() % PERIOD_S < OPEN_S or self._at_once()
        return is_open and bool(self._default.can_execute(entity))

    def beginning_execution(self, entity: Any) -> bool:
        """Whether the callback may begin."""
        return bool(self._default.beginning_execution(entity))

    def ending_execution(self, entity: Any) -> None:
        """The callback is done."""
        self._default.ending_execution(entity)
