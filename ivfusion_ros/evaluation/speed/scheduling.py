"""What the system lets this process have: cores, priority, room for messages; and what to do for more."""

from __future__ import annotations

import os
from pathlib import Path

from ivfusion_ros.backends.cpu import allowed_cores, core_limit, usable_cores

_IMAGE_BYTES = 4 << 20
"""An RGB image of 1280x1024 comes as a burst of this order, which the system holds until it is read."""
_BUFFER_BYTES = 8 << 20
"""What config/dds/ asks for."""
_USUAL_LOAD = 0.5
"""Per core: more leaves too little of it to those who come later."""
_ADVISED_NICENESS = -10
_CAP_SYS_NICE = 23
"""Bit of the capability that lets a process go as low as it likes."""


def read_scheduling(root: Path = Path("/")) -> dict[str, str]:
    """By name: cores, load, niceness and socket buffer, each with what to do where it is too little.

    What this system does not tell is left out. root: of the file system, for tests.
    """
    cores = allowed_cores()
    found = {
        "cores": _told_cores(cores, root),
        "load": _told_load(root, cores),
        "niceness": _told_niceness(root),
        "socket buffer": _told_buffer(root),
    }
    return {name: value for name, value in found.items() if value}


def _told_cores(allowed: int, root: Path) -> str:
    told = f"{allowed} of {max(allowed, os.cpu_count() or allowed)}"
    limit = core_limit(root)
    if limit is None or limit >= allowed:
        return told
    return (
        f"{told}, of whose time this container gets {limit:g} cores': more threads than that wait in turn; "
        f"set fusion.threads and detection.threads to {usable_cores(root)}, or raise the container's limit"
    )


def _told_load(root: Path, cores: int) -> str:
    words = _text(root / "proc/loadavg").split()
    if not words:
        return ""
    load = float(words[0])
    if load <= _USUAL_LOAD * cores:
        return f"{load:.2f}"
    return f"{load:.2f} on {cores} cores: what else runs here takes time from the node, see niceness"


def _told_niceness(root: Path) -> str:
    if not hasattr(os, "nice"):
        return ""
    now = os.nice(0)
    lowest = min(now, _least_niceness(root))
    told = f"{now}, lowest for this user {lowest}"
    if now <= _ADVISED_NICENESS:
        return told
    told += f"; `nice -n {_ADVISED_NICENESS} ros2 launch ...` puts the node before other work"
    if lowest > _ADVISED_NICENESS:
        told += f", once /etc/security/limits.conf has `USER - nice {_ADVISED_NICENESS}`"
    if _text(root / "proc/sys/kernel/sched_autogroup_enabled") == "1":
        told += (
            "; that counts within one terminal or service only, as sched_autogroup is on: "
            "`sudo sysctl -w kernel.sched_autogroup_enabled=0`"
        )
    return told


def _least_niceness(root: Path) -> int:
    """As low as this process may go by its capabilities and limits."""
    import resource

    words = next(
        (line.split() for line in _text(root / "proc/self/status").splitlines() if "CapEff" in line), []
    )
    if words and int(words[1], 16) >> _CAP_SYS_NICE & 1:
        return -20
    limit = resource.getrlimit(resource.RLIMIT_NICE)[0]
    return -20 if limit == resource.RLIM_INFINITY else 20 - limit


def _told_buffer(root: Path) -> str:
    text = _text(root / "proc/sys/net/core/rmem_max")
    if not text.isdigit():
        return ""
    told = f"{int(text) / 1024:.0f} KiB at most"
    if int(text) >= _IMAGE_BYTES:
        return told
    return (
        f"{told}: large images lose pieces; `sudo sysctl -w net.core.rmem_max={_BUFFER_BYTES}`, with a "
        "profile of config/dds/"
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
