"""The CPU of this machine: what kind it is, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path

_PROCESSORS = Path("/proc/cpuinfo")

_ARM_KEYS = ("CPU implementer", "CPU part")


def is_x86() -> bool:
    """Whether it is of the kind on which the backends' speeds were measured."""
    return platform.machine() in ("x86_64", "AMD64")


def usable_cores() -> int:
    """Number of cores that this process may use, where the system tells, else of all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model() -> str:
    """What the CPU calls itself; of ARM, which has no name, its kinds of cores as numbers."""
    try:
        text = _PROCESSORS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    cores = [_entries(core) for core in text.split("\n\n")]
    names = {core["model name"] for core in cores if core.get("model name")}
    kinds = {" ".join(core[key] for key in _ARM_KEYS) for core in cores if core.keys() >= set(_ARM_KEYS)}
    found = sorted(names) or [f"ARM {kind}" for kind in sorted(kinds)]
    return ", ".join(found) or platform.processor() or platform.machine()


def _entries(core: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in core.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}
