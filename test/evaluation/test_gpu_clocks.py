"""What the clocks are: a Jetson's files, a PC's nvidia-smi, and a machine that tells nothing."""

import json
from pathlib import Path

import pytest

from ivfusion_ros.cli import main
from ivfusion_ros.commands import bench
from ivfusion_ros.evaluation.speed.clocks import read_clocks

MODES = """< POWER_MODEL ID=0 NAME=MAXN >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=2 NAME=MODE_30W >
"""


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@pytest.fixture(autouse=True)
def no_smi(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


@pytest.mark.parametrize(
    ("least", "clock"),
    [
        ("306000000", "612 MHz, from 306 MHz; `sudo jetson_clocks` holds the highest"),
        ("1300500000", "612 MHz, held"),
    ],
)
def test_a_jetson_tells_mode_and_clock(tmp_path: Path, least: str, clock: str) -> None:
    gpu = "sys/class/devfreq/17000000.gpu"
    write(
        tmp_path,
        **{
            "var/lib/nvpmodel/status": "pmode:0002 fmode:fanNull",
            "etc/nvpmodel.conf": MODES,
            f"{gpu}/cur_freq": "612000000",
            f"{gpu}/min_freq": least,
            f"{gpu}/max_freq": "1300500000",
            "sys/class/devfreq/15340000.vic/cur_freq": "1",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil",
            "sys/devices/system/cpu/cpu11/cpufreq/scaling_governor": "performance",
        },
    )
    assert read_clocks(tmp_path) == {
        "CPU governor": "performance, schedutil",
        "power mode": "2 (MODE_30W)",
        "GPU clock": clock,
        "GPU clock, highest": "1300 MHz",
    }


def smi(folder: Path, script: str) -> None:
    path = folder / "bin" / "nvidia-smi"
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_pc_asks_nvidia_smi(tmp_path: Path) -> None:
    smi(
        tmp_path,
        'echo "$1" >>"$0.asked"; echo "1980 MHz, 1980 MHz, [N/A], 3201 MHz, 700.00 W, 700.00 W, Enabled"',
    )
    assert read_clocks(tmp_path) == {
        "GPU clock": "1980 MHz",
        "GPU clock, highest": "1980 MHz",
        "memory clock, highest": "3201 MHz",
        "power limit": "700.00 W",
        "power limit, highest": "700.00 W",
        "persistence mode": "Enabled",
    }
    asked = (tmp_path / "bin" / "nvidia-smi.asked").read_text()
    assert asked.startswith("--query-gpu=clocks.sm,clocks.max.sm,")


@pytest.mark.parametrize("script", ["exit 9", "echo No devices were found", "echo 1, 2"])
def test_what_is_not_told_is_left_out(tmp_path: Path, script: str) -> None:
    smi(tmp_path, script)
    write(tmp_path, **{"var/lib/nvpmodel/status": "of another kind"})
    assert read_clocks(tmp_path) == {}


def test_figures_name_the_clocks(
    tmp_path: Path, blend_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "read_clocks", lambda: {"power mode": "0 (MAXN)"})
    words = f"bench --model {blend_model} --backend onnxruntime --size 32x24 --rounds 1 --json".split()
    assert main([*words, str(tmp_path / "figures.json")]) == 0
    assert json.loads((tmp_path / "figures.json").read_text())["clocks"] == {"power mode": "0 (MAXN)"}
    assert "power mode: 0 (MAXN)" in capsys.readouterr().out
