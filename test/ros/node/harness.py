"""A probe with its own ROS context, and node processes to talk to; needs a sourced ROS 2."""

from __future__ import annotations

import array
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rcl_interfaces.msg import Parameter

try:
    import rclpy
    from builtin_interfaces.msg import Time
    from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
    from lifecycle_msgs.srv import ChangeState, GetState
    from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters, SetParametersAtomically
    from rclpy.context import Context
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.node import Node
    from rclpy.parameter import parameter_value_to_python
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
    from rosgraph_msgs.msg import Clock  # noqa: F401
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image  # noqa: F401
    from std_srvs.srv import SetBool, Trigger  # noqa: F401
    from vision_msgs.msg import Detection2DArray, LabelInfo  # noqa: F401
except ImportError:
    # Then conftest.py skips all tests.
    pass

REPOSITORY = Path(__file__).parents[3]
PATIENCE_S = 120.0
"""For a busy machine; waits end as soon as they can."""
TRANSITIONS = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}
MS = 1_000_000


def wait_until(condition: Callable[[], Any], what: str, timeout_s: float = PATIENCE_S) -> Any:
    """Poll until the condition is true, and return its value."""
    end = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < end, f"{what}: not within {timeout_s} s"
        time.sleep(0.02)
    return value


def profile(depth: int = 10, *, reliable: bool = True, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def set_stamp(message: Any, stamp_ns: int, frame_id: str = "") -> Any:
    message.header.stamp = Time(sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    message.header.frame_id = frame_id
    return message


def stamp_of(message: Any) -> int:
    """Of the header; of the output that a node's status tells of, 0 for any other status."""
    if isinstance(message, DiagnosticStatus):
        return int(status_values(message).get("stamp", "0").replace(".", ""))
    return int(message.header.stamp.sec * 10**9 + message.header.stamp.nanosec)


def image(pixels: Any, encoding: str, stamp_ns: int = 0, frame_id: str = "", **fields: Any) -> Image:
    """An Image of an (H, W[, C]) array, its bytes as they lie in memory."""
    message = Image(encoding=encoding, height=pixels.shape[0], width=pixels.shape[1])
    message.step = pixels.nbytes // pixels.shape[0]
    message.data = array.array("B", pixels.tobytes())
    for name, value in fields.items():
        setattr(message, name, value)
    return set_stamp(message, stamp_ns, frame_id)


def compressed(content: bytes, format: str, stamp_ns: int) -> CompressedImage:
    message = CompressedImage(format=format, data=array.array("B", content))
    return set_stamp(message, stamp_ns)


DEFAULTS = {
    "fusion__backend": "onnxruntime",
    "detection__model": "",
    "faults__least_contrast": 0.0,
    "faults__frozen_after_ms": 10000.0,
}
"""Plain and repeated test images are no faults."""


class Listener:
    """Everything that came on a topic, in order."""

    def __init__(self) -> None:
        self.messages: list[Any] = []

    def __call__(self, message: Any) -> None:
        self.messages.append(message)

    def wait(self, count: int, timeout_s: float = PATIENCE_S) -> list[Any]:
        wait_until(lambda: len(self.messages) >= count, f"{count} messages", timeout_s)
        return self.messages

    def wait_for(self, condition: Callable[[Any], bool], what: str) -> Any:
        """The first message of which the condition is true."""
        return wait_until(lambda: next(filter(condition, list(self.messages)), None), what)

    def find(self, condition: Callable[[Any], bool], timeout_s: float, start: int = 0) -> Any:
        """A message from index `start` on of which the condition is true; None if none comes in time."""
        end = time.monotonic() + timeout_s
        while (found := next(filter(condition, self.messages[start:]), None)) is None:
            if time.monotonic() > end:
                return None
            time.sleep(0.005)
        return found


class FusionProcess:
    """A running fusion_node (or another program of this folder); its output is in `log()`."""

    def __init__(self, command: Sequence[str], domain_id: int, log_path: Path, env: dict[str, str]) -> None:
        environment = {
            **os.environ,
            "ROS_DOMAIN_ID": str(domain_id),
            "ROS_PYTHON_CHECK_FIELDS": "1",
            "OMP_NUM_THREADS": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONFAULTHANDLER": "1",
            "PYTHONPATH": f"{REPOSITORY}:{os.environ.get('PYTHONPATH', '')}",
            **env,
        }
        self._log_path = log_path
        with log_path.open("wb") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )

    def log(self) -> str:
        return self._log_path.read_text(errors="replace")

    def wait_for_log(self, text: str, timeout_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + timeout_s
        while text not in self.log():
            assert self.process.poll() is None, f"ended without {text!r}: {self.log()}"
            assert time.monotonic() < end, f"no {text!r} in {timeout_s} s: {self.log()}"
            time.sleep(0.05)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit status and seconds until the end."""
        return self._end(os.kill, number)

    def interrupt(self) -> tuple[int, float]:
        """Likewise, by Ctrl-C in a terminal, which the processes that it started get too."""
        return self._end(os.killpg, signal.SIGINT)

    def _end(self, send: Callable[[int, int], None], number: signal.Signals) -> tuple[int, float]:
        start = time.monotonic()
        send(self.process.pid, number)
        try:
            status = self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            # Where every thread stands goes into the log.
            os.killpg(self.process.pid, signal.SIGABRT)
            self.process.wait()
            raise AssertionError(f"runs {PATIENCE_S} s after {number.name}: {self.log()}") from None
        finally:
            self.kill()
        return status, time.monotonic() - start

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Probe:
    """A node of the test's own, and the processes that it started, on one DDS domain."""

    def __init__(self, domain_id: int, folder: Path) -> None:
        self.domain_id = domain_id
        self.processes: list[FusionProcess] = []
        self._folder = folder
        self._context = Context()
        rclpy.init(context=self._context, domain_id=domain_id)
        self.node = Node("probe", context=self._context)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with suppress(ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        for process in self.processes:
            process.kill()
        self._executor.shutdown()
        self._context.try_shutdown()
        self._thread.join()
        self.node.destroy_node()

    def run(self, command: Sequence[str], **env: str) -> FusionProcess:
        log_path = self._folder / f"process_{len(self.processes)}.log"
        process = FusionProcess(command, self.domain_id, log_path, env)
        self.processes.append(process)
        return process

    def start(
        self, *words: str, program: str = "", env: dict[str, str] | None = None, **parameters: Any
    ) -> FusionProcess:
        """Start a fusion_node; parameters have __ for a dot. program: a file of this folder instead."""
        script = [str(Path(__file__).parent / program)] if program else ["-m", "ivfusion_ros.ros.node"]
        values = {**DEFAULTS, **parameters}
        assigned: list[str] = []
        for name, value in values.items():
            text = str(value).lower() if isinstance(value, bool) else value if value != "" else "''"
            assigned += ["-p", f"{name.replace('__', '.')}:={text}"]
        return self.run([sys.executable, *script, *words, "--ros-args", *assigned], **(env or {}))

    def start_active(self, *words: str, **options: Any) -> FusionProcess:
        """start() with autostart, and wait until it listens."""
        process = self.start(*words, node__autostart=True, **options)
        process.wait_for_log("active, listening")
        return process

    def publisher(self, kind: Any, topic: str, qos: QoSProfile | None = None) -> Any:
        """A publisher, once somebody listens."""
        publisher = self.node.create_publisher(kind, topic, qos or profile())
        wait_until(publisher.get_subscription_count, f"a subscriber of {topic}")
        return publisher

    def listen(self, kind: Any, topic: str, qos: QoSProfile | None = None) -> Listener:
        """A subscription, once somebody publishes."""
        listener = Listener()
        self.node.create_subscription(kind, topic, listener, qos or profile(100))
        wait_until(lambda: self.node.count_publishers(topic), f"a publisher of {topic}")
        return listener

    def call(self, kind: Any, name: str, request: Any) -> Any:
        """The response of a service."""
        client = self.node.create_client(kind, name)
        assert client.wait_for_service(PATIENCE_S), f"no service {name}"
        done = threading.Event()
        future = client.call_async(request)
        future.add_done_callback(lambda _: done.set())
        assert done.wait(PATIENCE_S), f"no answer of {name}"
        return future.result()

    def change_state(self, transition: str, node: str = "/fusion_node") -> bool:
        request = ChangeState.Request()
        request.transition.id = TRANSITIONS[transition]
        return bool(self.call(ChangeState, f"{node}/change_state", request).success)

    def state(self, node: str = "/fusion_node") -> str:
        return str(self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.label)

    def set(self, node: str = "/fusion_node", **values: Any) -> str:
        """Set parameters together (__ for a dot); the reason for a refusal, '' if they were taken."""
        items = [rclpy.parameter.Parameter(name.replace("__", "."), value=values[name]) for name in values]
        request = SetParametersAtomically.Request(parameters=[item.to_parameter_msg() for item in items])
        result = self.call(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result
        return "" if result.successful else str(result.reason)

    def set_each(self, node: str = "/fusion_node", **values: Any) -> list[Any]:
        """Likewise one by one, as `ros2 param set` does; rcl_interfaces' SetParametersResults."""
        items = [rclpy.parameter.Parameter(name.replace("__", "."), value=values[name]) for name in values]
        request = SetParameters.Request(parameters=[item.to_parameter_msg() for item in items])
        return list(self.call(SetParameters, f"{node}/set_parameters", request).results)

    def set_message(self, parameter: Parameter, node: str = "/fusion_node") -> str:
        request = SetParametersAtomically.Request(parameters=[parameter])
        result = self.call(SetParametersAtomically, f"{node}/set_parameters_atomically", request).result
        return "" if result.successful else str(result.reason)

    def get(self, name: str, node: str = "/fusion_node") -> Any:
        response = self.call(GetParameters, f"{node}/get_parameters", GetParameters.Request(names=[name]))
        return parameter_value_to_python(response.values[0])

    def describe(self, names: list[str], node: str = "/fusion_node") -> list[Any]:
        request = DescribeParameters.Request(names=names)
        return list(self.call(DescribeParameters, f"{node}/describe_parameters", request).descriptors)


class Diagnostics:
    """The newest values of each task on /diagnostics."""

    def __init__(self, probe: Probe) -> None:
        self._listener = probe.listen(DiagnosticArray, "/diagnostics")

    def wait(self, task: str, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Wait until the condition holds for the task's values; level and message are among them."""

        def newest() -> dict[str, str] | None:
            for message in reversed(list(self._listener.messages)):
                for status in message.status:
                    if status.name.endswith(f": {task}"):
                        values = status_values(status)
                        return values if condition(values) else None
            return None

        return wait_until(newest, f"diagnostics of {task}")


def status_values(status: DiagnosticStatus) -> dict[str, str]:
    level = {b"\0": "OK", b"\1": "WARN", b"\2": "ERROR", b"\3": "STALE"}[status.level]
    return {"level": level, "message": status.message, **{item.key: item.value for item in status.values}}


class Cameras:
    """Publishers of both cameras, and a listener to the fused image.

    Topics without a leading slash are in the namespace. kind: of the camera images; none is Image.
    reference: the camera whose stamps the fused image has. now_ns: RGB stamp of the newest pair that
    send() published. step_ns: from one pair of send() to the next.
    """

    def __init__(
        self,
        probe: Probe,
        namespace: str = "",
        *,
        kind: Any = None,
        rgb: str = "rgb/image_raw",
        thermal: str = "thermal/image_raw",
        fused: str = "fused/image_raw",
        reference: str = "rgb",
    ) -> None:
        thermal, rgb, fused = (
            topic if topic.startswith("/") else f"{namespace}/{topic}" for topic in (thermal, rgb, fused)
        )
        self.thermal = probe.publisher(kind or Image, thermal, profile(100))
        self.rgb = probe.publisher(kind or Image, rgb, profile(100))
        self.fused = probe.listen(Image, fused)
        self.now_ns = 1_234_567_890_123_456_789
        self.step_ns = 100 * MS
        self._reference = reference

    def send(self, rgb: Any, thermal: Any, skew_ns: int = 0) -> Image:
        """Publish a pair, and more of it until the fused image of the newest one comes; returns that.

        So no fused image is under way afterwards. More than one is needed at the start and after a frame
        was missing, where the pairer waits for the next frame, and until the node knows of its
        publishers and its subscriber. The waits grow, so that a slow machine catches up.
        """
        count, wait_s, end = len(self.fused.messages), 0.25, time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            self.now_ns += self.step_ns
            self.rgb.publish(set_stamp(rgb, self.now_ns, rgb.header.frame_id))
            self.thermal.publish(set_stamp(thermal, self.now_ns + skew_ns, thermal.header.frame_id))
            expected_ns = self.now_ns + (skew_ns if self._reference == "thermal" else 0)
            fused = self.fused.find(partial(_has_stamp, expected_ns), wait_s, count)
            if fused is not None:
                return fused
            wait_s = min(1.6 * wait_s, 8.0)
        raise AssertionError(f"pairs gave no fused image within {PATIENCE_S} s")


def _has_stamp(stamp_ns: int, message: Any) -> bool:
    return stamp_of(message) == stamp_ns
