"""Outputs while ROS 2 is shut down under them."""

import pytest

rclpy = pytest.importorskip("rclpy", reason="needs a sourced ROS 2")

from rclpy.context import Context
from rclpy.lifecycle import LifecycleNode

from ivfusion_ros.ros.outputs import Outputs

pytestmark = pytest.mark.ros


def test_after_the_shutdown_nobody_listens() -> None:
    """An image may be in progress: asking who wants it is no defect."""
    context = Context()
    rclpy.init(context=context)
    node = LifecycleNode("outputs", context=context)
    outputs = Outputs(node, ("person",), "vision_msgs", 90, lambda: None, lambda: False)
    node.trigger_configure()
    node.trigger_activate()
    assert not outputs.wanted()
    context.shutdown()
    assert not (outputs.wanted() or outputs.measured_wanted() or outputs.objects_wanted())
    node.destroy_node()
