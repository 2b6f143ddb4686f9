"""A replay of 3840x2160 RGB with 640x512 thermal images takes a bounded memory, however long it is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.types import Frame

if TYPE_CHECKING:
    from pathlib import Path

RGB, THERMAL = (2160, 3840), (512, 640)
MOST_MB, GROWTH_MB = 900, 60
"""An RGB image has 25."""
RUN = """
import re, sys
from pathlib import Path
from ivfusion_ros.cli import main
status = main(sys.argv[1:])
# Not getrusage, which begins with what the parent had.
print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
sys.exit(status)
"""


def write_bag(path: Path, pairs: int) -> None:
    """Soft shapes that move, as JPEG and PNG, which are small."""
    random = np.random.default_rng(0)
    scene = cv2.resize(random.integers(0, 256, (70, 120, 3), np.uint8), (3900, 2200))
    heat = cv2.resize(random.integers(0, 256, (40, 50), np.uint8), (700, 560))
    with BagWriter(path, compressed=True) as writer:
        for index in range(pairs):
            stamp = 10**18 + index * 100_000_000
            rgb = scene[index : index + RGB[0], index : index + RGB[1]]
            thermal = heat[index : index + THERMAL[0], index : index + THERMAL[1]]
            writer.write_frame("rgb", Frame(np.ascontiguousarray(rgb), stamp))
            writer.write_frame("thermal", Frame(np.ascontiguousarray(thermal), stamp))


def replayed(bag: Path, output: Path) -> tuple[int, int]:
    """Pairs, and the peak memory of the replay's process in MB."""
    report = output.with_suffix(".json")
    words = ["replay", str(bag), str(output), "--compressed", "--detector", "", "--json", str(report)]
    words += ["--model", "refinefuse_lite", "--set", "fusion.resolution=thermal"]
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
    )
    return json.loads(report.read_text())["pairs"], int(done.stdout.split()[-1]) // 1024


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc")
def test_memory_is_bounded_and_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    peaks = {}
    for pairs in (6, 20):
        bag = tmp_path / f"{pairs}.mcap"
        write_bag(bag, pairs)
        count, peaks[pairs] = replayed(bag, tmp_path / f"fused_{pairs}.mcap")
        assert count == pairs
    assert peaks[20] < MOST_MB
    assert peaks[20] < peaks[6] + GROWTH_MB, peaks
