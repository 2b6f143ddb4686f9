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


def test_cores_are_those_that_a_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 4, 5}, raising=False)
    assert cpu.usable_cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cpu.usable_cores() == 6
