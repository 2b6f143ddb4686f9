"""The heartbeat by which a lifecycle manager, as Nav2's, sees that a node is alive.

It goes the way of the callbacks, so that a node that hangs falls silent. What is published is one end of
bond's protocol: id, an instance of its own and `active`, in time. The manager's end decides what to do
when it breaks; a node does nothing then.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from ivfusion_ros.ros import qos

if TYPE_CHECKING:
    from rclpy.node import Node

try:
    from bond.msg import Status
except ImportError:
    # Without the package there is no manager that asks for it.
    Status = None

TOPIC = "bond"
PERIOD_S, TIMEOUT_S = 0.25, 4.0
"""As Nav2's nodes have them; the timeout that counts is the manager's."""


class Heartbeat:
    """Beats from its creation to close(), while a manager listens."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._instance = str(uuid.uuid4())
        self._publisher = node.create_publisher(Status, TOPIC, qos.heartbeat())
        # In simulated time a pause would be a death.
        self._timer = node.create_timer(PERIOD_S, self._beat, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Tell the manager that this is no failure, and stop."""
        self._send(active=False)
        self._node.destroy_timer(self._timer)
        self._node.destroy_publisher(self._publisher)

    def _beat(self) -> None:
        if self._publisher.get_subscription_count():
            self._send(active=True)

    def _send(self, *, active: bool) -> None:
        message: Any = Status(
            id=self._node.get_name(),
            instance_id=self._instance,
            active=active,
            heartbeat_timeout=TIMEOUT_S,
            heartbeat_period=PERIOD_S,
        )
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


def heartbeat(node: Node) -> Heartbeat | None:
    """None where the package bond is not installed."""
    return None if Status is None else Heartbeat(node)
