"""What the CPU is called, and how many of its cores a process has."""

import os
from pathlib import Path

import pytest

from ivfusion_ros.backends import cpu

X86 = """processor\t: {core}
vendor_id\t: GenuineIntel
model name\t: Intel(R) Core(TM) i7-1260P

"""
ARM = """processor\t: {core}
BogoMIPS\t: 108.00
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: {part}

"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("".join(X86.format(core=core) for core in range(4)), "Intel(R) Core(TM) i7-1260P"),
        (ARM.format(core=0, part="0xd0c"), "ARM 0x41 0xd0c"),
        # Cores of two kinds, as in a phone's processor.
        (
            "".join(ARM.format(core=core, part=part) for core, part in enumerate(("0xd05", "0xd0b") * 2)),
            "ARM 0x41 0xd05, ARM 0x41 0xd0b",
        ),
        ("processor\t: 0\nhart\t: 1\n", "riscv64"),
        (None, "riscv64"),
    ],
)
def test_the_cpu_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: str
) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    monkeypatch.setattr(cpu, "_PROCESSORS", tmp_path / "cpuinfo")
    monkeypatch.setattr("platform.processor", lambda: "")
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert cpu.cpu_model() == expected


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def test_cores_are_those_that_a_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5}, raising=False)
    assert cpu.usable_cores(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.usable_cores(tmp_path) == 6


@pytest.mark.parametrize(
    ("files", "limit", "usable"),
    [
        ({"sys/fs/cgroup/cpu.max": "250000 100000"}, 2.5, 2),
        # Less than a core's time is one core all the same.
        ({"sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5, 1),
        ({"sys/fs/cgroup/cpu.max": "1600000 100000"}, 16, 8),
        ({"sys/fs/cgroup/cpu.max": "max 100000"}, None, 8),
        # A service within a slice with a limit.
        (
            {
                "proc/self/cgroup": "0::/robot.slice/node.service",
                "sys/fs/cgroup/robot.slice/cpu.max": "300000 100000",
                "sys/fs/cgroup/robot.slice/node.service/cpu.max": "max 100000",
            },
            3,
            3,
        ),
        # The first version: a container sees its group as the root, or where the host has it.
        (
            {
                "proc/self/cgroup": "3:cpuset:/box\n4:cpu,cpuacct:/docker/1f\n0::/",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            4,
            4,
        ),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/box",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
                "sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "75000",
                "sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "50000",
            },
            1.5,
            1,
        ),
        ({"proc/self/cgroup": "0::/gone"}, None, 8),
    ],
)
def test_a_containers_limit_counts(
    tmp_path: Path, files: dict[str, str], limit: float | None, usable: int
) -> None:
    write(tmp_path, files)
    assert cpu.core_limit(tmp_path) == limit
    assert cpu.usable_cores(tmp_path) == usable
