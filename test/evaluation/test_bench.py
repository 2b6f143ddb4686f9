"""Benchmarks: what is timed, the bound by the machine's peak, and the plot."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.cli import main
from ivfusion_ros.errors import BackendError
from ivfusion_ros.evaluation.speed import roofline
from ivfusion_ros.evaluation.speed.benchmark import PipelineRun, alternate
from ivfusion_ros.evaluation.speed.roofline import Peak, measure_peak
from ivfusion_ros.types import FaultReport, Frame


def test_the_bound_is_the_slower_of_arithmetic_and_copying() -> None:
    peak = Peak(operations_per_s=2e9, bytes_per_s=1e9, by="test")
    assert peak.least_ms(1_000_000, 0) == pytest.approx(1.0)
    assert peak.least_ms(0, 4_000_000) == pytest.approx(4.0)
    assert peak.least_ms(1_000_000, 4_000_000) == pytest.approx(4.0)


def test_peak_is_measured_by_convolutions(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    monkeypatch.setattr(roofline, "PROBE_SIZES", ((32, 24),))
    monkeypatch.setattr(roofline, "COPY_BYTES", 1 << 16)
    peak = measure_peak([("torch", "auto"), ("onnxruntime", "auto")], 1)
    assert peak.by.startswith("ONNX Runtime") and peak.operations_per_s > 1e8 and peak.bytes_per_s > 1e6
    with pytest.raises(BackendError, match="install one"):
        measure_peak([("torch", "auto")], 1)


def test_the_probe_has_the_work_that_is_counted(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from ivfusion_ros.evaluation.speed.probe import multiply_adds, write_probe
    from ivfusion_ros.graphs.operations import count_operations

    write_probe(tmp_path / "probe.onnx")
    assert count_operations(tmp_path / "probe.onnx", (40, 30))[1] == multiply_adds((40, 30))


def test_pipelines_are_timed_by_stage(blend_model: Path, box_model: Path) -> None:
    run = PipelineRun(str(blend_model), str(box_model), ("onnxruntime", "auto"), (96, 64), 1)
    alternate({"it": run}, range(2), warm_up=1)
    assert {"scale", "register", "fuse", "detect"} <= set(run.stages_ms)
    assert {len(values) for values in run.stages_ms.values()} == {3}
    # No picture is like the one before, else the camera would count as frozen after a while.
    seen: list[tuple[Frame, ...]] = []
    update = run.pipeline.faults.update

    def noted(*frames: Frame, held: bool) -> FaultReport:
        seen.append(frames)
        return update(*frames, held=held)

    run.pipeline.faults.update = noted  # type: ignore[method-assign]
    assert run.pairs_per_second(4) > 0
    assert len(seen) == 4
    for earlier, later in pairwise(seen):
        for before, after in zip(earlier, later, strict=True):
            assert (before.image != after.image).any() and before.stamp_ns < after.stamp_ns
    run.pipeline.close()


@pytest.mark.parametrize(("option", "package"), [("--roofline", "onnx"), ("--plot=a.png", "matplotlib")])
def test_what_an_option_needs_is_asked_for_first(option, package, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["bench", option, "--model", "absent.onnx"]) == BackendError.exit_code
    assert f"needs {package}; run: pip install {package}" in capsys.readouterr().err


def test_command_with_roofline_and_plot(blend_model, box_model, tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("matplotlib")
    monkeypatch.setattr(roofline, "PROBE_SIZES", ((16, 16),))
    monkeypatch.setattr(roofline, "COPY_BYTES", 1 << 16)
    words = ["bench", "--model", str(blend_model), "--backend", "onnxruntime", "--size", "64x48"]
    words += ["--rounds", "2", "--threads", "1", "--detector", str(box_model), "--roofline"]
    assert main([*words, "--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    (network,), (pipeline,) = report["networks"].values(), report["pipelines"].values()
    share = network["least_ms"] / network["median"]
    assert (
        network["share_of_peak"] == pytest.approx(share, abs=0.02) and network["p95"] >= network["median"]
    )
    assert pipeline["stages"]["detect"]["median"] <= pipeline["median"]
    printed = capsys.readouterr().out
    assert "peak of this machine" in printed and "of peak" in printed
    image = cv2.imread(str(tmp_path / "a.png"))
    assert image is not None and len(np.unique(image.reshape(-1, 3), axis=0)) > 20
