"""The cameras' extrinsics by TF: looked up now and then, handed on when they change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.time import Time

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.tf import bare, differ, frames_problem, missing_base, missing_transform
from ivfusion_ros.messages import to_extrinsics
from ivfusion_ros.ros.throttled_log import ThrottledLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

    from ivfusion_ros.geometry.rig import Extrinsics

PERIOD_S = 0.2
CHANGE_S = 1.0
"""The least time between two changes, as each costs the fusion 0.1 s for new maps."""
PATIENCE_S = 2.0
"""Before a transform is called missing: what was sent once may take so long to a listener that is new."""
WHERE = "on /tf_static or /tf"


class BaseWatch:
    """Looks up where the reference camera is on the robot, five times a second.

    frame_id: gives that of its images, '' until one was seen. on_change: called with base_from_camera when
    there is one and when it changes. Raises ConfigError without tf2_ros.
    """

    def __init__(
        self,
        node: Node,
        base_frame: str,
        frame_id: Callable[[], str],
        on_change: Callable[[Extrinsics], None],
    ) -> None:
        self._tf2 = _tf2("positions need the robot's transforms")
        self._node, self._base_frame = node, base_frame
        self._frame_id, self._on_change = frame_id, on_change
        self._known: Extrinsics | None = None
        self._began_s = time.monotonic()
        self._complain = ThrottledLog(node.get_logger().warning)
        self._buffer: Any = self._tf2.Buffer()
        self._listener: Any = self._tf2.TransformListener(self._buffer, node, spin_thread=False)
        self._timer = node.create_timer(PERIOD_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def close(self) -> None:
        """Listen no more."""
        self._node.destroy_timer(self._timer)
        self._listener.unregister()

    def _look(self) -> None:
        frame = bare(self._frame_id())
        if not frame:
            return
        try:
            found = self._buffer.lookup_transform(self._base_frame, frame, Time())
            pose = to_extrinsics(found.transform)
        except (self._tf2.TransformException, ConfigError) as error:
            if time.monotonic() - self._began_s >= PATIENCE_S:
                self._complain(frame, missing_base(self._base_frame, frame, WHERE, str(error)))
            return
        if self._known is None or differ(self._known, pose):
            self._known = pose
            self._on_change(pose)


def _tf2(what: str) -> Any:
    try:
        import tf2_ros
    except ImportError as error:
        raise ConfigError(
            f"{what}, but tf2_ros cannot be imported ({error}): install ros-$ROS_DISTRO-tf2-ros-py"
        ) from error
    return tf2_ros


class TransformWatch:
    """Looks up the newest transform between the frames of both cameras' images, five times a second.

    Changes count at most once a second.

    frame_ids: gives (RGB, thermal), None until both cameras sent. restarts: how often time jumped back.
    on_change: called with rgb_from_thermal when there is one and when it changes. missing: what is missing,
    for people; empty where a transform is there or no image was seen. Raises ConfigError without tf2_ros.
    """

    def __init__(
        self,
        node: Node,
        frame_ids: Callable[[], tuple[str, str] | None],
        restarts: Callable[[], int],
        on_change: Callable[[Extrinsics], None],
    ) -> None:
        self.missing = ""
        self._tf2 = _tf2("registration.extrinsics is tf")
        self._node = node
        self._frame_ids, self._restarts, self._on_change = frame_ids, restarts, on_change
        self._seen_restarts = restarts()
        self._known: Extrinsics | None = None
        self._changed_s = -CHANGE_S
        self._began_s = time.monotonic()
        self._complain = ThrottledLog(node.get_logger().warning)
        self._buffer: Any = self._tf2.Buffer()
        self._listener: Any = self._tf2.TransformListener(self._buffer, node, spin_thread=False)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = node.create_timer(PERIOD_S, self._look, clock=steady)

    @property
    def source(self) -> str:
        """Where the extrinsics come from now, for people."""
        return "calibration, until TF has a transform" if self._known is None else "TF"

    def close(self) -> None:
        """Listen no more."""
        self._node.destroy_timer(self._timer)
        self._listener.unregister()

    def _look(self) -> None:
        if self._restarts() != self._seen_restarts:
            # Of a looped bag, what is older than the last lap's end would be refused.
            self._seen_restarts = self._restarts()
            self._buffer.clear()
        frames = self._frame_ids()
        if frames is None:
            return
        rgb_frame, thermal_frame = map(bare, frames)
        problem = frames_problem(rgb_frame, thermal_frame)
        if problem:
            self._miss(rgb_frame, thermal_frame)
            return
        try:
            found = self._buffer.lookup_transform(rgb_frame, thermal_frame, Time())
            extrinsics = to_extrinsics(found.transform)
        except (self._tf2.TransformException, ConfigError) as error:
            self._miss(rgb_frame, thermal_frame, str(error))
            return
        self.missing = ""
        if self._known is None or differ(self._known, extrinsics):
            self._change(extrinsics, f"{thermal_frame} in {rgb_frame}")

    def _change(self, extrinsics: Extrinsics, what: str) -> None:
        now_s = time.monotonic()
        if now_s - self._changed_s < CHANGE_S:
            return
        self._changed_s = now_s
        if self._known is None:
            shift = ", ".join(f"{metres:.3f}" for metres in extrinsics.translation_m)
            self._node.get_logger().info(f"extrinsics from TF, {what}: translation [{shift}] m")
        self._known = extrinsics
        self._on_change(extrinsics)

    def _miss(self, rgb_frame: str, thermal_frame: str, reason: str = "") -> None:
        kept = "the calibration's are used" if self._known is None else "the last known ones are used"
        if time.monotonic() - self._began_s < PATIENCE_S:
            return
        self.missing = f"{missing_transform(rgb_frame, thermal_frame, WHERE, reason)}; meanwhile {kept}"
        self._complain(f"{rgb_frame} {thermal_frame}", self.missing)
