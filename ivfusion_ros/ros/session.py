"""What a configured node has: pipeline, streams and topics, from configure to cleanup."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode

from ivfusion_ros.ros.config import FusionNodeConfig
from ivfusion_ros.ros.inputs import CameraInput
from ivfusion_ros.ros.outputs import Outputs
from ivfusion_ros.ros.status import change_status, result_status
from ivfusion_ros.ros.streams import CAMERAS, Camera, Streams
from ivfusion_ros.ros.worker import Worker
from ivfusion_ros.types import FusionResult

PATIENCE_S = 10.0
"""How long a cleanup waits for the image in work."""


class FusionSession:
    """Loads the models on construction; raises what build_pipeline raises.

    inputs: empty while the node is not active. backends: what runs the networks, for people.
    last: the newest result.
    """

    def __init__(self, node: LifecycleNode, config: FusionNodeConfig) -> None:
        self.config = config
        self.inputs: dict[Camera, CameraInput] = {}
        self.last: FusionResult | None = None
        self._node = node
        self.worker = Worker(config, self._on_result, node.get_logger())
        pipeline = self.worker.load(node.context.ok)
        detector = pipeline.detector
        self.backends = {"fusion": pipeline.fuser.backend.description}
        if detector is not None:
            self.backends["detection"] = detector.backend.description
        self._outputs = Outputs(node, None if detector is None else detector.class_names)
        self.streams = Streams(config.pairing, config.node, self.worker.submit, self._on_silence)

    def activate(self) -> None:
        """Open the subscriptions."""
        self.worker.restart()
        self.streams.restart()
        self._outputs.announce(self._node.get_clock().now().nanoseconds)
        node = self.config.node
        for camera, transport in zip(CAMERAS, (node.thermal_transport, node.rgb_transport), strict=True):
            self.inputs[camera] = CameraInput(self._node, camera, transport, self.streams.add)

    def deactivate(self) -> None:
        """Close the subscriptions."""
        for camera_input in self.inputs.values():
            camera_input.close()
        self.inputs = {}

    def set_config(self, config: FusionNodeConfig) -> None:
        """Take over live parameters. Raises ConfigError, changing nothing."""
        self.worker.set_config(config)
        self.streams.set_config(config.pairing, config.node)
        self.config = config

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Remove all topics and release the models; False if an image in work takes too long."""
        self.deactivate()
        ended = self.worker.stop(patience_s)
        self._outputs.close()
        return ended

    def _on_result(self, result: FusionResult) -> None:
        # After SIGTERM the topics are gone while the last image may still be in work.
        if not self._node.context.ok():
            return
        self._outputs.publish(result)
        self.last = result
        name, now_ns = self._node.get_fully_qualified_name(), self._node.get_clock().now().nanoseconds
        self._outputs.publish_status(lambda: result_status(name, result, now_ns))

    def _on_silence(self, silent: Camera | None) -> None:
        text = change_status(silent, self.config.node)
        log = self._node.get_logger()
        if silent:
            log.warning(text)
        else:
            log.info(text)
        name, level = self._node.get_fully_qualified_name(), DiagnosticStatus.WARN if silent else b"\0"
        self._outputs.publish_status(lambda: DiagnosticStatus(name=name, level=level, message=text))
