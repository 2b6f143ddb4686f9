"""Subscriptions: image and camera_info messages -> Frames, depth images -> DepthFrames."""

from __future__ import annotations

import math
import time
import traceback
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from rclpy.serialization import deserialize_message
from sensor_msgs import msg as sensor_msgs

from ivfusion_ros.errors import ConfigError, IvfusionError
from ivfusion_ros.geometry.camera_info import newest_info
from ivfusion_ros.messages import to_camera_info, to_depth_frame, to_frame
from ivfusion_ros.ros import qos
from ivfusion_ros.ros.buffers import CPU, on_host, subscription_options
from ivfusion_ros.ros.gaps import missing_share
from ivfusion_ros.ros.throttled_log import ThrottledLog
from ivfusion_ros.ros.topic_names import OWN_SERVICE, camera_info_topic
from ivfusion_ros.ros.wire import read_image
from ivfusion_ros.sync.clocks import MIN_FRAMES, Sighting

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from ivfusion_ros.types import CameraInfo, CameraName, DepthFrame, Frame, Size


_SIGHTINGS = 150
_NEWEST = 9
"""Of them, where a clock is judged that may have been set meanwhile."""
_LOOK_S = 1.0
"""From one look for a latched camera_info to the next, while there is none of any kind."""


class ImageInput:
    """The subscription of one topic of images; its callback only converts and hands over.

    take: called with each message, raises IvfusionError for one that cannot be used. awake: asked at each;
    what it says no to is counted and left as the bytes that it came as. topic: the resolved name. type:
    full name of its messages. frames: how many came and could be used. unusable: why the newest could not
    be, empty where it could. Raises ConfigError for QoS overrides that cannot be.
    """

    def __init__(
        self,
        node: Node,
        kind: Any,
        topic: str,
        take: Callable[[Any], None],
        awake: Callable[[], bool],
        buffers: str = CPU,
    ) -> None:
        """buffers: node.image_buffers, for raw images."""
        self.frames = 0
        self.unusable = ""
        buffers = buffers if kind is sensor_msgs.Image else CPU
        self._image_options = subscription_options(buffers, node.create_subscription)
        self._kind = kind
        self._awake = awake
        self.topic: str = node.resolve_topic_name(topic)
        self.type = f"sensor_msgs/msg/{kind.__name__}"
        self._node = node
        self._unreadable = ThrottledLog(node.get_logger().error)
        self._take = take
        self._subscriptions: list[Any] = []
        self._openings: list[Callable[[], None]] = []
        self._subscribe(kind, topic, self._take_image, self._image_options)

    @property
    def unreadable(self) -> int:
        """How many images could not be converted."""
        return self._unreadable.total

    @property
    def publishers(self) -> int:
        """How many send on the image topic."""
        return self.count_publishers(self.topic)

    @property
    def published_types(self) -> list[str]:
        """Full names of the types that publishers of the image topic have."""
        return [str(info.topic_type) for info in self._node.get_publishers_info_by_topic(self.topic)]

    @property
    def best_effort(self) -> bool:
        """Whether what is lost on the way is not sent again; False while closed."""
        return any(qos.is_best_effort(item.qos_profile) for item in self._subscriptions[:1])

    @property
    def refused(self) -> str:
        """Why no publisher of the images is heard, by its QoS; empty where one is, and while closed."""
        return "".join(
            qos.refusal(self._node, self.topic, item.qos_profile) for item in self._subscriptions[:1]
        )

    def count_publishers(self, topic: str) -> int:
        """How many send on any topic."""
        return int(self._node.count_publishers(topic))

    def image_topics(self) -> list[str]:
        """Names of the topics of images that others than nodes of this kind publish, as cameras do."""
        kinds = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}
        names = (name for name, types in self._node.get_topic_names_and_types() if kinds & set(types))
        fusing = self._fusion_nodes()
        return sorted(name for name in names if self._publishing_nodes(name) - fusing)

    def _publishing_nodes(self, topic: str) -> set[str]:
        """Full names."""
        infos = self._node.get_publishers_info_by_topic(topic)
        return {f"{info.node_namespace.rstrip('/')}/{info.node_name}" for info in infos}

    def _fusion_nodes(self) -> set[str]:
        """Full names of this package's nodes, this one among them, by the service that they alone have."""
        names = (name for name, _ in self._node.get_service_names_and_types())
        return {name.removesuffix(OWN_SERVICE) for name in names if name.endswith(OWN_SERVICE)}

    def subscribe(
        self, kind: Any, topic: str, take: Callable[[Any], None], *, latched: bool = False
    ) -> None:
        """Listen to one more topic until close(). Raises ConfigError, closing all.

        latched: to what was sent last before, too.
        """
        self._subscribe(kind, topic, partial(self._read, kind, take), {"raw": True}, latched=latched)

    def _subscribe(
        self,
        kind: Any,
        topic: str,
        callback: Callable[[Any], None],
        options: dict[str, Any],
        *,
        latched: bool = False,
    ) -> None:
        def subscribe() -> None:
            try:
                with qos.as_config_error(self._node.resolve_topic_name(topic)):
                    subscription = self._node.create_subscription(
                        kind,
                        topic,
                        callback,
                        qos.latched() if latched else qos.sensor_data(),
                        event_callbacks=qos.input_events(self._node, topic),
                        qos_overriding_options=None if latched else qos.overriding(),
                        **options,
                    )
            except ConfigError:
                self.close()
                raise
            self._subscriptions.append(subscription)

        subscribe()
        self._openings.append(subscribe)

    def open(self) -> None:
        """Take messages again after close()."""
        for subscribe in self._openings:
            subscribe()

    def close(self) -> None:
        """Take no more messages; what is known of the camera stays."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _take_image(self, data: Any) -> None:
        """data: the message, or the bytes of one."""
        if not self._awake():
            self.frames += 1
        elif isinstance(data, bytes):
            self._read(self._kind, self._hand_over, data)
        else:
            self._try(self._hand_over, data)

    def _hand_over(self, message: Any) -> None:
        try:
            self._take(on_host(message))
        except IvfusionError as error:
            self.unusable = str(error)
            raise
        self.frames += 1
        self.unusable = ""

    def _read(self, kind: Any, take: Callable[[Any], None], data: bytes) -> None:
        try:
            message = read_image(data) if kind is sensor_msgs.Image else None
            message = message or deserialize_message(data, kind)
        except Exception as error:  # noqa: BLE001
            # Where rclpy itself reads them, they end the process.
            self._unreadable(
                f"bytes for {kind.__name__}",
                f"{self.topic}: {len(data)} bytes came for a sensor_msgs/msg/{kind.__name__} and are none "
                f"({error}): does the sender have the same ROS 2?",
            )
        else:
            self._try(take, message)

    def _try(self, take: Callable[[Any], None], message: Any) -> None:
        # An exception that leaves a callback ends the process.
        try:
            take(message)
        except IvfusionError as error:
            self._complain(str(error), message)
        except Exception:  # noqa: BLE001
            self._complain(f"defect of this package: {traceback.format_exc()}", message)

    def _complain(self, problem: str, message: Any) -> None:
        stamp = message.header.stamp
        text = f"{self.topic}, stamp {stamp.sec}.{stamp.nanosec:09d}: {problem}"
        self._unreadable(problem, text)


class CameraInput(ImageInput):
    """One camera's subscriptions, image and camera_info.

    frame_id: of the newest image, empty before the first. sightings: when the newest images were taken, by
    their stamps, and when they arrived, by a steady clock. Raises ConfigError as ImageInput does.
    """

    def __init__(
        self,
        node: Node,
        camera: CameraName,
        transport: str,
        on_frame: Callable[[CameraName, Frame], None],
        max_pixels: int,
        awake: Callable[[], bool],
        encoding: str = "",
        buffers: str = CPU,
    ) -> None:
        """max_pixels: of a compressed image that is decoded. encoding: of raw images, as in to_frame.

        buffers: as for ImageInput.
        """
        self.frame_id = ""
        self._camera = camera
        self._on_frame = on_frame
        self._max_pixels = max_pixels
        self._encoding = encoding
        self._info: CameraInfo | None = None
        self.sightings: deque[Sighting] = deque(maxlen=_SIGHTINGS)
        raw = transport == "raw"
        kind = sensor_msgs.Image if raw else sensor_msgs.CompressedImage
        image_topic = f"{camera}/image_raw" + ("" if raw else f"/{transport}")
        super().__init__(node, kind, image_topic, self._take_frame, awake, buffers)
        self._info_topic = camera_info_topic(node, camera)
        self._looked_s = -math.inf
        self.subscribe(sensor_msgs.CameraInfo, self._info_topic, self._take_info)

    @property
    def stamps_stand_still(self) -> bool:
        """Whether several images in a row have one stamp."""
        return len(self.sightings) >= MIN_FRAMES and len({seen.stamp_ns for seen in self.newest}) == 1

    @property
    def size(self) -> Size | None:
        """Of the images, (width, height), as camera_info has it; None where it is not known."""
        info = self._info
        return (info.width, info.height) if info is not None and info.width and info.height else None

    @property
    def newest(self) -> list[Sighting]:
        """The last few sightings."""
        return list(self.sightings)[-_NEWEST:]

    def missing(self, since_s: float) -> float:
        """Share of the newest images that never came, of those since a moment of time.monotonic.

        See missing_share.
        """
        return missing_share([seen.stamp_ns for seen in self.sightings if seen.received_ns > since_s * 1e9])

    def _take_frame(self, message: Any) -> None:
        if self._info is None:
            self._look_for_latched_info()
        frame = to_frame(message, self._info, max_pixels=self._max_pixels, encoding=self._encoding)
        self.frame_id = frame.frame_id
        self.sightings.append(Sighting(frame.stamp_ns, time.monotonic_ns()))
        self._on_frame(self._camera, frame)

    def _look_for_latched_info(self) -> None:
        """Some drivers send it once, for those who come late and ask for it."""
        now_s = time.monotonic()
        if now_s - self._looked_s < _LOOK_S:
            return
        self._looked_s = now_s
        if qos.is_latched(self._node, self._node.resolve_topic_name(self._info_topic)):
            self._looked_s = math.inf
            self.subscribe(sensor_msgs.CameraInfo, self._info_topic, self._take_info, latched=True)

    def _take_info(self, message: Any) -> None:
        self._info = newest_info(self._info, to_camera_info(message, self.topic), self.topic)


def depth_input(
    node: Node, on_frame: Callable[[DepthFrame], None], awake: Callable[[], bool]
) -> ImageInput:
    """The subscription of depth images. Raises ConfigError."""
    return ImageInput(
        node, sensor_msgs.Image, "depth/image_raw", lambda message: on_frame(to_depth_frame(message)), awake
    )
