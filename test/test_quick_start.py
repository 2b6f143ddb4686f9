"""Help, version and completion come without the libraries of the work, whose imports take half a second."""

import subprocess
import sys

import pytest

from ivfusion_ros.cli import COMMANDS

OF_THE_WORK = {
    "av", "cv2", "matplotlib", "numpy", "onnx", "onnxruntime", "openvino", "rclpy", "rosbags", "scipy",
    "tensorrt", "torch", "tqdm", "yaml",
}  # fmt: skip

PROGRAM = """
import sys
from ivfusion_ros.cli import main
try:
    main({words!r})
except SystemExit as end:
    assert not end.code, end
found = sorted({libraries!r} & set(sys.modules))
assert not found, found
"""


def start(*words: str) -> str:
    program = PROGRAM.format(words=list(words), libraries=OF_THE_WORK)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command(command: str) -> None:
    assert start(command, "--help").startswith(f"usage: ivfusion {command}")


def test_help_of_all() -> None:
    listed = {line.split()[0] for line in start("--help").splitlines() if line.strip()}
    assert listed >= COMMANDS.keys()


def test_version() -> None:
    assert start("--version").startswith("ivfusion ")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str) -> None:
    pytest.importorskip("shtab", reason="completion needs shtab")
    assert "eval-detection" in start("completion", shell)
