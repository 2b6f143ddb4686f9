"""What a configured node has: pipeline, streams and topics, from configure to cleanup."""

from __future__ import annotations

import gc
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.ros import presence, qos
from ivfusion_ros.ros.buffers import subscription_options
from ivfusion_ros.ros.inputs import CameraInput, ImageInput, depth_input
from ivfusion_ros.ros.outputs import Outputs
from ivfusion_ros.ros.presence import Presence
from ivfusion_ros.ros.rehearsal import parse_sizes, rehearsal_pair
from ivfusion_ros.ros.rest import Rest
from ivfusion_ros.ros.status import change_status, result_status
from ivfusion_ros.ros.streams import Job, Streams
from ivfusion_ros.ros.tf import BaseWatch, TransformWatch
from ivfusion_ros.ros.worker import Worker
from ivfusion_ros.sync.time_offset import TimeOffsetWatch
from ivfusion_ros.types import CAMERAS, CameraName

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode

    from ivfusion_ros.config.node import FusionNodeConfig
    from ivfusion_ros.pipeline.pipeline import Pipeline
    from ivfusion_ros.types import Frame, FusionResult, Size

PATIENCE_S = 10.0
"""How long a cleanup waits for the image that is being processed."""
_SETTLED_S = 1.0
"""After subscriptions opened, or after an absence, images may come out of order or not at all."""


class FusionSession:
    """Loads the models on construction; raises what build_pipeline raises, and InterruptedError.

    rest: of the inputs, while nobody listens and node.lazy is set, and from enable(False) on. inputs: empty
    while the node is not active; so depth_input, transforms and time_offset are None then, and where they
    are not asked for. backends: what runs the networks, for people. last: the newest result. faults:
    outputs with each fault. placed: objects by Detections.placed. presence: of the node, while active.
    """

    def __init__(
        self,
        node: LifecycleNode,
        config: FusionNodeConfig,
        *,
        wait: Callable[[threading.Event], bool],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        """wait: as in Worker.load. on_lost: as in Worker."""
        self.config = config
        self._enabled = True
        self.inputs: dict[CameraName, CameraInput] = {}
        self.depth_input: ImageInput | None = None
        self.transforms: TransformWatch | None = None
        self.time_offset: TimeOffsetWatch | None = None
        self.base: BaseWatch | None = None
        self.last: FusionResult | None = None
        self.faults: Counter[str] = Counter()
        self.placed: Counter[str] = Counter()
        self._closed = False
        self._node = node
        self.rest = Rest(self.resting, self._image_inputs, self._restart, wakes=qos.TELLS_MATCHES)
        subscription_options(config.node.image_buffers, node.create_subscription)
        expected = parse_sizes(config.fusion.expected_size)
        self.worker = Worker(config, self._on_result, node.get_logger(), self._on_fused, on_lost)
        pipeline = self.worker.load(wait)
        self._rehearse(expected, pipeline, wait)
        self._detector = detector = pipeline.detector
        self._locator = pipeline.locator
        self.fusion_model = pipeline.fusion_model
        self.backends = {"fusion": pipeline.fuser.backend.description}
        if detector is not None:
            self.backends["detection"] = detector.backend.description
        try:
            names = None if detector is None else detector.class_names
            layout, quality = config.detection.message_layout, config.outputs.jpeg_quality
            self._outputs = Outputs(node, names, layout, quality, self.rest.look, lambda: self.rest.closed)
        except ConfigError:
            self.worker.stop(PATIENCE_S)
            raise
        pipeline.measures = self._outputs.measured_wanted
        pipeline.detects = lambda: not self.config.node.lazy or self._outputs.objects_wanted()
        self.streams = Streams(config, self.worker.mailbox.put, self._on_silence)
        self.presence = Presence(self.streams.excuse)
        self._look_timer: Any = None
        # A full collection would look at 100,000 objects that stay, 30 ms or more in which no thread works.
        gc.collect()
        gc.freeze()

    def _rehearse(
        self,
        expected: dict[CameraName, Size] | None,
        pipeline: Pipeline,
        wait: Callable[[threading.Event], bool],
    ) -> None:
        begin_s = time.monotonic()
        pair = rehearsal_pair(
            self._node, expected, self.config.images.max_pixels, pipeline.fuser.kept_sizes
        )
        if pair is None:
            if pipeline.on_gpu:
                self._node.get_logger().warning(
                    "the size of the images is not known, so engines are made ready at the first "
                    "pair, which can take minutes: set fusion.expected_size, or run `ivfusion engine`"
                )
            return
        self.worker.rehearse(pair, wait)
        (width, height), (rgb_width, rgb_height) = pair.thermal.size, pair.rgb.size
        self._node.get_logger().info(
            f"ready for thermal images of {width}x{height} and RGB images of {rgb_width}x{rgb_height} "
            f"after {time.monotonic() - begin_s:.1f} s"
        )

    def activate(self) -> None:
        """Open the subscriptions."""
        self._restart()
        self.rest.begin()
        self.presence.begin()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._look_timer = self._node.create_timer(presence.PERIOD_S, self.presence.look, clock=steady)
        self._announce()
        node = self.config.node
        for camera, transport in zip(CAMERAS, (node.thermal_transport, node.rgb_transport), strict=True):
            self.inputs[camera] = CameraInput(
                self._node,
                camera,
                transport,
                self._on_frame,
                self.config.images.max_pixels,
                self.rest.awake,
                self.config.thermal.encoding if camera == "thermal" else "",
                node.image_buffers,
            )
        depth = self.streams.synchronizer.depth
        if depth is not None:
            self.depth_input = depth_input(self._node, depth.add, self.rest.awake)
        if self.config.registration.extrinsics == "tf":
            self.transforms = TransformWatch(
                self._node,
                self._frame_ids,
                lambda: self.streams.synchronizer.pairer.restarts,
                self.worker.mailbox.set_extrinsics,
            )
        if self._locator is not None and self.config.positions.needs_base:
            self.base = BaseWatch(
                self._node,
                self.config.positions.base_frame,
                self._reference_frame_id,
                self._locator.set_base,
            )
        if node.watch_time_offset:
            self.time_offset = TimeOffsetWatch(self._on_defect)

    def deactivate(self) -> None:
        """Close the subscriptions."""
        watching: list[CameraInput | ImageInput | TransformWatch | TimeOffsetWatch | BaseWatch | None] = [
            *self.inputs.values(), self.depth_input, self.transforms, self.time_offset,
            self.base,
        ]  # fmt: skip
        if self._look_timer is not None:
            self._node.destroy_timer(self._look_timer)
            self._look_timer = None
        self.inputs = {}
        self.depth_input = self.transforms = self.time_offset = self.base = None
        for item in watching:
            if item is not None:
                item.close()

    def set_config(self, config: FusionNodeConfig) -> None:
        """Take over live parameters. Raises ConfigError, changing nothing."""
        self.worker.set_config(config)
        self.streams.set_config(config)
        known, self.config = self.config, config
        self._outputs.jpeg_quality = config.outputs.jpeg_quality
        if config.detection.confidence != known.detection.confidence:
            self._announce()
        self.rest.look()

    def close(self, patience_s: float = PATIENCE_S) -> bool:
        """Remove all topics and release the models; False if an image takes too long."""
        self._closed = True
        self.deactivate()
        ended = self.worker.stop(patience_s)
        self._outputs.close()
        gc.unfreeze()
        return ended

    def enable(self, enabled: bool) -> None:
        """Work on images, or leave them alone."""
        self._enabled = enabled
        self.rest.look()

    def resting(self) -> str:
        """Why images are left alone, for people; empty where they are not."""
        if not self._enabled:
            return "disabled by ~/enable"
        idle = self.config.node.lazy and not self._outputs.wanted()
        return "idle: nobody listens to an output (node.lazy)" if idle else ""

    @property
    def settled_s(self) -> float:
        """Since when what did not come is missing, by time.monotonic."""
        return max(self.rest.began_s, self.presence.returned_s) + _SETTLED_S

    def _image_inputs(self) -> list[ImageInput]:
        depth = [] if self.depth_input is None else [self.depth_input]
        return [*self.inputs.values(), *depth]

    def _restart(self) -> None:
        self.worker.mailbox.restart()
        self.streams.restart()
        for item in self.inputs.values():
            # Images that were not looked at are not missing.
            item.sightings.clear()

    def _on_frame(self, camera: CameraName, frame: Frame) -> None:
        # After an absence its timer may not have had its turn.
        self.presence.look()
        self.streams.add(camera, frame)
        if self.time_offset is not None:
            self.time_offset.add(camera, frame)

    def _announce(self) -> None:
        now_ns = self._node.get_clock().now().nanoseconds
        detector = self._detector
        threshold = 0.0 if detector is None else detector.threshold_of(self.config.detection)
        self._outputs.announce(now_ns, threshold)

    def _frame_ids(self) -> tuple[str, str] | None:
        """Of the (RGB, thermal) images, None until there was one of each."""
        rgb, thermal = self.inputs["rgb"], self.inputs["thermal"]
        return (rgb.frame_id, thermal.frame_id) if rgb.frames and thermal.frames else None

    def _reference_frame_id(self) -> str:
        camera = self.inputs.get("rgb" if self.config.registration.reference == "rgb" else "thermal")
        return camera.frame_id if camera is not None and camera.frames else ""

    def _on_defect(self, error: Exception) -> None:
        text = "".join(traceback.format_exception(error))
        self._node.get_logger().error(
            f"the clock offset is no longer estimated, defect of this package: {text}"
        )

    def _on_fused(self, result: FusionResult) -> None:
        self._try(lambda: self._outputs.publish_fused(result))

    def _on_result(self, result: FusionResult, job: Job) -> None:
        self._try(lambda: self._publish(result, job))

    def _try(self, publish: Callable[[], None]) -> None:
        try:
            publish()
        except Exception:
            # After SIGTERM the topics may be gone while the last image is being processed.
            if self._node.context.ok() and not self._closed:
                raise

    def _publish(self, result: FusionResult, job: Job) -> None:
        self._outputs.publish_rest(result)
        self.last = result
        self.faults.update(result.faults.labels)
        if result.detections is not None and not result.detections.age_ns:
            self.placed.update(result.detections.placed)
        node_ms = (time.perf_counter() - job.complete_s) * 1e3
        age_ms = (self._node.get_clock().now().nanoseconds - result.stamp_ns) / 1e6
        name = self._node.get_fully_qualified_name()
        watch = self.time_offset
        offset = None if watch is None else watch.latest
        self._outputs.publish_status(lambda: result_status(name, result, node_ms, age_ms, offset))

    def _on_silence(self, silent: CameraName | None) -> None:
        text = change_status(silent, self.config.node)
        log = self._node.get_logger()
        if silent:
            log.warning(text)
        else:
            log.info(text)
        name, level = self._node.get_fully_qualified_name(), DiagnosticStatus.WARN if silent else b"\0"
        self._outputs.publish_status(lambda: DiagnosticStatus(name=name, level=level, message=text))
