"""Write lock.txt and docker/constraints.txt: `make lock` runs this.

What is named in setup.py at the versions of constraints.txt, and what that needs in turn, by uv's resolver:
for the tests with the hashes of all files, for the images beside a numpy that ROS's messages can have.
"""

import re
import subprocess
import sys
import tempfile

from places import ROOT

EXTRAS = ("openvino", "report", "web", "train", "test")
"""What the Makefile installs for the tests."""

WITHOUT_DEPENDENCIES = ("ultralytics==8.4.190", "ultralytics-thop==2.2.3", "torchvision==0.28.0")
"""They ask for a torch of their own, which may bring CUDA."""

LEFT_OUT = re.compile(r"(torch|triton|nvidia-.*|cuda-toolkit)==")
"""torch is taken from wherever pip finds it, as a CPU build where there is one, whose files are not PyPI's;
the others are of its CUDA build."""

HEAD = """\
# By `make lock`, for Python 3.11 and newer: what `make test` installs, each file checked by its hash.
# torch and the parts of its CUDA build are not here: a CPU build has other files than PyPI's.
"""


IN_IMAGES = re.compile(r"(numpy|opencv-python-headless)==")
"""ROS's message packages are compiled for numpy 1, and newer OpenCVs are not."""

NUMPY = "numpy<2; python_version < '3.13'"
"""Of the Pythons of ROS 2 Humble and Jazzy."""

NOT_PINNED = re.compile(r"cuda-(bindings|pathfinder)==")
"""They go with the CUDA of the image, and are arguments of its build."""

IMAGES_HEAD = """\
# By `make lock`: what the images install. cuda-bindings goes with the CUDA of the image.
"""


def resolved(words: list[str], requirements: str = "") -> str:
    """What uv finds: lines of NAME==VERSION, with --generate-hashes their hashes below them."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", *words]
    command += ["--no-annotate", "--no-header"]
    return subprocess.run(
        command, input=requirements, text=True, check=True, stdout=subprocess.PIPE, cwd=ROOT
    ).stdout


def write_lock() -> None:
    """For the tests."""
    extras = [word for extra in EXTRAS for word in ("--extra", extra)]
    how = ["--constraint", "constraints.txt", "--python-version", "3.11", "--generate-hashes"]
    text = resolved(["setup.py", *extras, *how])
    text += resolved(["-", "--no-deps", *how], "\n".join(WITHOUT_DEPENDENCIES))
    entries = re.findall(r"^\S.*\n(?:    .*\n)+", text, flags=re.MULTILINE)
    kept = sorted(entry for entry in entries if not LEFT_OUT.match(entry))
    (ROOT / "lock.txt").write_text(HEAD + "".join(kept), encoding="utf-8")


def write_images_constraints() -> None:
    """For docker/."""
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("".join(line for line in pins if not IN_IMAGES.match(line)))
        file.flush()
        how = ["--constraint", file.name, "--python-version", "3.10"]
        lines = resolved(["setup.py", "-", "--extra", "rtx", *how], NUMPY).splitlines(keepends=True)
    kept = "".join(line for line in lines if not NOT_PINNED.match(line))
    (ROOT / "docker" / "constraints.txt").write_text(IMAGES_HEAD + kept, encoding="utf-8")


if __name__ == "__main__":
    write_lock()
    write_images_constraints()
