"""Publishers of all outputs: what nobody subscribes to is not made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.messages import LABELS_TOPIC, REGISTERED_TOPICS, Output, outputs_of
from ivfusion_ros.messages.detections import make_label_info
from ivfusion_ros.messages.type_names import LABEL_INFO
from ivfusion_ros.ros import qos
from ivfusion_ros.ros.messages import make, message_class
from ivfusion_ros.ros.seldom import SeldomGroup
from ivfusion_ros.ros.topic_names import remapped_with_parent
from ivfusion_ros.ros.wire import make_to_send
from ivfusion_ros.types import FusionResult, Header

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode


class Outputs:
    """All outputs of a node; they are silent while it is not active.

    class_names: of the detector; None where there is none, and then there are no detection topics. layout:
    detection.message_layout. jpeg_quality: may be set at any time. on_match: called where somebody begins
    or ceases to listen: soon, and at once while `resting` says so. Raises ConfigError for QoS overrides
    that cannot be.
    """

    def __init__(
        self,
        node: LifecycleNode,
        class_names: tuple[str, ...] | None,
        layout: str,
        jpeg_quality: int,
        on_match: Callable[[], None],
        resting: Callable[[], bool],
    ) -> None:
        self._node = node
        self._on_match = on_match
        self._events = SeldomGroup(node, resting)
        self._class_names = class_names
        self.jpeg_quality = jpeg_quality
        self._outputs = outputs_of(layout, lambda: self.jpeg_quality)
        self._publishers: list[Any] = []
        try:
            self._advertise_all()
        except ConfigError:
            self.close()
            raise

    def announce(self, stamp_ns: int, threshold: float) -> None:
        """Publish names and threshold of the classes, for present and later subscribers."""
        if self._class_names is not None:
            self._labels.publish(make_label_info(make, Header(stamp_ns), self._class_names, threshold))

    def publish_fused(self, result: FusionResult) -> None:
        """Publish what needs no detector and takes no time, before that one has looked at the image.

        Safe in any thread.
        """
        for output, publisher in self._of_results:
            if _is_ready_early(output):
                self._send(output, publisher, result)

    def publish_rest(self, result: FusionResult) -> None:
        """Publish everything else that comes of one result; safe in any thread."""
        for output, publisher in self._of_results:
            if not _is_ready_early(output):
                self._send(output, publisher, result)

    def publish_status(self, make_status: Callable[[], DiagnosticStatus]) -> None:
        """Publish on ~/status what make_status gives, if anybody listens."""
        if self._wanted(self._status):
            self._status.publish(make_status())

    def wanted(self) -> bool:
        """Whether anybody listens to what comes of images."""
        return any(map(self._wanted, (*(publisher for _, publisher in self._of_results), self._status)))

    def measured_wanted(self) -> bool:
        """Whether anybody listens to what the thermal camera measured; safe in any thread."""
        return any(
            self._wanted(publisher)
            for output, publisher in self._of_results
            if output.topic in REGISTERED_TOPICS
        )

    def objects_wanted(self) -> bool:
        """Whether anybody listens to what has objects in it, or to the status; safe in any thread."""
        found = [publisher for row, publisher in self._of_results if row.by_detector or row.shows_objects]
        return any(map(self._wanted, (*found, self._status)))

    def close(self) -> None:
        """Remove all topics."""
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    def _send(self, output: Output, publisher: Any, result: FusionResult) -> None:
        message = output.message(make_to_send, result) if self._wanted(publisher) else None
        if message is not None:
            publisher.publish(message)

    def _wanted(self, publisher: Any) -> bool:
        try:
            return bool(publisher.is_activated and publisher.get_subscription_count())
        except Exception:
            # An image is in progress while ROS 2 is shut down: then nobody listens any more.
            if self._node.context.ok():
                raise
            return False

    def _advertise_all(self) -> None:
        detects = self._class_names is not None
        # Costly ones last, so that the others do not wait for them.
        self._of_results = [
            (output, self._advertise(message_class(output.type), output.topic))
            for output in sorted(self._outputs, key=lambda output: output.costly)
            if detects or not output.by_detector
        ]
        self._status = self._advertise(DiagnosticStatus, "~/status")
        if detects:
            self._labels = self._advertise(message_class(LABEL_INFO), LABELS_TOPIC, qos.latched)

    def _advertise(self, kind: Any, topic: str, profile: Callable[[], Any] = qos.output) -> Any:
        topic = remapped_with_parent(self._node, topic)
        with qos.as_config_error(self._node.resolve_topic_name(topic)):
            publisher = self._node.create_lifecycle_publisher(
                kind,
                topic,
                profile(),
                event_callbacks=qos.output_events(self._node, topic, self._on_match),
                callback_group=self._events,
                qos_overriding_options=qos.overriding(),
            )
        self._publishers.append(publisher)
        return publisher


def _is_ready_early(output: Output) -> bool:
    return not (output.by_detector or output.shows_objects or output.costly)
