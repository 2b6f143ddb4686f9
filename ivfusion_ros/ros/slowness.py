"""Pairs that take far too long, with what to do: on the console, in ~/status and in /diagnostics."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

SLOW_S = 2.0
"""From here on a pair is no longer of use to a robot."""
_CURES = {
    "fuse": "set fusion.model to a quicker one such as refinefuse_lite, fusion.resolution to thermal, or "
    "another fusion.backend",
    "detect": "set detection.model to a quicker one such as yolov5n, detection.tiles to 1, or "
    "another detection.backend",
}
_OTHER_CURE = "set registration.residual and registration.refine.model to off"
_MEASURE = "`ivfusion bench` measures them on this machine"


def slow_in_work(stage: str, seconds: float) -> str:
    """What to say of a pair in work by how long its stage has run; empty where that is no long time."""
    if not stage or seconds < SLOW_S:
        return ""
    return f"the pair in work has been in stage {stage} for {seconds:.0f} s: {_cure(stage)}"


def slow_pair(timings_ms: Mapping[str, float]) -> str:
    """What to say of a pair that is done, by the times of its stages; empty where it took no long time."""
    seconds = sum(timings_ms.values()) / 1e3
    if seconds < SLOW_S:
        return ""
    stage = max(timings_ms, key=lambda name: timings_ms[name])
    return f"a pair takes {seconds:.1f} s, of which {stage} {timings_ms[stage] / 1e3:.1f} s: {_cure(stage)}"


def _cure(stage: str) -> str:
    return f"{_CURES.get(stage, _OTHER_CURE)}; {_MEASURE}"
