"""python gpu_wheels.py WHEELS FOLDER: unpack into FOLDER the wheels that this Python lacks, offline.

A virtual environment would hide the packages of the one that this Python may itself be in: its torch.
"""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path


def missing(wheels: Path) -> list[Path]:
    """The wheels of distributions that are not installed, in any version."""
    here = {normal(item.metadata["Name"] or "") for item in importlib.metadata.distributions()}
    return [path for path in sorted(wheels.glob("*.whl")) if normal(path.name.split("-")[0]) not in here]


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def main(wheels: Path, folder: Path) -> int:
    wanted = missing(wheels)
    if not wanted:
        if any(wheels.glob("*.whl")):
            return 0
        print(f"gpu_wheels: {wheels} has no wheels; test/gpu.sh says how it is filled", file=sys.stderr)
        return 1
    print(f"unpacking {', '.join(path.name.split('-')[0] for path in wanted)}")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--upgrade"]
    return subprocess.run([*pip, "--target", folder, *wanted], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
