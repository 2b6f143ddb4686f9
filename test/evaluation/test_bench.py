"""Benchmarks: what is timed, the bound by the machine's peak, and the plot."""

import json
import sys
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.backends import Layer, available_backends, load_backend
from ivfusion_ros.backends.layers import multiply_adds
from ivfusion_ros.cli import main
from ivfusion_ros.errors import BackendError, DataError
from ivfusion_ros.evaluation.speed import roofline
from ivfusion_ros.evaluation.speed.benchmark import (
    PipelineRun,
    alternate,
    detector_networks,
    fusion_networks,
    layers,
    stage_candidates,
)
from ivfusion_ros.evaluation.speed.guard import compare
from ivfusion_ros.evaluation.speed.profile import by_kind
from ivfusion_ros.evaluation.speed.roofline import Peak, measure_peak
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.fuser import Fuser
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
    peak = measure_peak([("onnxruntime", "auto")], 1)
    assert peak.by.startswith("ONNX Runtime") and peak.operations_per_s > 1e8 and peak.bytes_per_s > 1e6
    with pytest.raises(BackendError, match="install one"):
        measure_peak([], 1)


def test_torch_has_a_peak_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hopper GPU may have no other backend: its share of the peak would be unknown."""
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(roofline, "PROBE_SIZES", ((32, 24),))
    monkeypatch.setattr(roofline, "COPY_BYTES", 1 << 16)
    before = torch.backends.cudnn.benchmark
    peak = measure_peak([("torch", "auto")], 1)
    assert peak.by == f"torch {torch.__version__} f32 on cpu" and peak.operations_per_s > 1e8
    assert torch.backends.cudnn.benchmark == before


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
    words += ["--rounds", "2", "--threads", "1", "--detector", str(box_model), "--roofline", "--profile"]
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


def test_a_profile_needs_no_onnx(blend_model, box_model, tmp_path, monkeypatch, capsys) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setitem(sys.modules, "onnx", None)
    words = ["bench", "--model", str(blend_model), "--backend", "onnxruntime", "--size", "64x48"]
    words += ["--rounds", "2", "--threads", "1", "--detector", str(box_model), "--profile"]
    assert main([*words, "--json", str(tmp_path / "a.json"), "--plot", str(tmp_path / "a.png")]) == 0
    report = json.loads((tmp_path / "a.json").read_text())
    fusion, detection = report["profiles"].items()
    assert fusion[0].startswith(f"{blend_model}: ONNX Runtime")
    assert {"Add", "Div", "Unsqueeze"} <= fusion[1].keys()
    assert detection[0].startswith(f"{box_model}: ONNX Runtime")
    assert "ReduceMean" in detection[1]
    assert "peak" not in report and "share_of_peak" not in fusion[1]["Add"]
    assert "ReduceMean" in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / "a.png")) is not None


def test_layers_have_the_work_that_is_counted() -> None:
    pytest.importorskip("onnx")
    from ivfusion_ros.graphs.operations import count_operations

    path = resolve_model("refinefuse_lite")
    expected = count_operations(path, (640, 480))[1]
    usable = available_backends()
    for name in ("openvino", "onnxruntime"):
        if not usable[name].usable:
            continue
        fusers = {name: Fuser(load_backend(path, name, threads=1))}
        found = layers(fusion_networks(fusers, (640, 480))[name], 2)
        assert all(layer.milliseconds >= 0 and layer.moved_bytes > 0 for layer in found)
        # ONNX Runtime pads channels to whole blocks of its vectors.
        assert expected <= sum(layer.multiply_adds for layer in found) < 1.1 * expected, name


def test_the_first_runs_are_in_no_layers_mean() -> None:
    openvino_ = pytest.importorskip("ivfusion_ros.backends.openvino_", reason="OpenVINO is not installed")
    first, later = [900.0, 300.0], [40.0, 50.0, 60.0]
    means = [float(np.mean(runs)) for runs in (first, first + later)]
    assert openvino_.mean_of_last(*means, len(later)) == pytest.approx(50.0)
    runtime = pytest.importorskip(
        "ivfusion_ros.backends.onnxruntime_", reason="ONNX Runtime is not installed"
    )
    shapes = {"input_type_shape": [{"float": [2, 3]}], "output_type_shape": [{"float": [2, 3]}]}
    events = [
        {"cat": "Node", "name": "relu_kernel_time", "dur": us, "args": {"op_name": "Relu", **shapes}}
        for us in first + later
    ]
    (layer,) = runtime.layers_of(events)
    assert (layer.kind, layer.name, layer.milliseconds) == ("Relu", "relu", pytest.approx(0.05))


def test_each_precision_of_a_model_in_int8_has_a_row() -> None:
    """Else the slower one stands for both."""
    openvino_ = pytest.importorskip("ivfusion_ros.backends.openvino_", reason="OpenVINO is not installed")
    found = detector_networks("yolov5n_int8", [("openvino", "auto"), ("openvino", "f32")], (64, 64), 1)
    fast = openvino_._precision("auto")
    kinds = [name.partition(" on CPU")[0].rpartition(" int8 and ")[2] for name in found]
    assert kinds == ([fast, "f32"] if fast != "f32" else ["f32"])
    for kind, network in zip(kinds, found.values(), strict=True):
        compiled = openvino_.core().compile_model(
            resolve_model("yolov5n_int8"), "CPU", network.backend._properties
        )
        nodes = compiled.get_runtime_model().get_ordered_ops()
        computed = {
            node.rt_info["runtimePrecision"].astype(str)
            for node in nodes
            if node.rt_info["layerType"].astype(str) == "Convolution"
        }
        assert computed & {"f32", "bf16", "f16"} == {kind}, computed


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "expected"),
    [
        ("Convolution", [(1, 8, 10, 10), (4, 8, 3, 3)], (1, 4, 10, 10), 4 * 100 * 8 * 9),
        ("GroupConvolution", [(1, 8, 10, 10), (8, 1, 1, 3, 3)], (1, 8, 10, 10), 8 * 100 * 9),
        ("MatMul", [(2, 5, 7), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("FusedMatMul", [(2, 7, 5), (2, 7, 3)], (2, 5, 3), 2 * 5 * 7 * 3),
        ("FullyConnected", [(1, 7), (3, 7)], (1, 3), 21),
        ("Reorder", [(1, 8, 10, 10)], (1, 8, 10, 10), 0),
    ],
)
def test_work_of_a_layer(kind: str, inputs: list, output: tuple, expected: int) -> None:
    assert multiply_adds(kind, inputs, output) == expected


def test_kinds_are_summed_longest_first_and_the_rest_is_one() -> None:
    peak = Peak(operations_per_s=2e9, bytes_per_s=1e9, by="test")
    some = [Layer("Conv", "a", 2.0, 500_000, 8), Layer("Add", "b", 1.0, 0, 500_000)]
    rows = by_kind([*some, Layer("Conv", "c", 2.0, 500_000, 8)], peak)
    assert list(rows) == ["Conv", "Add"]
    assert rows["Conv"] == {
        "layers": 2, "ms": 4.0, "share": 0.8, "multiply_adds": 1_000_000, "moved_bytes": 16,
        "least_ms": 1.0, "share_of_peak": 0.25,
    }  # fmt: skip
    assert rows["Add"]["share_of_peak"] == 0.5
    many = by_kind([Layer(str(kind), "x", 20.0 - kind) for kind in range(15)])
    assert len(many) == 13 and list(many)[-1] == "others" and many["others"]["layers"] == 3
    assert many["others"]["multiply_adds"] is None and "least_ms" not in many["others"]


def rows_of(scale: float, seed: int, unit: float = 1.0) -> dict[str, dict[str, list[float]]]:
    """Times of 60 rounds that were disturbed together."""
    random = np.random.default_rng(seed)
    noise = random.uniform(1.0, 1.6, 60)
    own = random.uniform(1.0, 1.05, (2, 60))
    return {
        "a": {"times_ms": list(scale * unit * noise * own[0])},
        "yardstick": {"times_ms": list(2.0 * unit * noise * own[1])},
    }


@pytest.mark.parametrize(
    ("scale", "verdict"), [(3.0, "no difference seen"), (3.6, "slower"), (2.5, "faster")]
)
def test_a_slower_machine_is_not_a_slower_network(scale: float, verdict: str) -> None:
    (ratio,) = compare(rows_of(scale, 1, unit=1.7), rows_of(3.0, 2)).values()
    assert ratio.low < scale / 3.0 < ratio.high
    assert ratio.verdict == verdict


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.json"),
        ('{"networks": 3}', "a.json"),
        ('{"networks": {"a": {}}}', "no times of the yardstick"),
        ('{"networks": {"other": {}}, "yardstick": {"times_ms": [1]}}', "none is in both"),
    ],
)
def test_a_baseline_that_is_none(content: str, message: str, blend_model, tmp_path, capsys) -> None:
    (tmp_path / "a.json").write_text(content)
    words = ["bench", "--model", str(blend_model), "--backend", "onnxruntime", "--size", "64x48"]
    assert main([*words, "--rounds", "1", "--compare", str(tmp_path / "a.json")]) == DataError.exit_code
    assert message in capsys.readouterr().err.replace("\n", " ")


def test_a_run_compared_with_itself(blend_model, tmp_path, capsys) -> None:
    words = ["bench", "--model", str(blend_model), "--backend", "onnxruntime", "--size", "64x48"]
    path = str(tmp_path / "a.json")
    assert main([*words, "--rounds", "3", "--json", path]) == 0
    assert main([*words, "--rounds", "3", "--compare", path]) == 0
    assert "time now over time then" in capsys.readouterr().out


def test_what_registration_learns_is_among_the_steps() -> None:
    """Images too small for it are timed without; no pair counts as a frozen camera's."""
    steps = stage_candidates((128, 96))
    assert {"online refinement", "dense residual"} <= steps.keys() - stage_candidates((40, 30)).keys()
    states = [steps["online refinement"]().status for _ in range(6)]
    assert "frozen" not in states and "empty" not in states
