"""Subscriptions of one camera: image and camera_info messages -> Frames."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from sensor_msgs import msg as sensor_msgs

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.ros import messages, qos
from ivfusion_ros.ros.complaints import Complaints
from ivfusion_ros.ros.streams import Camera
from ivfusion_ros.types import CameraInfo, Frame


class CameraInput:
    """One camera's subscriptions; its callbacks only convert and hand over.

    topic: the resolved name of the image topic. frames: how many were handed over. Raises ConfigError
    for QoS overrides that cannot be.
    """

    def __init__(
        self, node: Node, camera: Camera, transport: str, on_frame: Callable[[Camera, Frame], None]
    ) -> None:
        self.frames = 0
        self._node = node
        self._camera = camera
        self._on_frame = on_frame
        self._info: CameraInfo | None = None
        self._unreadable = Complaints(node.get_logger().error)
        compressed = transport == "compressed"
        self._to_frame = messages.compressed_frame if compressed else messages.image_frame
        kind = sensor_msgs.CompressedImage if compressed else sensor_msgs.Image
        image_topic = f"{camera}/image_raw" + ("/compressed" if compressed else "")
        self.topic: str = node.resolve_topic_name(image_topic)
        self._subscriptions: list[Any] = []
        try:
            self._subscribe(kind, image_topic, self._on_image)
            self._subscribe(sensor_msgs.CameraInfo, f"{camera}/camera_info", self._on_info)
        except ConfigError:
            self.close()
            raise

    @property
    def unreadable(self) -> int:
        """How many images could not be converted."""
        return self._unreadable.total

    @property
    def publishers(self) -> int:
        """How many send on the image topic."""
        return int(self._node.count_publishers(self.topic))

    def close(self) -> None:
        """Take no more messages."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)

    def _subscribe(self, kind: Any, topic: str, callback: Callable[[Any], None]) -> None:
        with qos.as_config_error(self._node.resolve_topic_name(topic)):
            subscription = self._node.create_subscription(
                kind,
                topic,
                callback,
                qos.sensor_data(),
                event_callbacks=qos.input_events(self._node, topic),
                qos_overriding_options=qos.overriding(),
            )
        self._subscriptions.append(subscription)

    def _on_image(self, message: Any) -> None:
        self._try(self._take_image, message)

    def _on_info(self, message: Any) -> None:
        self._try(self._take_info, message)

    def _try(self, take: Callable[[Any], None], message: Any) -> None:
        # An exception that leaves a callback ends the process.
        try:
            take(message)
        except ImageError as error:
            self._complain(str(error), message)
        except Exception:
            self._complain(f"defect of this package: {traceback.format_exc()}", message)

    def _take_image(self, message: Any) -> None:
        frame = self._to_frame(message, self._info)
        self.frames += 1
        self._on_frame(self._camera, frame)

    def _take_info(self, message: Any) -> None:
        info = messages.camera_info(message)
        # The same object for the same values, so that what is derived from it can be kept.
        if info != self._info:
            self._info = info

    def _complain(self, problem: str, message: Any) -> None:
        stamp = message.header.stamp
        text = f"{self.topic}, stamp {stamp.sec}.{stamp.nanosec:09d}: {problem}"
        self._unreadable(problem, text)
