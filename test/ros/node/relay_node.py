"""The least that a Python node can do: two images in, one out; what measure_node.py compares with."""

import sys
from contextlib import suppress
from typing import Any

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image


class Relay(Node):
    """Sends the newest RGB image on when a thermal one comes."""

    def __init__(self) -> None:
        super().__init__("fusion_node")
        self._rgb = Image()
        self._publisher = self.create_publisher(Image, "fused/image_raw", 2)
        for camera, callback in (("rgb", self._on_rgb), ("thermal", self._on_thermal)):
            self.create_subscription(Image, f"{camera}/image_raw", callback, qos_profile_sensor_data)

    def _on_rgb(self, message: Any) -> None:
        self._rgb = message

    def _on_thermal(self, message: Any) -> None:
        self._publisher.publish(self._rgb)


def main() -> None:
    rclpy.init()
    relay = Relay()
    print("active, listening", flush=True)
    with suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(relay)
    rclpy.try_shutdown()


if __name__ == "__main__":
    sys.exit(main())
