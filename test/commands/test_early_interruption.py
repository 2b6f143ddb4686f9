"""Ctrl-C while a command or the node still imports its libraries: status 130, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

INTERRUPTING = """
import os, signal, time
os.kill(os.getpid(), signal.SIGINT)
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("library", "words", "said"),
    [
        ("tqdm", ["ivfusion_ros.cli", "replay", "in.mcap", "out.mcap"], "ivfusion replay: interrupted\n"),
        ("rclpy", ["ivfusion_ros.ros.node"], ""),
    ],
)
def test_an_interrupt_amid_imports(library: str, words: list[str], said: str, tmp_path: Path) -> None:
    (tmp_path / f"{library}.py").write_text(INTERRUPTING)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=50,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert (done.returncode, done.stderr) == (130, said)
