"""Which backend and how many threads are fastest: measured with a clock that only the networks move."""

import json
import logging
import os
import sys
import threading
import types
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

from ivfusion_ros.backends import (
    BACKENDS,
    BackendRow,
    Candidate,
    TensorInfo,
    choose_backend,
    cuda,
    load_backend,
    measured,
    measured_among,
    measurements,
    resolve_backend,
)
from ivfusion_ros.commands import doctor
from ivfusion_ros.config.pipeline import DetectionConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.models import ModelEntry, file_sha256

BYTES = np.dtype(np.uint8)


class Machine:
    """What toy backends do on it, and how long a run takes, by their names and threads."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.run_ms: dict[tuple[str, int], float] = {}
        self.slower_by = 1.0
        """factor from each run to the next"""
        self.broken: dict[tuple[str, int], int] = {}
        """the run that fails, 0 for loading"""
        self.open: list[object] = []
        self.most_open = self.runs = 0

    def toy(self, called: str) -> type:
        machine = self

        class Toy:
            name = called

            def __init__(self, path: Path, *, precision: str, threads: int) -> None:
                self.inputs = self.outputs = {"thermal": TensorInfo((1, None, None), BYTES)}
                self.metadata: dict[str, str] = {}
                self.way, self.count = (called, threads), 0
                self.description = f"{called}, {threads}, {precision}"
                self._fail_at(0)
                machine.open.append(self)
                machine.most_open = max(machine.most_open, len(machine.open))

            def _fail_at(self, count: int) -> None:
                if machine.broken.get(self.way) == count:
                    raise ModelError(f"{called} fails at {count}")

            def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
                assert inputs["thermal"].shape == (1, 480, 640)
                self.count += 1
                self._fail_at(self.count)
                machine.runs += 1
                machine.now_s += machine.run_ms[self.way] / 1e3 * machine.slower_by**machine.runs
                return inputs

            def close(self) -> None:
                machine.open.remove(self)

        return Toy


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """Four cores, no GPU, and the backends quick and plain."""
    machine = Machine()
    module = types.ModuleType("toys")
    module.__version__ = "1.0"
    rows = dict(BACKENDS)
    BACKENDS.clear()
    for name in ("quick", "plain"):
        setattr(module, name, machine.toy(name))
        BACKENDS[name] = BackendRow(f"toys:{name}", install="", library="toys", auto=True)
    monkeypatch.setitem(sys.modules, "toys", module)
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=BackendError("no GPU")))
    monkeypatch.setattr(measurements, "usable_cores", lambda: 4)
    monkeypatch.setattr(measurements, "cpu_model", lambda: "a CPU")
    monkeypatch.setattr(measured, "perf_counter", lambda: machine.now_s)
    monkeypatch.setenv("IVFUSION_MEASUREMENTS", str(tmp_path / "measurements"))
    for way, run_ms in zip(
        [(name, threads) for name in ("quick", "plain") for threads in (4, 2, 1)],
        (10, 12, 20, 9, 8, 30),
        strict=True,
    ):
        machine.run_ms[way] = run_ms
    yield machine
    BACKENDS.clear()
    BACKENDS.update(rows)


def record(tmp_path: Path) -> Path:
    """The only file that is remembered."""
    (path,) = (tmp_path / "measurements").glob("*.json")
    return path


def test_candidates_are_backends_with_halves_of_the_cores() -> None:
    found = measured.candidates(("a", "b"), cores=6, threads=0)
    assert found == [("a", 6), ("b", 6), ("a", 3), ("b", 3), ("a", 1), ("b", 1)]
    assert measured.candidates(("a",), cores=8, threads=0) == [("a", 8), ("a", 4), ("a", 2), ("a", 1)]
    assert measured.candidates(("a", "b"), cores=8, threads=3) == [("a", 3), ("b", 3)]
    assert measured.candidates(("a",), cores=1, threads=0) == [("a", 1)]


@pytest.mark.parametrize(
    ("times_ms", "expected"),
    [
        ({("a", 4): 10.0, ("b", 4): 9.0, ("a", 1): 30.0}, ("b", 4)),
        ({("a", 4): 10.0, ("a", 2): 10.4}, ("a", 2)),
        ({("a", 4): 10.0, ("a", 2): 10.6}, ("a", 4)),
        # Near the second, but not near the fastest.
        ({("a", 4): 10.0, ("a", 2): 10.4, ("a", 1): 10.8}, ("a", 2)),
        # As many threads: then the faster one.
        ({("a", 4): 10.0, ("a", 2): 10.4, ("b", 2): 10.2}, ("b", 2)),
    ],
)
def test_within_five_percent_fewer_threads_win(times_ms: measured.Times, expected: tuple) -> None:
    assert measured.fastest({Candidate(*way): time_ms for way, time_ms in times_ms.items()}) == expected


def test_the_fastest_is_found_and_remembered(
    machine: Machine, blend_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    first = load_backend(blend_model, "measured")
    assert (first.way, machine.open, machine.most_open) == (("plain", 2), [first], 2)
    # 10 ms of warm-ups twice, and five times the same with 20 rounds beside the best.
    assert "measuring which backend is fastest on this CPU, once; about 2 s" in caplog.text
    assert "blend.onnx: plain with 2 threads is taken, of plain with 2 threads 8.00 ms" in caplog.text
    assert "quick with 1 thread 20.00 ms, plain with 1 thread 30.00 ms" in caplog.text
    kept = json.loads(record(tmp_path).read_text())
    assert (kept["backend"], kept["threads"], kept["key"]["cores"]) == ("plain", 2, 4)
    caplog.clear()
    machine.runs = 0
    machine.run_ms["quick", 4] = 1
    second = load_backend(blend_model, "measured")
    assert (second.way, machine.runs, machine.open) == (("plain", 2), 0, [first, second])
    assert caplog.messages == ["blend.onnx runs in plain, 2, auto, by measured"]


def test_threads_that_are_given_stay(machine: Machine, blend_model: Path) -> None:
    assert load_backend(blend_model, "measured", threads=4).way == ("plain", 4)
    assert load_backend(blend_model, "measured", threads=1).way == ("quick", 1)


def test_few_threads_win_only_where_they_are_near_the_fastest(machine: Machine, blend_model: Path) -> None:
    """Each is near the one before it, but the last is not near the first."""
    machine.run_ms |= {("quick", 4): 100, ("quick", 2): 104, ("quick", 1): 108}
    machine.run_ms |= {("plain", threads): 300 for threads in (4, 2, 1)}
    assert load_backend(blend_model, "measured").way == ("quick", 2)


def test_a_machine_that_slows_down_misleads_nobody(machine: Machine, blend_model: Path) -> None:
    """The last is 8% faster than the first, but by then the machine is slower by more than half."""
    machine.slower_by = 1.003
    machine.run_ms |= {("quick", 4): 10, ("plain", 1): 9.2}
    machine.run_ms |= {way: 30 for way in machine.run_ms if way not in (("quick", 4), ("plain", 1))}
    assert load_backend(blend_model, "measured").way == ("plain", 1)
    assert 1.003**machine.runs > 1.5


def test_slow_networks_take_few_rounds(machine: Machine, blend_model: Path) -> None:
    machine.run_ms = dict.fromkeys(machine.run_ms, 3000.0) | {("plain", 2): 2000.0}
    assert load_backend(blend_model, "measured").way == ("plain", 2)
    # Two warm-ups of each of six, and a round of two runs in each of five comparisons.
    assert machine.runs == 2 * 6 + 2 * 5


@pytest.mark.parametrize("what", ["model", "cpu", "cores", "version", "precision", "threads", "library"])
def test_what_changes_is_measured_anew(
    machine: Machine, blend_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(blend_model.read_bytes())
    load_backend(path, "measured")
    asked: dict[str, object] = {}
    if what == "model":
        onnx = pytest.importorskip("onnx")
        model = onnx.load(path)
        model.metadata_props.add(key="another", value="model")
        onnx.save(model, path)
    elif what == "cpu":
        monkeypatch.setattr(measurements, "cpu_model", lambda: "another CPU")
    elif what == "cores":
        monkeypatch.setattr(measurements, "usable_cores", lambda: 2)
    elif what == "version":
        sys.modules["toys"].__version__ = "2.0"
    elif what == "library":
        del BACKENDS["plain"]
    else:
        asked = {"precision": "f32"} if what == "precision" else {"threads": 2}
    machine.runs = 0
    load_backend(path, "measured", **asked)
    assert machine.runs > 0
    machine.runs = 0
    load_backend(path, "measured", **asked)
    assert machine.runs == 0
    # An update replaces what there was, anything else stands beside it.
    files = len(list((tmp_path / "measurements").glob("*.json")))
    assert files == (1 if what in ("version", "library") else 2)


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff{"),
        lambda path: path.write_text("[" * 100_000),
        lambda path: path.write_text(path.read_text()[:-20]),
        lambda path: path.write_text("[]"),
        lambda path: path.write_text(path.read_text().replace('"threads": 2,', '"threads": [2],')),
        lambda path: path.write_text(path.read_text().replace('"cores": 4', '"cores": "4"')),
        lambda path: path.write_text(path.read_text() + " " * 100_000),
        lambda path: path.chmod(0o666),
        lambda path: path.parent.chmod(0o777),
        lambda path: (path.rename(path.with_name("other")), path.symlink_to("other")),
        lambda path: (path.unlink(), path.symlink_to("nowhere")),
        lambda path: (path.unlink(), os.mkfifo(path)),
        lambda path: (path.unlink(), path.mkdir()),
    ],
)
def test_a_file_that_cannot_be_trusted_costs_a_measurement(
    machine: Machine, blend_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, change
) -> None:
    load_backend(blend_model, "measured")
    change(record(tmp_path))
    machine.runs = 0
    assert load_backend(blend_model, "measured").way == ("plain", 2)
    assert machine.runs > 0 and "measured again: " in caplog.text


@pytest.mark.skipif(not hasattr(os, "chown") or os.geteuid() != 0, reason="only root gives files away")
def test_another_users_file_is_not_read(
    machine: Machine, blend_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_backend(blend_model, "measured")
    os.chown(record(tmp_path), 12345, -1)
    machine.runs = 0
    load_backend(blend_model, "measured")
    assert machine.runs > 0 and "belongs to another user (id 12345)" in caplog.text


@pytest.mark.parametrize(("old", "new"), [('"plain"', '"fancy"'), ('"threads": 2,', '"threads": 3,')])
def test_what_is_no_choice_here_is_measured_again(
    machine: Machine, blend_model: Path, tmp_path: Path, old: str, new: str
) -> None:
    load_backend(blend_model, "measured")
    path = record(tmp_path)
    path.write_text(path.read_text().replace(old, new))
    assert load_backend(blend_model, "measured").way == ("plain", 2)


def test_without_a_folder_every_start_measures(
    machine: Machine,
    blend_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IVFUSION_MEASUREMENTS", str(tmp_path / "file" / "below"))
    for _ in range(2):
        caplog.clear()
        machine.runs = 0
        assert load_backend(blend_model, "measured").way == ("plain", 2)
        assert machine.runs > 0
        assert "measurements cannot be kept in" in caplog.text and "IVFUSION_MEASUREMENTS" in caplog.text
    monkeypatch.delenv("IVFUSION_MEASUREMENTS")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", Mock(side_effect=RuntimeError("no home")))
    caplog.clear()
    assert load_backend(blend_model, "measured").way == ("plain", 2)
    assert "name one in IVFUSION_MEASUREMENTS" in caplog.text


def test_a_full_disk_costs_a_warning(
    machine: Machine,
    blend_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    full = Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(measurements, "write_whole", full)
    assert load_backend(blend_model, "measured").way == ("plain", 2)
    assert "is not kept" in caplog.text and "No space left" in caplog.text
    assert not list((tmp_path / "measurements").glob("*.json"))


@pytest.mark.parametrize("run", [0, 1, 2, 5])
def test_what_fails_is_left_out(
    machine: Machine, blend_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, run: int
) -> None:
    """While it is loaded, in a warm-up, or when it is timed."""
    machine.broken["plain", 2] = run
    backend = load_backend(blend_model, "measured")
    assert (backend.way, machine.open) == (("plain", 4), [backend])
    assert f"plain with 2 threads is left out: plain fails at {run}" in caplog.text
    assert "plain with 2" not in json.loads(record(tmp_path).read_text())["figures"]


def test_where_all_fail_the_reason_is_told(machine: Machine, blend_model: Path, tmp_path: Path) -> None:
    machine.broken = dict.fromkeys(machine.run_ms, 0)
    with pytest.raises(ModelError, match="quick fails at 0"):
        load_backend(blend_model, "measured")
    assert not list((tmp_path / "measurements").glob("*.json"))


def test_a_model_that_is_missing(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        load_backend(tmp_path / "no.onnx", "measured")


def test_of_two_that_start_at_once_one_measures(machine: Machine, blend_model: Path) -> None:
    chosen: list[Candidate] = []
    starts = [
        threading.Thread(target=lambda: chosen.append(choose_backend(blend_model, "measured")))
        for _ in range(2)
    ]
    for start in starts:
        start.start()
    for start in starts:
        start.join(60)
    assert chosen == [("plain", 2)] * 2
    # Two warm-ups of each of six, and 20 rounds of two runs in each of five comparisons.
    assert machine.runs == 2 * 6 + 20 * 2 * 5


@pytest.mark.parametrize(
    ("backend", "machine_name", "removed", "expected"),
    [
        ("measured", "x86_64", "", ("quick", "plain")),
        ("measured", "aarch64", "", ("quick", "plain")),
        ("measured", "x86_64", "plain", ("quick",)),
        ("auto", "x86_64", "", ()),
        ("auto", "AMD64", "", ()),
        ("auto", "aarch64", "", ("quick", "plain")),
        ("auto", "riscv64", "", ("quick", "plain")),
        ("auto", "aarch64", "plain", ()),
        ("quick", "aarch64", "", ()),
    ],
)
def test_where_it_is_measured(
    machine: Machine,
    blend_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    backend: str,
    machine_name: str,
    removed: str,
    expected: tuple[str, ...],
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine_name)
    BACKENDS.pop(removed, None)
    assert resolve_backend(backend) == "quick"
    assert measured_among(backend) == expected
    load_backend(blend_model, backend)
    assert (machine.runs > 0) == bool(expected)


def test_beside_a_gpu_nothing_is_measured(
    machine: Machine, blend_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.run_ms["graphics", 0] = 1.0
    sys.modules["toys"].graphics = machine.toy("graphics")
    BACKENDS["graphics"] = BACKENDS["quick"]._replace(runs="toys:graphics", devices=("gpu",))
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert load_backend(blend_model, "measured").way == ("plain", 2)
    monkeypatch.setattr(cuda, "find_gpu", lambda: None)
    for backend in ("auto", "measured"):
        machine.runs = 0
        assert resolve_backend(backend) == "graphics" and measured_among(backend) == ()
        assert load_backend(blend_model, backend).way == ("graphics", 0)
        assert machine.runs == 0


def test_samples_have_a_networks_own_size() -> None:
    floats = np.dtype(np.float32)
    inputs = {
        "images": TensorInfo((1, 3, 384, 512), floats),
        "free": TensorInfo((None, 3, None, None), floats),
        "thermal": TensorInfo((1, None, None), BYTES),
        "rgb": TensorInfo((1, None, None, 3), BYTES),
    }
    found = measured.sample_inputs(SimpleNamespace(inputs=inputs))
    assert {name: array.shape for name, array in found.items()} == {
        "images": (1, 3, 384, 512),
        "free": (1, 3, 480, 640),
        "thermal": (1, 480, 640),
        "rgb": (1, 480, 640, 3),
    }
    assert found["images"].dtype == floats and found["rgb"].dtype == BYTES
    assert 0 <= found["images"].min() < 0.01 and 0.99 < found["images"].max() <= 1
    assert found["rgb"].min() == 0 and found["rgb"].max() >= 254
    with pytest.raises(ModelError, match="input odd is float32 of any shape"):
        measured.sample_inputs(SimpleNamespace(inputs={"odd": TensorInfo(None, floats)}))


@pytest.mark.parametrize("name", ["openvino", "onnxruntime"])
def test_a_detector_is_measured_with_what_it_is_given(
    box_model: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    pytest.importorskip(name)
    backend = load_backend(box_model, name, threads=1)
    sample = measured.sample_inputs(backend)
    given = Mock(wraps=backend.run)
    monkeypatch.setattr(backend, "run", given)
    Detector(backend, DetectionConfig())(np.zeros((64, 96, 3), np.uint8))
    (inputs,) = given.call_args.args
    assert {key: (array.shape, array.dtype) for key, array in sample.items()} == {
        key: (array.shape, array.dtype) for key, array in inputs.items()
    }


def test_doctor_says_what_is_remembered_and_measures_nothing(
    machine: Machine, blend_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    entry = ModelEntry("blend", blend_model, "fusion", file_sha256(blend_model), {})
    monkeypatch.setattr(doctor, "read_models", lambda: {"blend": entry})
    monkeypatch.setattr(doctor, "find_gpu", cuda.find_gpu)
    found = doctor.examine()
    assert machine.runs == 0 and list(found["measured"]) == ["folder"]
    assert str(tmp_path / "measurements") in found["measured"]["folder"]
    assert found["gpu"]["recommended"] == "quick or plain, as auto measures for each model: no GPU"
    load_backend(blend_model, "measured")
    load_backend(blend_model, "auto", precision="f32", threads=1)
    (tmp_path / "measurements" / "damaged.json").write_text("{")
    rows = doctor.examine()["measured"]
    assert rows["blend"].startswith("plain with 2 threads, of plain with 2 threads 8.00 ms, plain with 4")
    assert rows["blend, f32, threads 1"].startswith("quick with 1 thread, of ")
    assert len(rows) == 3
    sys.modules["toys"].__version__ = "2.0"
    assert doctor.examine()["measured"]["blend"] == (
        "measured again when it is needed: libraries was quick 1.0, plain 1.0, is quick 2.0, plain 2.0"
    )


def test_real_backends_run_what_was_measured(
    blend_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=BackendError("no GPU")))
    monkeypatch.setenv("IVFUSION_MEASUREMENTS", str(tmp_path / "measurements"))
    backend = load_backend(blend_model, "measured", threads=1)
    kept = json.loads(record(tmp_path).read_text())
    assert kept["backend"] == backend.name and kept["threads"] == 1
    assert {"openvino", "onnxruntime"} == {figure.split()[0] for figure in kept["figures"].split(", ")}
    thermal, rgb = np.full((1, 48, 64), 100, BYTES), np.full((1, 48, 64, 3), 50, BYTES)
    assert np.array_equal(backend.run({"thermal": thermal, "rgb": rgb})["fused"], np.full_like(rgb, 75))
    monkeypatch.setattr(measurements, "measure", Mock(side_effect=AssertionError("it is remembered")))
    assert load_backend(blend_model, "measured", threads=1).name == backend.name
