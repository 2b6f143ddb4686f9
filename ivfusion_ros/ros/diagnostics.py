"""/diagnostics: rates, drops by reason, backends and clock, once a second."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from diagnostic_msgs.msg import DiagnosticStatus
from diagnostic_updater import Updater
from rclpy.clock import Clock
from rclpy.clock_type import ClockType

from ivfusion_ros.backends.progress import under_way
from ivfusion_ros.detection.ranges import by_method
from ivfusion_ros.pipeline.faults import LABELS
from ivfusion_ros.ros.slowness import slow_in_work
from ivfusion_ros.ros.status import how_often, level_and_message
from ivfusion_ros.ros.troubles import camera_troubles, starting
from ivfusion_ros.sync.time_offset import time_offset_advice
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.lifecycle import LifecycleNode

    from ivfusion_ros.ros.session import FusionSession

WINDOW_S = 5.0
WITHOUT_DEPTH = "pairs without depth"
PLACED, UNPLACED = "objects with a position", "objects without"
WAITING = "waiting for images"


class Rates:
    """Events per second over the last seconds, from counters that may start again."""

    def __init__(self) -> None:
        self._history: deque[tuple[float, dict[str, int]]] = deque()

    def update(self, now_s: float, counts: dict[str, int]) -> dict[str, float]:
        """Rate of each counter, Hz; 0 on the first call."""
        if self._history and any(counts[key] < self._history[-1][1].get(key, 0) for key in counts):
            self._history.clear()
        self._history.append((now_s, counts))
        while len(self._history) > 2 and now_s - self._history[1][0] >= WINDOW_S:
            self._history.popleft()
        then_s, before = self._history[0]
        elapsed_s = max(now_s - then_s, 1e-9)
        return {key: (count - before.get(key, 0)) / elapsed_s for key, count in counts.items()}


class Diagnostics:
    """Publishes the state of a node; get_session gives None while it is not configured."""

    def __init__(self, node: LifecycleNode, get_session: Callable[[], FusionSession | None]) -> None:
        self._node = node
        self._get_session = get_session
        self._camera_rates, self._fusion_rates = Rates(), Rates()
        self._updater = Updater(node)
        # In the root namespace it begins with two slashes.
        self._updater.node_name = self._updater.node_name.replace("//", "/")
        self._updater.setHardwareID(node.get_fully_qualified_name())
        self._updater.add("cameras", self._cameras)
        self._updater.add("fusion", self._fusion)
        self._updater.add("time offset", self._time_offset)
        # Its own timer runs on simulated time, and would be still just when /clock is missing.
        self._updater.timer.cancel()
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        node.create_timer(self._updater.period, self._updater.update, clock=steady)

    def _cameras(self, stat: Any) -> Any:
        session = self._get_session()
        if session is None or not session.inputs:
            stat.summary(DiagnosticStatus.OK, "not active")
            return stat
        pairer, depth = session.streams.synchronizer.pairer, session.streams.synchronizer.depth
        counts: dict[str, int] = {camera: session.inputs[camera].frames for camera in CAMERAS}
        counts |= {"pairs": pairer.pairs}
        if depth is not None:
            counts |= {"depth": depth.frames, WITHOUT_DEPTH: depth.missed}
        rates = self._camera_rates.update(time.monotonic(), counts)
        stat.summary(*_camera_summary(session, rates))
        for name, rate in rates.items():
            if name != WITHOUT_DEPTH:
                stat.add(f"{name} rate", f"{rate:.1f} Hz")
        for camera in CAMERAS:
            stat.add(f"{camera} topic", session.inputs[camera].topic)
            stat.add(f"missing: {camera}", f"{session.inputs[camera].missing(session.settled_s):.0%}")
            stat.add(f"dropped: {camera}_unreadable", str(session.inputs[camera].unreadable))
        if depth is not None and session.depth_input is not None:
            stat.add("depth topic", session.depth_input.topic)
            stat.add("dropped: depth_unreadable", str(session.depth_input.unreadable))
            stat.add(WITHOUT_DEPTH, str(depth.missed))
        for reason, count in sorted(pairer.drops.items()):
            stat.add(f"dropped: {reason}", str(count))
        stat.add("restarts of time", str(pairer.restarts))
        return stat

    def _fusion(self, stat: Any) -> Any:
        session = self._get_session()
        clock = self._clock()
        if session is None:
            stat.summary(DiagnosticStatus.OK, under_way() or "not configured")
        else:
            worker, last = session.worker, session.last
            superseded = worker.mailbox.superseded
            known, missing = by_method(session.placed.copy())
            counts = {"output": worker.done, "failed": worker.failed, "superseded": superseded}
            counts |= {PLACED: sum(known.values()), UNPLACED: sum(missing.values())}
            rates = self._fusion_rates.update(time.monotonic(), counts)
            stat.summary(*_fusion_summary(session, rates, clock))
            stat.add("output rate", f"{rates['output']:.1f} Hz")
            stat.add("dropped: superseded", str(superseded))
            stat.add("dropped: failed", str(worker.failed))
            for label in LABELS:
                stat.add(f"pairs with {label}", str(session.faults[label]))
            if last is not None and last.registration.confidence is not None:
                stat.add("registration confidence", f"{last.registration.confidence:.2f}")
                stat.add("registration drift", f"{last.registration.drift_px:.2f} px")
            if last is not None and last.detections is not None:
                stat.add("detection", how_often(last.detector_stride))
            for way, count in known.items():
                stat.add(f"positions {way}", str(count))
            for why, count in missing.items():
                stat.add(f"without position: {why}", str(count))
            if session.transforms is not None:
                stat.add("extrinsics", session.transforms.source)
            stat.add("fusion model", session.fusion_model)
            for network, backend in session.backends.items():
                stat.add(f"{network} backend", backend)
            for stage, elapsed_ms in (last.timings_ms if last else {}).items():
                stat.add(f"{stage} latency", f"{elapsed_ms:.2f} ms")
        stat.add("clock", clock)
        return stat

    def _time_offset(self, stat: Any) -> Any:
        session = self._get_session()
        watch = None if session is None else session.time_offset
        if session is None or watch is None:
            watched = session is None or session.config.node.watch_time_offset
            stat.summary(DiagnosticStatus.OK, "not active" if watched else "off: node.watch_time_offset")
            return stat
        offset = watch.latest
        configured_ms = session.config.pairing.thermal_time_offset_ms
        wrong, advice = time_offset_advice(offset, round(configured_ms * 1e6))
        stat.summary(DiagnosticStatus.WARN if wrong else DiagnosticStatus.OK, advice)
        stat.add("configured offset", f"{configured_ms:g} ms")
        if offset.offset_ns is not None and offset.standard_error_ns is not None:
            stat.add("estimated offset", f"{offset.offset_ns / 1e6:.3f} ms")
            stat.add("standard error", f"{offset.standard_error_ns / 1e6:.3f} ms")
            stat.add("agreement", f"{offset.agreement:.3f}")
        return stat

    def _clock(self) -> str:
        if not self._node.get_parameter("use_sim_time").value:
            return "system"
        now = self._node.get_clock().now().nanoseconds
        return f"simulated, {now / 1e9:.3f} s" if now else "simulated, but nothing arrives on /clock"


def _camera_summary(session: FusionSession, rates: dict[str, float]) -> tuple[bytes, str]:
    if starting(session) and not all(rates[name] for name in (*CAMERAS, "pairs")):
        return DiagnosticStatus.OK, "; ".join(filter(None, (WAITING, session.resting())))
    if session.streams.silent and all(rates[camera] for camera in CAMERAS):
        return DiagnosticStatus.WARN, f"the {session.streams.silent} camera is silent"
    troubles = camera_troubles(session, {camera: rates[camera] for camera in CAMERAS}, rates["pairs"])
    if troubles:
        return DiagnosticStatus.WARN, "; ".join(troubles)
    if resting := session.resting():
        closed = "; their images are not received" if session.rest.closed else ""
        return DiagnosticStatus.OK, f"both cameras publish{closed}; {resting}"
    return _depth_summary(session, rates) or (DiagnosticStatus.OK, "both cameras publish")


def _depth_summary(session: FusionSession, rates: dict[str, float]) -> tuple[bytes, str] | None:
    """What is missing where depth images are asked for."""
    depth = session.depth_input
    if depth is None or starting(session):
        return None
    if not rates["depth"]:
        return DiagnosticStatus.WARN, (
            f"no depth images on {depth.topic} ({depth.publishers} publishers): "
            "registered at registration.plane_distance_m"
        )
    if rates[WITHOUT_DEPTH] > rates["pairs"] / 2:
        return DiagnosticStatus.WARN, (
            "most pairs have no depth image near in time: check the depth camera's clock and "
            "registration.depth_max_skew_ms"
        )
    return None


def _fusion_summary(session: FusionSession, rates: dict[str, float], clock: str) -> tuple[bytes, str]:
    if session.worker.lost:
        return DiagnosticStatus.ERROR, session.worker.lost
    if not session.inputs:
        return DiagnosticStatus.OK, "not active"
    if building := under_way():
        return DiagnosticStatus.WARN, f"images wait: {building}"
    if rates["failed"]:
        return DiagnosticStatus.ERROR, f"pairs fail ({rates['failed']:.1f} Hz): see the log"
    if "nothing" in clock:
        return DiagnosticStatus.WARN, f"use_sim_time is set, {clock}"
    if resting := session.resting():
        return DiagnosticStatus.OK, resting
    if slow := slow_in_work(*session.worker.in_work):
        return DiagnosticStatus.WARN, slow
    if session.last is None or not rates["output"]:
        if starting(session):
            return DiagnosticStatus.OK, WAITING
        return DiagnosticStatus.WARN, "no output, as no pairs come: see cameras"
    if session.transforms is not None and session.transforms.missing:
        return DiagnosticStatus.WARN, session.transforms.missing
    if rates[UNPLACED] and not rates[PLACED]:
        why = next(iter(by_method(session.placed.copy())[1]))
        return DiagnosticStatus.WARN, f"no object has a position: {why}"
    return level_and_message(session.last)
