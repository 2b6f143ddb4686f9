"""Which backend runs a model, and what is said where one cannot."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from places import ROOT

from ivfusion_ros.backends import BACKENDS, available_backends, choice, cuda, load_backend, resolve_backend
from ivfusion_ros.errors import BackendError
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY


def test_unknown_names_and_settings(blend_model: Path) -> None:
    with pytest.raises(
        BackendError, match=r"unknown backend 'tensorflow'; known: auto, measured, openvino, onnxruntime"
    ):
        load_backend(blend_model, "tensorflow")
    with pytest.raises(BackendError, match="precision is 'int8', expected auto or f32"):
        load_backend(blend_model, "onnxruntime", precision="int8")
    with pytest.raises(BackendError, match="threads is -1"):
        load_backend(blend_model, "onnxruntime", threads=-1)


def block(monkeypatch: pytest.MonkeyPatch, *libraries: str) -> None:
    """Make the libraries look as if they were not installed."""
    for library in libraries:
        monkeypatch.setitem(sys.modules, library, None)
        for module in (BACKENDS[library].runs.split(":")[0], f"ivfusion_ros.backends.silent_{library}"):
            monkeypatch.delitem(sys.modules, module, raising=False)


def test_missing_backend_says_what_to_install(blend_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block(monkeypatch, "openvino")
    with pytest.raises(
        BackendError, match=r"backend openvino cannot run here: .*run: pip install openvino"
    ):
        load_backend(blend_model, "openvino")
    assert resolve_backend("auto") == "onnxruntime"
    status = available_backends()
    assert not status["openvino"].usable
    assert "pip install openvino" in status["openvino"].detail
    assert status["onnxruntime"].usable
    assert status["onnxruntime"].detail[0].isdigit()


def test_auto_without_any_backend(blend_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block(monkeypatch, "openvino", "onnxruntime")
    with pytest.raises(BackendError, match="no inference backend is installed; run: pip install openvino"):
        load_backend(blend_model)


def test_auto_takes_openvino_first(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino")
    assert resolve_backend() == "openvino"
    block(monkeypatch, "openvino")
    assert resolve_backend() == "onnxruntime"


def test_openvino_reports_nothing() -> None:
    """Its import starts no process and leaves no module that would send what is used where."""
    pytest.importorskip("openvino")
    code = """
import multiprocessing, os, sys
os.environ.pop("CI", None)  # where it would be quiet by itself
def started(*_): raise SystemExit("a process is started")
multiprocessing.Process.start = os.fork = started
from ivfusion_ros.backends import resolve_backend
assert resolve_backend() == "openvino"
print(sorted(name for name in sys.modules if "openvino_telemetry" in name))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=str(ROOT), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "[]\n"), done.stderr


def test_a_signal_after_backends_were_closed_is_only_a_signal(blend_model: Path) -> None:
    """In the order in which they were loaded: what each changes in a process must not outlive it."""
    code = """
import faulthandler, os, signal, sys
from ivfusion_ros.backends import load_backend
faulthandler.enable()
backends = [load_backend(sys.argv[1], "openvino") for _ in range(2)]
while backends:
    backends.pop(0).close()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""
    pytest.importorskip("openvino")
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code, str(blend_model)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "interrupted\n"), done.stderr


def test_auto_takes_openvino_for_int8(
    blend_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx, _ = pytest.importorskip("onnx"), pytest.importorskip("openvino")
    monkeypatch.setattr(cuda, "find_gpu", lambda: None)
    monkeypatch.setattr(choice, "is_usable", lambda _: True)
    rounded = onnx.load(blend_model)
    rounded.metadata_props.add(key=PRECISION_KEY, value="int8")
    onnx.save(rounded, tmp_path / "int8.onnx")
    assert resolve_backend() == "tensorrt"
    assert resolve_backend(int8=True) == "openvino"
    assert load_backend(tmp_path / "int8.onnx").name == "openvino"
    assert " int8 " in load_backend(tmp_path / "int8.onnx").description
    monkeypatch.undo()
    block(monkeypatch, "openvino")
    assert load_backend(tmp_path / "int8.onnx").name == "onnxruntime"


def test_the_choice_is_logged(blend_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "ivfusion_ros.backends"):
        backend = load_backend(blend_model, threads=1)
    assert f"runs in {backend.description}, by auto" in caplog.text


def test_importing_the_seam_imports_no_library() -> None:
    code = (
        "import sys, ivfusion_ros.backends, ivfusion_ros.detection\n"
        "import ivfusion_ros.images.draw, ivfusion_ros.images.video\n"
        "print([m for m in ('openvino', 'onnxruntime', 'torch', 'onnx', 'av') if m in sys.modules])"
    )
    root = str(ROOT)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_robots_backends_need_no_simulator() -> None:
    pytest.importorskip("onnx")
    code = (
        "import sys, ivfusion_ros.backends.self_test, ivfusion_ros.backends.tensorrt.backend\n"
        "print([m for m in sys.modules if m.startswith('ivfusion_ros.simulate')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
