"""Clocks and power modes: what the same machine's times depend on, and what a table of times must name."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_GPU_NAMES = ("gpu", "ga10b", "gb10b", "gv11b")
"""Parts of the names that a Jetson's GPU has below /sys/class/devfreq."""

_QUERY = {
    "clocks.sm": "GPU clock",
    "clocks.max.sm": "GPU clock, highest",
    "clocks.mem": "memory clock",
    "clocks.max.mem": "memory clock, highest",
    "power.limit": "power limit",
    "power.max_limit": "power limit, highest",
    "persistence_mode": "persistence mode",
}
"""Of nvidia-smi, and what it is called here."""

_PATIENCE_S = 10.0


def read_clocks(root: Path = Path("/")) -> dict[str, str]:
    """By name: the CPU's governor, a Jetson's power mode and GPU clock, another GPU's clocks and limits.

    What this machine does not tell is left out. root: of the file system, for tests.
    """
    found = {"CPU governor": _governors(root), "power mode": _power_mode(root)}
    found |= _jetson_gpu(root) or _desktop_gpu()
    return {name: value for name, value in found.items() if value}


def _governors(root: Path) -> str:
    files = root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor")
    return ", ".join(sorted({_text(path) for path in files} - {""}))


def _power_mode(root: Path) -> str:
    """The number of nvpmodel's mode, with its name from nvpmodel's own table where that can be read."""
    words = _text(root / "var/lib/nvpmodel/status").split()
    mode = next((word.removeprefix("pmode:") for word in words if word.startswith("pmode:")), "")
    if not mode.isdigit():
        return ""
    for line in _text(root / "etc/nvpmodel.conf").splitlines():
        fields = dict(item.split("=", 1) for item in line.strip("<> ").split() if "=" in item)
        if line.lstrip().startswith("< POWER_MODEL") and fields.get("ID") == str(int(mode)):
            return f"{int(mode)} ({fields.get('NAME', 'without a name')})"
    return str(int(mode))


def _jetson_gpu(root: Path) -> dict[str, str]:
    for folder in sorted(root.glob("sys/class/devfreq/*")):
        if not any(part in folder.name for part in _GPU_NAMES):
            continue
        hertz = {name: _text(folder / f"{name}_freq") for name in ("cur", "min", "max")}
        if all(value.isdigit() for value in hertz.values()):
            mhz = {name: f"{int(value) / 1e6:.0f} MHz" for name, value in hertz.items()}
            held = hertz["min"] == hertz["max"]
            how = "held" if held else f"from {mhz['min']}; `sudo jetson_clocks` holds the highest"
            return {"GPU clock": f"{mhz['cur']}, {how}", "GPU clock, highest": mhz["max"]}
    return {}


def _desktop_gpu() -> dict[str, str]:
    if shutil.which("nvidia-smi") is None:
        return {}
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    values = [value.strip() for value in done.partition("\n")[0].split(",")]
    if len(values) != len(_QUERY):
        return {}
    return {name: value for name, value in zip(_QUERY.values(), values, strict=True) if "N/A" not in value}


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""
