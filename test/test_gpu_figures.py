"""The table of a run on a GPU, from what its steps write; without a GPU nothing is begun."""

import json
import subprocess
import sys
from pathlib import Path

import gpu_figures
import pytest
from places import ROOT

NETWORK = {"median": 0.9, "p95": 1.1, "speed_up": 4.0, "least_ms": 0.4, "share_of_peak": 0.4444}


def test_the_table_has_what_was_run_and_says_what_was_not(tmp_path: Path) -> None:
    figures = {
        "networks": {"slow": NETWORK | {"median": 2.0}, "fast": NETWORK},
        "pipelines": {
            "fast": {"median": 1.5, "p95": 2.0, "pairs_per_second": 700.0, "stages": {"fuse": NETWORK}}
        },
        "peak": {"operations_per_s": 8e14, "bytes_per_s": 4e12, "by": "torch"},
    }
    (tmp_path / "networks.json").write_text(json.dumps(figures))
    (tmp_path / "steps.tsv").write_text("doctor\t0\t2\ntests\t1\t40\n")
    lines = gpu_figures.report(tmp_path).splitlines()
    networks = lines.index("| network | median | p95 | shortest at the peak | share of the peak |")
    assert lines[networks + 2 : networks + 4] == [
        "| fast | 0.9 | 1.1 | 0.4 | 44% |",
        "| slow | 2.0 | 1.1 | 0.4 | 44% |",
    ]
    assert "| fast | 1.5 | 2.0 | 700.0 | fuse 0.90 |" in lines
    assert "Peak that was measured: 800.0 T operations/s, 4000 GB/s, by torch." in lines
    assert "| tests | 1 | 40 |" in lines
    # Neither engines nor memory.
    assert lines.count("not run") == 2


def test_memory_is_read_while_frames_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_figures, "gpu_backends", lambda: ["onnxruntime"])
    monkeypatch.setattr(gpu_figures, "SIZE", (64, 48))
    (rows,) = gpu_figures.measure_memory(200).values()
    assert [row["frames"] for row in rows] == [10, *range(20, 201, 20)]
    assert all(row["peak_process_mib"] > 10 for row in rows)


def test_without_a_gpu_the_script_ends_at_once_and_says_so(tmp_path: Path) -> None:
    if gpu_figures.gpu_backends():
        pytest.skip("there is a GPU")
    done = subprocess.run(
        [ROOT / "test" / "gpu.sh", tmp_path / "figures"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "no backend finds a GPU here" in done.stderr
    assert list((tmp_path / "figures").iterdir()) == []
