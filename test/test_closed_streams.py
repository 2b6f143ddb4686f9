"""Whoever looks on may leave: the work goes on, and its output is there."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "shell",
    [
        '"$@" 2>&-; echo $? >status',
        '"$@" >&- 2>&-; echo $? >status',
        '("$@" 2>&1; echo $? >status) | true',
        '("$@" 2>&1; echo $? >status) | head -c 1',
    ],
)
def test_a_closed_stream_costs_no_output(small_bag, blend_model, tmp_path, shell) -> None:
    words = ["replay", small_bag, tmp_path / "out.mcap", "--model", blend_model, "--detector", ""]
    program = [sys.executable, "-m", "ivfusion_ros.cli", *words, "--backend", "onnxruntime"]
    subprocess.run(["sh", "-c", shell, "sh", *map(str, program)], cwd=tmp_path, timeout=120)
    assert (tmp_path / "status").read_text().strip() == "0"
    assert (tmp_path / "out.mcap").stat().st_size > 1000
