"""The lifecycle node around the pipeline, and the process that runs it; node.py starts it."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any

import rclpy
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import SetParametersResult
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.task import Future
from rclpy.utilities import remove_ros_args
from std_srvs.srv import SetBool, Trigger

from ivfusion_ros.errors import INTERRUPTED, ConfigError, DeviceLostError, IvfusionError
from ivfusion_ros.ros.bond import Heartbeat, heartbeat
from ivfusion_ros.ros.diagnostics import Diagnostics
from ivfusion_ros.ros.logs import forward_logs
from ivfusion_ros.ros.meanwhile import answering
from ivfusion_ros.ros.node_parameters import NodeParameters
from ivfusion_ros.ros.session import FusionSession
from ivfusion_ros.ros.topic_names import OWN_SERVICE
from ivfusion_ros.ros.troubles import TroubleLog
from ivfusion_ros.ros.worker import any_at_work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

EXIT_PATIENCE_S = 1.0
"""How long the end of the process waits for the image that is being processed."""


class FusionNode(LifecycleNode):
    """Pairs, fuses and detects; see docs/robot.md for topics and parameters.

    Options are those of rclpy's Node. Several may share a process and an executor, which has one thread;
    all their callbacks go on while models load. Raises ConfigError where a parameter override is wrong.
    lost: done once the GPU is lost to this process; whoever runs the executor does well to end it then.
    """

    def __init__(self, name: str = "fusion_node", **options: Any) -> None:
        super().__init__(name, automatically_declare_parameters_from_overrides=True, **options)
        self._session: FusionSession | None = None
        self._heartbeat: Heartbeat | None = None
        self._enabled = True
        self._loading = False
        self.lost = Future()
        self._config_parameters = NodeParameters(self)
        self.add_on_set_parameters_callback(self._on_set_parameters)
        # A transition that takes its time keeps nobody else from being answered.
        self._transitions = ReentrantCallbackGroup()
        self._refuse_impossible_transitions()
        self.create_service(Trigger, f"~{OWN_SERVICE}", self._on_accept_calibration)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self._diagnostics = Diagnostics(self, lambda: self._session)
        self._troubles = TroubleLog(self, lambda: self._session)
        if self._config_parameters.config().node.autostart:
            steady = Clock(clock_type=ClockType.STEADY_TIME)
            self._autostart_timer = self.create_timer(0.0, self._autostart, self._transitions, steady)
        else:
            self.get_logger().info(
                f"waiting for: ros2 lifecycle set {self.get_fully_qualified_name()} configure"
            )

    def on_configure(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Load models and calibration, advertise the outputs."""
        outcome = self._try("configure", self._configure)
        if outcome != TransitionCallbackReturn.SUCCESS:
            self._close()
        return outcome

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Enable the outputs, open the subscriptions."""
        super().on_activate(state)
        outcome = self._try("activate", self._activate)
        if outcome != TransitionCallbackReturn.SUCCESS:
            self.on_deactivate(state)
        return outcome

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Close the subscriptions."""
        super().on_deactivate(state)
        return self._try("deactivate", self._deactivate)

    def on_cleanup(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Release the models."""
        return self._try("clean up", self._close)

    def on_shutdown(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Release the models."""
        self.get_logger().info("shut down for good: end the process, and start it again to use the node")
        return self._try("shut down", self._close)

    def on_error(self, _state: LifecycleState) -> TransitionCallbackReturn:
        """Release the models, so that the node can be configured again."""
        return self._try("recover", self._close)

    def end(self) -> None:
        """Stop for good, as the process ends."""
        if self._session is not None:
            self._session.close(EXIT_PATIENCE_S)
        self._session = None
        self.destroy_node()

    def _configure(self) -> None:
        config, self._loading = self._config_parameters.config(), True
        try:
            with answering(self) as wait:
                self._session = FusionSession(self, config, wait=wait, on_lost=self._lose)
        finally:
            self._loading = False
        # Whoever changed something meanwhile was told that it holds.
        self._session.enable(self._enabled)
        now = self._config_parameters.config()
        if now != config:
            self._session.set_config(now)

    def _activate(self) -> None:
        assert self._session is not None
        self._session.activate()
        self._heartbeat = heartbeat(self)
        topics = " and ".join(camera_input.topic for camera_input in self._session.inputs.values())
        self.get_logger().info(f"active, listening to {topics}")

    def _deactivate(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.close()
            self._heartbeat = None
        if self._session is not None:
            self._session.deactivate()

    def _lose(self) -> None:
        if not self.lost.done():
            self.lost.set_result(None)

    def _close(self) -> None:
        self._deactivate()
        session, self._session = self._session, None
        if session is not None and not session.close():
            self.get_logger().warning(
                "an image is still being processed; the models are released when it is done"
            )

    def _try(self, what: str, action: Callable[[], None]) -> TransitionCallbackReturn:
        """rclpy would turn an exception into an error transition and log nothing."""
        try:
            action()
        except InterruptedError:
            # The process ends, and so does its log.
            pass
        except IvfusionError as error:
            self.get_logger().error(f"cannot {what}: {error}")
        except Exception:  # noqa: BLE001
            self.get_logger().error(f"cannot {what}, defect of this package: {traceback.format_exc()}")
        else:
            return TransitionCallbackReturn.SUCCESS
        return TransitionCallbackReturn.FAILURE

    def _autostart(self) -> None:
        self.destroy_timer(self._autostart_timer)
        try:
            if self.trigger_configure() == TransitionCallbackReturn.SUCCESS:
                self.trigger_activate()
        except rclpy_implementation.RCLError:
            # After Ctrl-C no transition is possible either, and nobody hears of it.
            if self.context.ok():
                self.get_logger().warning(
                    "node.autostart: somebody else configures this node, and it is left to that"
                )

    def _refuse_impossible_transitions(self) -> None:
        """Before 8.0, rclpy lets a transition that the state does not allow end the process, unanswered."""
        for service in self.services:
            if service.srv_type is ChangeState:
                service.callback = partial(self._change_state, service.callback)
                service.callback_group = self._transitions
                self._transitions.add_entity(service)

    def _change_state(self, change: Callable[[Any, Any], Any], request: Any, response: Any) -> Any:
        try:
            return change(request, response)
        except rclpy_implementation.RCLError:
            wanted = request.transition.label or f"with id {request.transition.id}"
            self.get_logger().error(
                f"the transition {wanted} is impossible in this state: "
                f"`ros2 lifecycle list {self.get_fully_qualified_name()}` shows those that are possible"
            )
            response.success = False
            return response

    def _on_enable(self, request: Any, response: Any) -> Any:
        self._enabled = request.data
        if self._session is not None:
            self._session.enable(self._enabled)
        response.success = True
        response.message = "enabled" if self._enabled else "disabled: images are left alone"
        return response

    def _on_accept_calibration(self, _request: Any, response: Any) -> Any:
        try:
            if self._session is None:
                raise ConfigError("the node is not configured: nothing was learned")
            path = self._session.worker.accept_calibration()
            response.success = True
            response.message = f"wrote {path}: set registration.calibration to it for the next configure"
            if self._session.config.registration.extrinsics == "tf":
                response.message += (
                    ", and registration.extrinsics to calibration, as TF does not have what was learned"
                )
        except IvfusionError as error:
            response.message = str(error)
        except Exception:  # noqa: BLE001
            response.message = f"defect of this package: {traceback.format_exc()}"
        return response

    def set_parameters_atomically(self, parameter_list: list[Any]) -> SetParametersResult:
        """As Node's, which `ros2 param set` comes through; unknown names are refused with the reason.

        rclpy raises for them, and its service then answers without the name.
        """
        unknown = self._config_parameters.unknown(parameter_list)
        if unknown:
            return SetParametersResult(successful=False, reason=unknown)
        return super().set_parameters_atomically(parameter_list)

    def _on_set_parameters(self, changes: list[Any]) -> SetParametersResult:
        fixed = self._config_parameters.fixed(changes)
        if fixed and (self._loading or self._session is not None):
            return SetParametersResult(
                successful=False,
                reason=f"{', '.join(fixed)} takes effect at the next configure: deactivate and clean up "
                "first (ros2 lifecycle set), then set it, configure and activate",
            )
        try:
            config = self._config_parameters.config(changes)
            if self._session is not None:
                self._session.set_config(config)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one node, or one in each namespace that is named; returns the exit status."""
    words = list(sys.argv if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog="fusion_node", description="Thermal + RGB fusion and detection.")
    parser.add_argument(
        "namespaces", nargs="*", metavar="NAMESPACE", help="one node in each, all in this process"
    )
    # rclpy's handler ends the context and calls this one, instead of a KeyboardInterrupt anywhere.
    interrupted = threading.Event()
    signal.signal(signal.SIGINT, lambda *_: interrupted.set())
    try:
        options = parser.parse_args(remove_ros_args(words)[1:])
        rclpy.init(args=words)
    except rclpy_implementation.RCLInvalidROSArgsError as error:
        print(f"fusion_node: {error}", file=sys.stderr)
        return ConfigError.exit_code
    if interrupted.is_set():
        # Before rclpy's handler was there.
        return INTERRUPTED
    forward_logs(rclpy.logging.get_logger("ivfusion_ros"))
    try:
        nodes = [FusionNode(namespace=namespace) for namespace in options.namespaces or [""]]
    except ConfigError as error:
        rclpy.logging.get_logger("fusion_node").fatal(str(error))
        rclpy.try_shutdown()
        return error.exit_code
    except Exception:
        # What a signal interrupted cannot be made any more.
        if rclpy.ok():
            raise
        return INTERRUPTED
    _spin(nodes)
    lost = any(node.lost.done() for node in nodes)
    if lost:
        # A launch file with respawn starts another process, which has the GPU again.
        nodes[0].get_logger().fatal("the GPU is lost to this process, which ends")
    for node in nodes:
        node.end()
    rclpy.try_shutdown()
    # A second one, as from a launch whose terminal sent the first to all, would make this end a failure.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    status = DeviceLostError.exit_code if lost else 0
    if any_at_work():
        # A thread inside a backend would crash the interpreter's own end.
        os._exit(status)
    return status


def _spin(nodes: Sequence[FusionNode]) -> None:
    """Until the context is shut down, or the GPU is lost."""
    if not rclpy.ok():
        # Not even an executor can be made then.
        return
    lost = Future()
    try:
        with SingleThreadedExecutor() as executor:
            for node in nodes:
                executor.add_node(node)
                node.lost.add_done_callback(lambda _: lost.done() or lost.set_result(None))
            executor.spin_until_future_complete(lost)
    except ExternalShutdownException:
        pass
    except Exception:
        # What a signal interrupted cannot publish its end any more.
        if rclpy.ok():
            raise
