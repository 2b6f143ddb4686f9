"""The CPU of this machine: what kind it is, and how much of it this process may use."""

from __future__ import annotations

import os
import platform
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROCESSORS = Path("/proc/cpuinfo")

_ARM_KEYS = ("CPU implementer", "CPU part")


def is_x86() -> bool:
    """Whether it is of the kind on which the backends' speeds were measured."""
    return platform.machine() in ("x86_64", "AMD64")


def usable_cores(root: Path = Path("/")) -> int:
    """Number of cores whose time this process gets: more threads than that wait in turn. At least 1.

    root: of the file system, for tests.
    """
    allowed, limit = allowed_cores(), core_limit(root)
    return allowed if limit is None else max(1, min(allowed, int(limit)))


def allowed_cores() -> int:
    """Number of cores that this process may run on, where the system tells, else of all."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def core_limit(root: Path = Path("/")) -> float | None:
    """Cores' worth of time that a container or service leaves to this process, None for no limit.

    root: as in usable_cores.
    """
    limits = (_group_limit(group) for group in _groups(root))
    return min((limit for limit in limits if limit is not None), default=None)


def _groups(root: Path) -> Iterator[Path]:
    """The control groups of this process and those around them, of both versions."""
    mounted = root / "sys/fs/cgroup"
    # A container may have its own group for the root, while it is told the path on the host.
    own = {"": "/", "cpu": "/"}
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        own |= {name: path for name in controllers.split(",") if name in own}
    for name, path in own.items():
        inner = PurePosixPath(path.lstrip("/"))
        yield from (mounted / name / group for group in (inner, *inner.parents))


def _group_limit(group: Path) -> float | None:
    words = _text(group / "cpu.max").split() or [
        _text(group / f"cpu.cfs_{name}_us") for name in ("quota", "period")
    ]
    if len(words) == 2 and all(word.isdigit() for word in words):
        return int(words[0]) / int(words[1])
    return None


def cpu_model() -> str:
    """What the CPU calls itself; of ARM, which has no name, its kinds of cores as numbers."""
    cores = [_entries(core) for core in _text(_PROCESSORS).split("\n\n")]
    names = {core["model name"] for core in cores if core.get("model name")}
    kinds = {" ".join(core[key] for key in _ARM_KEYS) for core in cores if core.keys() >= set(_ARM_KEYS)}
    found = sorted(names) or [f"ARM {kind}" for kind in sorted(kinds)]
    return ", ".join(found) or platform.processor() or platform.machine()


def _entries(core: str) -> dict[str, str]:
    pairs = (line.partition(":") for line in core.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _text(path: Path) -> str:
    """A file's, empty where there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
