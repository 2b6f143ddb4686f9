"""The script for a GPU: its measures by a CPU's backends, its table, and what it says without a GPU."""

import json
import subprocess
import sys
from pathlib import Path

import gpu_figures
import gpu_measures
import gpu_wheels
import pytest
from places import ROOT

pytest.importorskip("onnx")

import fake_gpu
from small_models import write_fusion

from ivfusion_ros.backends import load_backend
from ivfusion_ros.models import resolve_model

NETWORK = {"median": 0.9, "p95": 1.1, "speed_up": 4.0, "least_ms": 0.4, "share_of_peak": 0.4444}


def write_figures(folder: Path) -> None:
    figures = {
        "networks": {"slow: torch": NETWORK | {"median": 2.0}, "fast: torch": NETWORK},
        "pipelines": {
            "fast": {"median": 1.5, "p95": 2.0, "pairs_per_second": 700.0, "stages": {"fuse": NETWORK}}
        },
        "peak": {"operations_per_s": 8e14, "bytes_per_s": 4e12, "by": "torch"},
    }
    (folder / "networks.json").write_text(json.dumps(figures))
    times = {
        "fast: torch": {"graph_ms": 0.8, "eager_ms": 2.0},
        "slow: cpu": {"graph_ms": None, "eager_ms": 4.0},
    }
    (folder / "graphs.json").write_text(json.dumps(times))
    parity = {"fast: torch auto": {"passed": False, "text": "mean error 9"}}
    (folder / "parity.json").write_text(json.dumps(parity))
    (folder / "doctor.json").write_text(
        json.dumps({"gpu": {"GPU": "H1"}, "clocks": {"GPU clock": "1 MHz"}})
    )
    (folder / "steps.tsv").write_text("doctor\t0\t2\ntests\t1\t40\n")


def test_the_table_has_what_was_run_and_says_what_was_not(tmp_path: Path) -> None:
    write_figures(tmp_path)
    lines = gpu_figures.report(tmp_path).splitlines()
    networks = lines.index("| network | median | p95 | shortest at the peak | share of the peak |")
    assert lines[networks + 2 : networks + 4] == [
        "| fast: torch | 0.9 | 1.1 | 0.4 | 44% |",
        "| slow: torch | 2.0 | 1.1 | 0.4 | 44% |",
    ]
    assert "| fast: torch | 0.8 | 2.0 | 2.5 | 50% |" in lines
    assert "| slow: cpu | not run | 4.0 |  | 10% |" in lines
    assert "| fast | 1.5 | 2.0 | 700.0 | fuse 0.90 |" in lines
    assert "| fast: torch auto | NO | mean error 9 |" in lines
    assert "Peak that was measured: 800.0 T operations/s, 4000 GB/s, by torch." in lines
    assert "| tests | 1 | 40 |" in lines and "| GPU clock | 1 MHz |" in lines
    # Neither a timeline, nor engines, nor memory.
    assert lines.count("not run") == 3
    assert gpu_figures.DRY not in lines and gpu_figures.DRY in gpu_figures.report(tmp_path, cpu=True)


def test_the_docs_take_the_tables_in_and_no_dry_run(tmp_path: Path) -> None:
    write_figures(tmp_path)
    page = tmp_path / "page.md"
    text = gpu_figures.PAGE.read_text(encoding="utf-8")
    page.write_text(text)
    (tmp_path / "README.md").write_text(gpu_figures.report(tmp_path, cpu=True))
    with pytest.raises(SystemExit, match="is a dry run on a CPU"):
        gpu_figures.into_docs(tmp_path, page)
    assert page.read_text() == text
    (tmp_path / "README.md").write_text(gpu_figures.report(tmp_path))
    for _ in range(2):
        gpu_figures.into_docs(tmp_path, page)
        found = page.read_text()
        assert found.count("| fast: torch | 0.8 | 2.0 | 2.5 | 50% |") == found.count("| GPU | H1 |") == 1
        assert "no GPU was at hand so far" not in found and "| tests | 1 | 40 |" not in found
    outside = [
        part.split(end)[i]
        for part, end, i in zip((text, found), (gpu_figures.END,) * 2, (1, 1), strict=True)
    ]
    assert (
        outside[0] == outside[1] and found.split(gpu_figures.BEGIN)[0] == text.split(gpu_figures.BEGIN)[0]
    )


def test_memory_is_read_while_frames_run() -> None:
    (rows,) = gpu_measures.memory(["onnxruntime"], (64, 48), 200).values()
    assert [row["frames"] for row in rows] == [10, *range(20, 201, 20)]
    assert all(row["peak_process_mib"] > 10 for row in rows)


def test_the_timeline_has_both_halves_of_each_pair(
    tmp_path: Path, blend_model: Path, box_model: Path
) -> None:
    found = gpu_measures.timeline(str(blend_model), str(box_model), "onnxruntime", (64, 48), 6)
    halves = {
        half: [(start, end) for name, start, end in found["spans"] if name == half]
        for half in ("first", "second")
    }
    for (begin, first_end), (second_begin, end) in zip(halves["first"], halves["second"], strict=True):
        assert 0 <= begin <= first_end <= second_begin <= end
    # One thread has the second halves: none begins before the one before it ends.
    assert all(
        one[1] <= other[0] for one, other in zip(halves["second"], halves["second"][1:], strict=False)
    )
    assert len(halves["first"]) == 6 and 0 <= found["hidden"] <= 1 and not found["on_gpu"]
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    gpu_figures.plot_timeline(tmp_path / "a.png", found)
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_is_compared_with_itself_on_a_cpu() -> None:
    row = gpu_measures._parity(resolve_model("mst"), "onnxruntime", "auto", (64, 48))
    assert row is not None and row["passed"] and "mean error 0.000" in row["text"]
    # Its input is made on the CPU: there is nothing of the GPU to compare.
    assert gpu_measures._parity(resolve_model("yolov5n"), "onnxruntime", "auto", (64, 48)) is None


def test_engines_are_timed_by_graph_and_call_by_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IVFUSION_ENGINES", str(tmp_path / "engines"))
    model = write_fusion(tmp_path / "fusion.onnx")
    for captures in (True, False):
        tally = fake_gpu.install(monkeypatch)
        tally.captures = captures
        backend = load_backend(model, "tensorrt")
        times = gpu_measures._tensorrt_times(backend, (48, 32), 3)
        assert times["eager_ms"] > 0 and (times["graph_ms"] is not None) == captures
        # Five runs that warm up, of which two are by the graph once it is there; then five more, and three.
        assert tally.launches == (2 + 5 + 3 if captures else 0)
        backend.close()
        assert not tally.alive


def test_only_wheels_that_are_missing_are_unpacked(tmp_path: Path, capsys) -> None:
    assert gpu_wheels.main(tmp_path, tmp_path / "site") == 1
    assert "has no wheels" in capsys.readouterr().err
    for name in ("NumPy-1.0-py3-none-any.whl", "no_such_thing-2.0-py3-none-any.whl", "pytest-0-x.whl"):
        (tmp_path / name).touch()
    assert [path.name for path in gpu_wheels.missing(tmp_path)] == ["no_such_thing-2.0-py3-none-any.whl"]


def script(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [ROOT / "test" / "gpu.sh", *words, folder / "figures"],
        env={"PATH": "/usr/bin:/bin", "PYTHON": sys.executable, "HOME": str(folder), **environment},
        capture_output=True,
        text=True,
    )


def test_without_a_gpu_the_script_ends_at_once_and_says_so(tmp_path: Path) -> None:
    if gpu_measures.backends():
        pytest.skip("there is a GPU")
    done = script(tmp_path)
    assert done.returncode == 1
    assert "no backend finds a GPU here" in done.stderr
    assert list((tmp_path / "figures").iterdir()) == []


def test_what_no_time_is_left_for_is_not_run(tmp_path: Path) -> None:
    done = script(tmp_path, "--dry-run", BUDGET="0")
    assert done.returncode == 1
    page = (tmp_path / "figures" / "README.md").read_text()
    assert gpu_figures.DRY in page and "| doctor | 124 | 0 |" in page and "| memory | 124 | 0 |" in page
    assert page.count("\nnot run\n") == 7 + 1
