"""Where image data arrives: in the host's memory, or a GPU's by the buffer backends of ROS 2 Lyrical.

From Lyrical on a subscription may accept uint8[] fields in other memory (rosidl::Buffer). Such an image
crosses to this process as a handle, without DDS writing and reading its bytes, and is copied from the GPU
once. Everywhere else, and by default, images come as bytes.
"""

from __future__ import annotations

import inspect
import os
from typing import Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.ros.wire import WireImage

CPU = "cpu"
_OPTION = "acceptable_buffer_backends"
"""Of rclpy's create_subscription."""


def subscription_options(backend: str, create_subscription: Any) -> dict[str, Any]:
    """Arguments of create_subscription for images in a backend's memory.

    backend: node.image_buffers. Raises ConfigError where this ROS 2 has no backends.
    """
    if backend == CPU:
        # As bytes: to make a message of them costs more than to receive them.
        return {"raw": True}
    if not _has_backends(create_subscription):
        raise ConfigError(
            f"node.image_buffers is {backend}, but rclpy of ROS 2 {os.environ.get('ROS_DISTRO', '')} "
            f"has no buffer backends: they come with Lyrical; set it to {CPU}"
        )
    return {_OPTION: backend}


def on_host(message: Any) -> Any:
    """A message with its data in the host's memory: itself where that is so already."""
    if not hasattr(message.data, "backend_type"):
        return message
    return WireImage(
        message.header,
        message.height,
        message.width,
        message.encoding,
        message.is_bigendian,
        message.step,
        memoryview(message.data.to_bytes()),
    )


def describe_buffers() -> str:
    """What `doctor` says of the memory that images can arrive in."""
    try:
        from rclpy.node import Node
    except ImportError:
        return "no sourced ROS 2"
    if _has_backends(Node.create_subscription):
        return "host memory; node.image_buffers may be cuda where cuda_buffer_backend is installed"
    return "host memory: rclpy here has no buffer backends (ROS 2 Lyrical has)"


def _has_backends(create_subscription: Any) -> bool:
    return _OPTION in inspect.signature(create_subscription).parameters
