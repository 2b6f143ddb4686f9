"""~/status: one message per output, and one whenever a camera falls silent or returns."""

from __future__ import annotations

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from ivfusion_ros.ros.config import NodeConfig
from ivfusion_ros.ros.streams import Camera
from ivfusion_ros.types import FusionResult

_NS_PER_S = 1_000_000_000
_SUBSTITUTE = {"thermal": "rgb_only", "rgb": "thermal_only"}


def result_status(name: str, result: FusionResult, node_ms: float, age_ms: float) -> DiagnosticStatus:
    """Mode, stamp, skew, age and stage latencies of one output; a warning while a camera is silent.

    node_ms: from the last image that it needs to its publication. age_ms: the node's clock at that
    moment less the stamp.
    """
    fused = result.mode == "fused"
    values = {
        "mode": result.mode,
        "stamp": "{}.{:09d}".format(*divmod(result.stamp_ns, _NS_PER_S)),
        "skew_ms": f"{result.skew_ns / 1e6:.3f}",
        "age_ms": f"{age_ms:.3f}",
        "node_ms": f"{node_ms:.3f}",
        "pipeline_ms": f"{sum(result.timings_ms.values()):.3f}",
        **{f"{stage}_ms": f"{elapsed:.3f}" for stage, elapsed in result.timings_ms.items()},
    }
    if result.detections is not None:
        values["detections"] = str(len(result.detections))
    return DiagnosticStatus(
        name=name,
        level=DiagnosticStatus.OK if fused else DiagnosticStatus.WARN,
        message=result.mode,
        values=[KeyValue(key=key, value=value) for key, value in values.items()],
    )


def change_status(silent: Camera | None, config: NodeConfig) -> str:
    """What to say when a camera falls silent (its name) or all send again (None)."""
    if silent is None:
        return "both cameras send: mode fused"
    mode = _SUBSTITUTE[silent] if config.when_silent == "fallback" else "silence"
    return f"the {silent} camera is silent for more than {config.silent_after_s:g} s: mode {mode}"
