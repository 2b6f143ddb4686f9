"""~/status: one message per output, and one whenever a camera falls silent or returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ivfusion_ros.ros.slowness import slow_pair

if TYPE_CHECKING:
    from ivfusion_ros.config.node import NodeConfig
    from ivfusion_ros.sync.time_offset import TimeOffset
    from ivfusion_ros.types import CameraName, FusionResult

_NS_PER_S = 1_000_000_000
_USUAL_FAULT = "thermal_shutter"
_SUBSTITUTE = {"thermal": "rgb_only", "rgb": "thermal_only"}


def result_status(
    name: str, result: FusionResult, node_ms: float, age_ms: float, offset: TimeOffset | None = None
) -> DiagnosticStatus:
    """Mode, stamp, skew, faults, age and stage latencies of one output; its level is level_and_message's.

    node_ms: from the last image that it needs to its publication. age_ms: the node's clock at that
    moment less the stamp. offset: the newest estimate between the cameras' clocks.
    """
    values = {
        "mode": result.mode,
        "stamp": "{}.{:09d}".format(*divmod(result.stamp_ns, _NS_PER_S)),
        "skew_ms": f"{result.skew_ns / 1e6:.3f}",
        **({"thermal_age_ms": f"{-result.skew_ns / 1e6:.3f}"} if result.held else {}),
        "faults": ", ".join(result.faults.labels),
        "thermal_weight": f"{result.faults.thermal_weight:.3f}",
        "rgb_weight": f"{result.faults.rgb_weight:.3f}",
        "age_ms": f"{age_ms:.3f}",
        "node_ms": f"{node_ms:.3f}",
        "pipeline_ms": f"{sum(result.timings_ms.values()):.3f}",
        **{f"{stage}_ms": f"{elapsed:.3f}" for stage, elapsed in result.timings_ms.items()},
    }
    registration = result.registration
    values["seen_share"] = f"{registration.seen_share:.3f}"
    if registration.confidence is not None:
        values["registration_confidence"] = f"{registration.confidence:.3f}"
    if registration.drift_px is not None:
        values["drift_px"] = f"{registration.drift_px:.3f}"
    if registration.residual_share is not None:
        values["residual_share"] = f"{registration.residual_share:.3f}"
    if offset is not None and offset.offset_ns is not None and offset.standard_error_ns is not None:
        values["time_offset_ms"] = f"{offset.offset_ns / 1e6:.3f}"
        values["time_offset_error_ms"] = f"{offset.standard_error_ns / 1e6:.3f}"
    if result.detections is not None:
        values["detections"] = str(len(result.detections))
        values["detections_age_ms"] = f"{result.detections.age_ns / 1e6:.3f}"
        values["detector_stride"] = str(result.detector_stride)
    level, message = level_and_message(result)
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)


def level_and_message(result: FusionResult) -> tuple[bytes, str]:
    """Mode, faults, a resting detector and a pair that took far too long.

    A warning while a camera is silent or has a fault other than its usual shutter, while the detector
    rests to meet the deadline, and where a pair took far too long.
    """
    notes = list(result.faults.labels)
    faulty = any(label != _USUAL_FAULT for label in result.faults.labels)
    if result.detector_stride > 1:
        notes.append(f"too slow for the deadline: detection {how_often(result.detector_stride)}")
    slow = slow_pair(result.timings_ms)
    notes += filter(None, [slow])
    fine = not faulty and result.mode == "fused" and result.detector_stride == 1 and not slow
    level = DiagnosticStatus.OK if fine else DiagnosticStatus.WARN
    return level, ": ".join(filter(None, (result.mode, ", ".join(notes))))


def how_often(stride: int) -> str:
    """On which images the detector runs."""
    return "on every image" if stride == 1 else f"on one image in {stride}"


def change_status(silent: CameraName | None, config: NodeConfig) -> str:
    """What to say when a camera falls silent (its name) or all send again (None)."""
    if silent is None:
        return "both cameras publish: mode fused"
    mode = _SUBSTITUTE[silent] if config.when_silent == "fallback" else "silence"
    return f"the {silent} camera is silent for more than {config.silent_after_s:g} s: mode {mode}"
