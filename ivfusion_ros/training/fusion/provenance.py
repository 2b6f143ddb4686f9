"""What a checkpoint was made of: enough to make it again, and to see that a run goes on with the same."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2

import ivfusion_ros
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

ORIGIN = ("settings", "data", "init", "teacher")
"""What two parts of one run must have in common."""


def versions() -> dict[str, str]:
    """Of what takes part in a training, by name; `commit` where the package lies in a git checkout."""
    found = {"ivfusion_ros": ivfusion_ros.__version__, "python": platform.python_version()}
    for package in ("torch", "numpy", "ultralytics"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    found["opencv"] = cv2.__version__
    commit = _commit(Path(ivfusion_ros.__file__).resolve().parents[1])
    return {**found, "commit": commit} if commit else found


def _commit(folder: Path) -> str:
    """Commit of a checkout, with `+` where files differ from it; empty where there is none."""
    if not (folder / ".git").exists():
        # An installation may lie below somebody else's repository.
        return ""
    words = ["describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def file_identity(path: Path | None) -> dict[str, str]:
    """Name and SHA-256 of a file that a run starts from; empty for None."""
    return {} if path is None else {"file": path.name, "sha256": file_sha256(path)}


def files_identity(root: Path, files: Iterable[Path]) -> dict[str, Any]:
    """Count and hash of a list of files: names below root and sizes, wherever that lies."""
    digest, count = hashlib.sha256(), 0
    for path in sorted(files):
        digest.update(os.fsencode(f"{path.relative_to(root)} {path.stat().st_size}\n"))
        count += 1
    return {"files": count, "sha256": digest.hexdigest()}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """`name: was this, is that`, for all that differs between two nested mappings."""
    for name in {**before, **now}:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{prefix}{name}.")
        elif old != new:
            yield f"{prefix}{name}: was {_told(old)}, is {_told(new)}"


def check_same_run(
    run: Path, before: Mapping[str, Any], now: Mapping[str, Any], may_change: Collection[str]
) -> None:
    """Raises ConfigError where what is to go on in a folder began as something else.

    may_change: settings that may differ.
    """
    free = tuple(f"settings.{name}:" for name in may_change)
    changed = [
        line
        for part in ORIGIN
        for line in differences(before.get(part, {}), now[part], f"{part}.")
        if not line.startswith(free)
    ]
    if changed:
        raise ConfigError(
            f"{run} was trained with something else ({'; '.join(changed)}); give the same, or another --out"
        )


def _told(value: Any) -> str:
    return "nothing" if value is None or value == {} else str(value)
