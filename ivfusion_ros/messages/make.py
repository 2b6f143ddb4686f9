"""How messages are made without knowing whose they are: rclpy's, or those of a bag's library."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ivfusion_ros.types import Header

NS_PER_S = 1_000_000_000


class Make(Protocol):
    """Makes a message, such as "sensor_msgs/msg/Image", of the values of all its fields.

    Fields of many numbers are numpy arrays of the type that the message's definition names.
    """

    def __call__(self, type_name: str, /, **fields: Any) -> Any:
        """The message."""


def make_header(make: Make, header: Header) -> Any:
    """std_msgs/Header, its stamp exact to the nanosecond."""
    return make("std_msgs/msg/Header", stamp=make_time(make, header.stamp_ns), frame_id=header.frame_id)


def make_time(make: Make, stamp_ns: int) -> Any:
    """builtin_interfaces/Time, exact to the nanosecond."""
    sec, nanosec = divmod(stamp_ns, NS_PER_S)
    return make("builtin_interfaces/msg/Time", sec=sec, nanosec=nanosec)
