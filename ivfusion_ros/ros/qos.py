"""QoS of inputs and outputs, and what to do where two ends do not match."""

from __future__ import annotations

import inspect
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rclpy.exceptions import ParameterException
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
    qos_policy_name_from_kind,
)
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rclpy.node import Node

try:
    from rclpy.event_handler import PublisherEventCallbacks, SubscriptionEventCallbacks
except ImportError:
    # ROS 2 Humble has them elsewhere.
    from rclpy.qos_event import PublisherEventCallbacks, SubscriptionEventCallbacks

TELLS_MATCHES = "matched" in inspect.signature(PublisherEventCallbacks).parameters
"""Not on ROS 2 Humble."""

INPUT_DEPTH = 10
"""Images of a camera that wait while this process stands still: a third of a second of most."""
OUTPUT_DEPTH = 2


def sensor_data() -> QoSProfile:
    """Best effort, as rmw's SensorDataQoS, but deeper: it hears reliable and best-effort cameras alike."""
    return _profile(INPUT_DEPTH, ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE)


def output() -> QoSProfile:
    """Reliable, so that RViz, recorders and best-effort listeners all match; shallow: newest first."""
    return _profile(OUTPUT_DEPTH, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def latched() -> QoSProfile:
    """Late subscribers get the last message as well."""
    return _profile(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)


def is_latched(node: Node, topic: str) -> bool:
    """Whether a publisher of the topic has its last message for those who come late."""
    return any(
        info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
        and info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
        for info in node.get_publishers_info_by_topic(topic)
    )


def is_best_effort(profile: QoSProfile) -> bool:
    """Whether what is lost on the way is not sent again."""
    return bool(profile.reliability == ReliabilityPolicy.BEST_EFFORT)


def refusal(node: Node, topic: str, asked: QoSProfile) -> str:
    """Why none of a topic's publishers can be heard with a QoS, and what to do; empty where one can."""
    checks = [
        qos_check_compatible(info.qos_profile, asked) for info in node.get_publishers_info_by_topic(topic)
    ]
    if not checks or any(level != QoSCompatibility.ERROR for level, _ in checks):
        return ""
    reason = checks[0][1].removeprefix("ERROR: ").rstrip("; ")
    return (
        f"no publisher offers the QoS that this node asks for ({reason}): correct this node's parameters "
        f"qos_overrides.{topic}.subscription (image_reliability at the launch), or the publisher"
    )


def heartbeat() -> QoSProfile:
    """As bond's own ends have it."""
    return _profile(5, ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE)


def overriding() -> QoSOverridingOptions:
    """Parameters qos_overrides./TOPIC.subscription.reliability and so on."""
    return QoSOverridingOptions.with_default_policies()


@contextmanager
def as_config_error(topic: str) -> Iterator[None]:
    """Turn what rclpy says of a wrong qos_overrides parameter into a ConfigError."""
    try:
        yield
    except (InvalidQosOverridesError, ParameterException, RuntimeError) as error:
        raise ConfigError(
            f"qos_overrides of {topic}: {error}; correct it and start the node again"
        ) from error


def input_events(node: Node, topic: str) -> SubscriptionEventCallbacks:
    """Log a publisher that cannot be heard, with how to fix it."""

    def incompatible(event: Any) -> None:
        policy, name = _policy(event), node.resolve_topic_name(topic)
        node.get_logger().error(
            f"{name}: a publisher offers less {policy} than this node asks for, so none of its messages "
            f"arrive. Set the parameter qos_overrides.{name}.subscription.{policy} of this node to "
            f"{_WEAKEST.get(policy, 'what the publisher has')}, or make the publisher offer more "
            f"(`ros2 topic info --verbose {name}` shows both ends)"
        )

    # rclpy looks at every event at every wake-up. That types differ is what the console says anyway.
    return SubscriptionEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False)


def output_events(
    node: Node, topic: str, on_match: Callable[[], None] | None = None
) -> PublisherEventCallbacks:
    """Log a subscriber that cannot hear, with how to fix it.

    on_match: called where a subscriber comes or goes, if TELLS_MATCHES.
    """

    def incompatible(event: Any) -> None:
        policy, name = _policy(event), node.resolve_topic_name(topic)
        node.get_logger().error(
            f"{name}: a subscriber asks for more {policy} than this node offers, so it gets nothing. "
            f"Let it ask for {_WEAKEST.get(policy, 'less')} {policy} "
            f"(`ros2 topic info --verbose {name}` shows both ends)"
        )

    matched = {"matched": lambda _: on_match()} if on_match is not None and TELLS_MATCHES else {}
    return PublisherEventCallbacks(incompatible_qos=incompatible, use_default_callbacks=False, **matched)


_WEAKEST = {"reliability": "best_effort", "durability": "volatile"}


def _policy(event: Any) -> str:
    return str(qos_policy_name_from_kind(event.last_policy_kind)).lower().removesuffix("_qos_policy")


def _profile(depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy) -> QoSProfile:
    # A new one each time: rclpy writes overrides into the profile that it is given.
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability
    )
