"""Whoever looks on may leave: the work goes on, and its output is there."""

import subprocess
import sys
from pathlib import Path

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


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("words", ["--help", "bench --help", "doctor --parameters"])
def test_results_that_nobody_gets_are_no_success(words) -> None:
    program = [sys.executable, "-m", "ivfusion_ros.cli", *words.split()]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 1
    assert "what was printed is lost: No space left" in done.stderr
    assert subprocess.run(program, stdout=subprocess.DEVNULL, timeout=120).returncode == 0


def test_figures_for_a_stdout_that_is_closed_are_refused_before_the_work(small_bag, tmp_path) -> None:
    words = ["replay", str(small_bag), str(tmp_path / "out.mcap"), "--json", "-"]
    shell = ["sh", "-c", '"$@" >&-', "sh", sys.executable, "-m", "ivfusion_ros.cli", *words]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=120)
    assert done.returncode == 2 and "standard output is closed; name a file" in done.stderr
    assert not (tmp_path / "out.mcap").exists()
