"""Publishers of the fused image, the detections and the status; costly ones work only while subscribed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs import msg as sensor_msgs
from vision_msgs import msg as vision_msgs

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.draw import annotate
from ivfusion_ros.ros import messages, qos
from ivfusion_ros.types import CameraName, Detections, FusionResult, Header

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode


class Outputs:
    """All outputs of a node; they are silent while it is not active.

    class_names: of the detector; None where there is none, and then there are no detection topics.
    Raises ConfigError for QoS overrides that cannot be.
    """

    def __init__(self, node: LifecycleNode, class_names: tuple[str, ...] | None) -> None:
        self._node = node
        self._class_names = class_names
        self._publishers: list[Any] = []
        try:
            self._advertise_all()
        except ConfigError:
            self.close()
            raise

    def announce(self, stamp_ns: int) -> None:
        """Publish the names of the classes, for present and later subscribers."""
        if self._class_names is not None:
            message = vision_msgs.LabelInfo()
            messages.fill_header(message, stamp_ns, "")
            messages.fill_label_info(message, self._class_names, vision_msgs)
            self._labels.publish(message)

    def publish(self, result: FusionResult) -> None:
        """Publish everything that comes of one result; safe in any thread."""
        header = Header(result.stamp_ns, result.frame_id)
        if _wanted(self._image):
            self._send(self._image, header, lambda message: messages.fill_image(message, result.fused))
        if result.camera_info is not None:
            info = result.camera_info
            self._send(self._info, header, lambda message: messages.fill_camera_info(message, info))
        found = result.detections
        if found is not None and not found.age_ns:
            self._send(
                self._detections,
                header,
                lambda message: messages.fill_detections(message, found, vision_msgs),
            )
            self._send_native("thermal", result.thermal_header, found)
            self._send_native("rgb", result.rgb_header, found)
        if _wanted(self._compressed):
            self._send(
                self._compressed, header, lambda message: messages.fill_compressed(message, result.fused)
            )
        if _wanted(self._annotated):
            picture = result.fused if found is None else annotate(result.fused, found)
            self._send(self._annotated, header, lambda message: messages.fill_image(message, picture))

    def publish_status(self, make_status: Callable[[], DiagnosticStatus]) -> None:
        """Publish on ~/status what make_status gives, if anybody listens."""
        if _wanted(self._status):
            self._status.publish(make_status())

    def close(self) -> None:
        """Remove all topics."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _advertise_all(self) -> None:
        self._image = self._advertise(sensor_msgs.Image, "fused/image_raw")
        self._info = self._advertise(sensor_msgs.CameraInfo, "fused/camera_info")
        self._compressed = self._advertise(sensor_msgs.CompressedImage, "fused/image_raw/compressed")
        self._annotated = self._advertise(sensor_msgs.Image, "fused/image_annotated")
        self._status = self._advertise(DiagnosticStatus, "~/status")
        if self._class_names is not None:
            self._detections = self._advertise(vision_msgs.Detection2DArray, "detections")
            self._native: dict[CameraName, Any] = {
                "thermal": self._advertise(vision_msgs.Detection2DArray, "thermal/detections"),
                "rgb": self._advertise(vision_msgs.Detection2DArray, "rgb/detections"),
            }
            self._labels = self._advertise(vision_msgs.LabelInfo, "detections/label_info", qos.latched)

    def _advertise(self, kind: Any, topic: str, profile: Callable[[], Any] = qos.output) -> Any:
        with qos.as_config_error(self._node.resolve_topic_name(topic)):
            publisher = self._node.create_lifecycle_publisher(
                kind,
                topic,
                profile(),
                event_callbacks=qos.output_events(self._node, topic),
                qos_overriding_options=qos.overriding(),
            )
        self._publishers.append(publisher)
        return publisher

    def _send_native(self, camera: CameraName, header: Header | None, found: Detections) -> None:
        publisher = self._native[camera]
        if header is not None and _wanted(publisher):
            self._send(
                publisher,
                header,
                lambda message: messages.fill_native_detections(message, found, camera, vision_msgs),
            )

    def _send(self, publisher: Any, header: Header, fill: Callable[[Any], None]) -> None:
        message = publisher.msg_type()
        messages.fill_header(message, header.stamp_ns, header.frame_id)
        fill(message)
        publisher.publish(message)


def _wanted(publisher: Any) -> bool:
    return bool(publisher.is_activated and publisher.get_subscription_count())
