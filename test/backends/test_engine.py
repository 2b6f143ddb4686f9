"""Engines: what TensorRT for RTX builds here without a GPU, and how they are kept."""

import json
import logging
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import onnx
import pytest
from places import SHARED

pytest.importorskip("onnx")

import fake_gpu
from onnx import helper
from small_models import write_detector, write_fusion

from ivfusion_ros.backends import BACKENDS, BackendStatus, cuda, progress, self_test, under_way
from ivfusion_ros.backends.self_test import reference
from ivfusion_ros.backends.tensorrt import library, make
from ivfusion_ros.backends.tensorrt.build import build_plan
from ivfusion_ros.backends.tensorrt.cache import (
    EngineKey,
    EngineRecord,
    engine_folder,
    only_builder,
    plan_path,
    read_plan,
    read_records,
    write_plan,
)
from ivfusion_ros.backends.tensorrt.library import Library, load_library
from ivfusion_ros.cli import main
from ivfusion_ros.commands import doctor
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.files import write_whole
from ivfusion_ros.graphs.byte_input import engine_graph, engine_inputs
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata
from ivfusion_ros.models import read_models

SIZE = (96, 64)
CLASSIC = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
MODELS = {
    name: entry.path
    for name, entry in read_models().items()
    if PRECISION_KEY not in read_metadata(entry.path) and entry.task != "matching"
} | {"classic": CLASSIC}
KEY = EngineKey("ab" * 32, "tensorrt", "10.3.0", "Orin", "8.7", "96x64", "f16")
RECORD = EngineRecord(KEY, "a.onnx", "f16", "", "mean error 0", "", 4, 1.0, "2026-01-01T00:00:00+00:00")


@pytest.fixture(scope="module")
def rtx() -> Library:
    try:
        library = load_library()
    except BackendError as error:
        pytest.skip(str(error))
    if not library.is_rtx:
        pytest.skip("builds without a GPU need TensorRT for RTX: pip install tensorrt_rtx_cu13")
    return library


@pytest.fixture(scope="module")
def fusion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fusion(tmp_path_factory.mktemp("fusion") / "fusion.onnx")


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> make.EngineBuilder:
    """With the fake TensorRT and no GPU, which only RTX allows."""
    monkeypatch.setattr(make, "build_plan", fake_gpu.build)
    monkeypatch.setattr(self_test, "sample_pairs", fake_gpu.sample_pairs)
    return make.EngineBuilder(Library(fake_gpu.TENSORRT, "tensorrt_rtx", "1.0"), None, tmp_path / "engines")


@pytest.mark.parametrize("half", [False, True], ids=["f32", "half"])
@pytest.mark.parametrize("name", MODELS)
def test_every_model_parses_and_builds(name: str, half: bool, rtx: Library) -> None:
    if not MODELS[name].exists():
        pytest.skip("no ../shared/reference")
    model = onnx.load(MODELS[name])
    graph = engine_graph(to_half(model) if half else model, (160, 128))
    assert len(build_plan(graph, rtx, title=name)) > 100_000


def test_a_model_in_int8_is_refused(builder: make.EngineBuilder, fusion: Path, tmp_path: Path) -> None:
    model = onnx.load(fusion)
    model.metadata_props.add(key=PRECISION_KEY, value="int8")
    onnx.save(model, tmp_path / "int8.onnx")
    with pytest.raises(ModelError, match="is in int8, which is for CPUs"):
        builder.engine(tmp_path / "int8.onnx", SIZE, half=True)


def test_what_cannot_be_built_says_why(rtx: Library) -> None:
    value = helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 8, 8])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    for operator, message in (("NoSuchOp", "NoSuchOp"), ("Conv", "cannot read the model")):
        node = helper.make_node(operator, ["images"], ["y"], name="odd")
        model = helper.make_model(helper.make_graph([node], "g", [value], [out]), ir_version=9)
        with pytest.raises(ModelError, match=message):
            build_plan(model, rtx, title="odd")


def test_a_build_says_how_far_it_is(rtx: Library, fusion: Path, monkeypatch, caplog) -> None:
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    asked, tell = [], progress.Progress.tell
    monkeypatch.setattr(
        progress.Progress, "tell", lambda self, share: (tell(self, share), asked.append(under_way()))
    )
    with caplog.at_level(logging.INFO):
        build_plan(engine_graph(onnx.load(fusion), SIZE), rtx, title="fusion 96x64")
    lines = [record.message for record in caplog.records if record.message.startswith("building fusion")]
    assert lines == asked and len(lines) > 1
    shares = [int(line.removeprefix("building fusion 96x64: ").removesuffix("%")) for line in lines]
    assert shares == sorted(shares) and shares[-1] > 50 and under_way() == ""
    with pytest.raises(ModelError):
        build_plan(helper.make_model(helper.make_graph([], "g", [], [])), rtx, title="nothing")
    assert under_way() == ""


def test_the_sizes_of_kept_engines_are_known(
    builder: make.EngineBuilder, fusion: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_fusion(tmp_path / "other.onnx", seed=1)
    assert builder.kept_sizes(fusion, half=True) == []
    for index, (model, size, half) in enumerate(
        [(fusion, SIZE, True), (fusion, (48, 32), True), (fusion, (64, 64), False), (other, (32, 32), True)]
    ):
        path = builder.engine(model, size, half=half).path
        text = path.with_suffix(".json").read_text()
        record = json.loads(text) | {"built": f"2026-01-0{index + 1}T00:00:00+00:00"}
        path.with_suffix(".json").write_text(json.dumps(record))
    assert builder.kept_sizes(fusion, half=True) == [(48, 32), SIZE]
    assert builder.kept_sizes(fusion, half=False) == [(64, 64)]
    newer = replace(builder, library=replace(builder.library, version="2.0"))
    assert newer.kept_sizes(fusion, half=True) == []


def test_an_interrupt_stops_a_build_and_not_the_process(rtx: Library, fusion: Path, monkeypatch) -> None:
    from ivfusion_ros.backends.tensorrt import build

    class Bar(build.tqdm):
        def set_postfix_str(self, *_: object) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr(
        build, "tqdm", lambda **options: Bar(**options | {"mininterval": 0, "disable": False})
    )
    with pytest.raises(KeyboardInterrupt):
        build_plan(engine_graph(onnx.load(fusion), SIZE), rtx, title="interrupted")


def test_engine_graphs_compute_what_the_models_do(fusion: Path, tmp_path: Path) -> None:
    (thermal, rgb), *_ = fake_gpu.sample_pairs(SIZE)
    inputs = {"thermal": thermal[None], "rgb": rgb[None]}
    model = onnx.load(fusion)
    graph = engine_graph(model, SIZE)
    assert np.array_equal(reference(graph)(inputs)["fused"], reference(model)(inputs)["fused"])
    assert all(
        not item.dim_param for value in graph.graph.input for item in value.type.tensor_type.shape.dim
    )
    finder = onnx.load(write_detector(tmp_path / "a.onnx"))
    planes = (rgb.transpose(2, 0, 1)[None] / 255).astype(np.float32)
    image = engine_graph(finder, SIZE).graph.input[0].name
    found = reference(engine_graph(finder, SIZE))({image: rgb[None]})["output0"]
    np.testing.assert_allclose(found, reference(finder)({"images": planes})["output0"], rtol=1e-4)


def test_a_detector_of_two_images_takes_both_as_bytes(tmp_path: Path) -> None:
    (thermal, rgb), *_ = fake_gpu.sample_pairs(SIZE)
    model = onnx.load(write_detector(tmp_path / "two.onnx", thermal=True))
    graph = engine_graph(model, SIZE)
    inputs = engine_inputs(model, thermal, rgb)
    kinds = {value.name: value.type.tensor_type for value in graph.graph.input}
    assert {name: tuple(side.dim_value for side in kind.shape.dim) for name, kind in kinds.items()} == {
        "images/image": (1, 64, 96, 3),
        "thermal/image": (1, 64, 96),
    }
    assert {kind.elem_type for kind in kinds.values()} == {onnx.TensorProto.UINT8}
    planes = {"images": rgb.transpose(2, 0, 1)[None], "thermal": thermal[None, None]}
    expected = reference(model)({name: (value / 255).astype(np.float32) for name, value in planes.items()})
    np.testing.assert_allclose(reference(graph)(inputs)["output0"], expected["output0"], rtol=1e-4)
    # Both are fitted into the network's input alike.
    wide = engine_inputs(model, np.full((50, 150), 7, np.uint8), np.full((50, 150, 3), 7, np.uint8))
    same = {
        name: np.full((1, planes, 64, 96), 114 / 255, np.float32)
        for name, planes in (("images", 3), ("thermal", 1))
    }
    for tensor in same.values():
        tensor[:, :, 16:48] = 7 / 255
    found = reference(engine_graph(model, (150, 50)))(wide)["output0"]
    np.testing.assert_allclose(found, reference(model)(same)["output0"], rtol=1e-4)


def test_models_that_are_neither(fusion: Path) -> None:
    value = helper.make_tensor_value_info("x", onnx.TensorProto.INT64, [1])
    odd = helper.make_model(helper.make_graph([], "g", [value], []))
    with pytest.raises(ModelError, match="has the inputs x, expected thermal and rgb"):
        engine_graph(odd, SIZE)
    fixed = engine_graph(onnx.load(fusion), SIZE)
    with pytest.raises(ModelError, match="is made for 64, not for 48"):
        engine_graph(fixed, (96, 48))


def test_a_kept_engine_is_taken_and_any_other_is_built(
    builder: make.EngineBuilder, fusion: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = builder.engine(fusion, SIZE, half=True)
    assert first.record.runs_in == "f16" and first.record.check.startswith("on the CPU: mean error")
    stamp = first.path.stat().st_mtime_ns
    assert builder.engine(fusion, SIZE, half=True) == first
    assert first.path.stat().st_mtime_ns == stamp
    # Other precision, size or model: engines beside it.
    builder.engine(fusion, SIZE, half=False)
    builder.engine(fusion, (48, 32), half=True)
    builder.engine(write_fusion(tmp_path / "fusion.onnx", seed=1), SIZE, half=True)
    assert len(read_records(builder.folder)) == 4
    # Another TensorRT: the same place, and the reason is logged.
    updated = replace(builder, library=replace(builder.library, version="1.1"))
    with caplog.at_level(logging.INFO):
        updated.engine(fusion, SIZE, half=True)
    assert ": version was 1.0, is 1.1" in caplog.text
    assert len(read_records(builder.folder)) == 4
    assert not list(builder.folder.glob("*.partial"))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "is damaged"),
        (lambda path: path.write_bytes(b""), "is damaged"),
        (lambda path: path.with_suffix(".json").unlink(), "is missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text("{"), "is missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text('{"key": {}}'), "is missing or damaged"),
        (lambda path: path.with_suffix(".json").write_text("[]"), "is missing or damaged"),
    ],
)
def test_damage_is_noticed_and_built_again(
    builder: make.EngineBuilder, fusion: Path, damage, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = builder.engine(fusion, SIZE, half=False)
    damage(engine.path)
    with caplog.at_level(logging.INFO):
        again = builder.engine(fusion, SIZE, half=False)
    assert f"{reason}" in caplog.text and again.plan == engine.plan
    assert read_plan(engine.path, again.record.key) == (again.plan, again.record)


def test_a_model_that_fails_in_half_is_kept_in_f32_and_not_tried_again(
    builder: make.EngineBuilder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loud = write_fusion(tmp_path / "loud.onnx", gain=2e5)
    with caplog.at_level(logging.WARNING):
        engine = builder.engine(loud, SIZE, half=True)
    assert engine.record.runs_in == "f32" and "infinite" in engine.record.fallback
    assert "loud.onnx runs in f32: half precision failed its self-test: the output has NaN" in caplog.text
    caplog.clear()
    assert builder.engine(loud, SIZE, half=True) == engine
    assert not caplog.text


def test_a_folder_that_cannot_be_written(
    builder: make.EngineBuilder, fusion: Path, tmp_path, caplog
) -> None:
    (tmp_path / "file").write_text("")
    engine = replace(builder, folder=tmp_path / "file" / "engines").engine(fusion, SIZE, half=False)
    assert engine.plan and "cannot be kept" in caplog.text and "IVFUSION_ENGINES" in caplog.text


def test_missing_and_broken_models(builder: make.EngineBuilder, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        builder.engine(tmp_path / "no.onnx", SIZE, half=True)
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(ModelError, match="not an ONNX file"):
        builder.engine(tmp_path / "text.onnx", SIZE, half=True)


def test_the_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("IVFUSION_ENGINES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert engine_folder() == tmp_path / "ivfusion_ros" / "engines"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert engine_folder() == Path.home() / ".cache" / "ivfusion_ros" / "engines"
    monkeypatch.setenv("IVFUSION_ENGINES", str(tmp_path / "own"))
    assert engine_folder() == tmp_path / "own"


def test_names_and_sidecars(tmp_path: Path) -> None:
    path = plan_path(tmp_path, Path("models/mda.onnx"), KEY)
    assert path.name == "mda-abababab-96x64-f16-tensorrt-sm87.engine"
    assert read_plan(path, KEY) == ""
    digest = make.hashlib.sha256(b"plan").hexdigest()
    write_plan(path, b"plan", replace(RECORD, plan_sha256=digest))
    assert read_plan(path, KEY) == (b"plan", replace(RECORD, plan_sha256=digest))
    assert json.loads(path.with_suffix(".json").read_text())["key"]["gpu"] == "Orin"
    found = read_plan(path, replace(KEY, gpu="Thor", graph_version=99))
    assert found == "gpu was Orin, is Thor, graph_version was 1, is 99"


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.engine"
    path.write_bytes(b"old")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as file:
            file.write(content[:2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError):
        write_whole(path, b"new plan")
    assert path.read_bytes() == b"old" and [item.name for item in tmp_path.iterdir()] == ["a.engine"]


def _build_slowly(folder: Path, model: Path, log: Path, together: Barrier) -> None:
    def build(graph: onnx.ModelProto, library: Library, **_: object) -> bytes:
        with log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        threading.Event().wait(0.3)
        return graph.SerializeToString()

    make.build_plan = build
    builder = make.EngineBuilder(Library(fake_gpu.TENSORRT, "tensorrt_rtx", "1.0"), None, folder)
    together.wait(60)
    engine = builder.engine(model, SIZE, half=False)
    assert onnx.load_from_string(engine.plan).graph.node


def test_processes_that_want_the_same_engine_build_it_once(tmp_path: Path, fusion: Path) -> None:
    # Not forked: a fork takes the locks that other tests' threads hold in it along, and may wait for ever.
    context = multiprocessing.get_context("spawn")
    arguments = tmp_path / "engines", fusion, tmp_path / "log", context.Barrier(3)
    processes = [context.Process(target=_build_slowly, args=arguments, daemon=True) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    assert len(read_records(tmp_path / "engines")) == 1


def test_a_killed_builder_blocks_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.engine"
    program = (
        "import time, sys; from pathlib import Path\n"
        "from ivfusion_ros.backends.tensorrt.cache import only_builder\n"
        f"with only_builder(Path({str(path)!r})): print('in', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "in\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with only_builder(path):
        pass


def test_the_command_builds_prints_and_keeps(
    rtx: Library, fusion: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    monkeypatch.setattr(self_test, "sample_pairs", fake_gpu.sample_pairs)
    words = ["engine", str(fusion), "--half", "--size", "96x64", "48x32", "--cache", str(tmp_path / "kept")]
    for _ in range(2):
        assert main([*words, "--json", str(tmp_path / "figures.json")]) == 0
    printed = capsys.readouterr().out
    assert printed.count("f16") >= 4 and "self-test: on the CPU: mean error" in printed
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert len(figures) == 2 and {row["key"]["size"] for row in figures.values()} == {"96x64", "48x32"}
    assert all(path.stat().st_size > 1000 for path in (tmp_path / "kept").glob("*.engine"))
    assert main(["engine", str(fusion), "--size", "64"]) == 2


def test_the_command_says_what_the_default_precision_is_for(monkeypatch, fusion: Path, capsys) -> None:
    class EngineBuilder:
        def engine(self, *_: object, **__: object) -> None:
            raise ModelError("no engine")

    monkeypatch.setattr(library, "load_library", lambda: fake_gpu.LIBRARY)
    monkeypatch.setattr(cuda, "find_gpu", lambda: fake_gpu.GPU)
    monkeypatch.setattr(make.EngineBuilder, "here", lambda *_: EngineBuilder())
    assert main(["engine", str(fusion)]) == 5
    assert "--half builds what auto" in capsys.readouterr().err
    assert main(["engine", str(fusion), "--half"]) == 5
    assert "auto" not in capsys.readouterr().err


def test_the_command_without_tensorrt(fusion: Path, monkeypatch, capsys) -> None:
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["engine", str(fusion)]) == 6
    assert "pip install tensorrt_rtx_cu13" in capsys.readouterr().err


def test_graphs_for_trtexec_need_neither_tensorrt_nor_a_gpu(
    tmp_path: Path, fusion: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(library, "FLAVOURS", {})
    words = ["engine", str(fusion), "--size", "96x64", "48x32", "--graphs", str(tmp_path / "graphs")]
    assert main(words) == 0 and main([*words, "--half"]) == 0
    found = {path.name: onnx.load(path) for path in (tmp_path / "graphs").iterdir()}
    assert sorted(found) == [
        f"fusion-{size}-{kind}.onnx" for size in ("48x32", "96x64") for kind in ("f16", "f32")
    ]
    assert str(tmp_path / "graphs" / "fusion-48x32-f16.onnx") in capsys.readouterr().out
    model = onnx.load(fusion)
    thermal, rgb = fake_gpu.sample_pairs(SIZE)[0]
    inputs = engine_inputs(model, thermal, rgb)
    expected = reference(engine_graph(model, SIZE))(inputs)["fused"]
    for kind, most in (("f32", 0), ("f16", 1)):
        fused = reference(found[f"fusion-96x64-{kind}.onnx"])(inputs)["fused"]
        assert np.abs(fused.astype(int) - expected.astype(int)).max() <= most
    assert main([*words, "--rebuild"]) == 2
    assert "--graphs builds no engine" in capsys.readouterr().err


def test_doctor_says_which_engines_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fusion: Path
) -> None:
    monkeypatch.setenv("IVFUSION_ENGINES", str(tmp_path))
    gpu = fake_gpu.GPU
    fitting = replace(KEY, version="10.13.0", gpu=gpu.name, capability="8.9")
    for name, key in (("good", fitting), ("old", replace(fitting, version="10.3.0"))):
        write_plan(tmp_path / f"{name}.engine", b"plan", replace(RECORD, key=key))
    (tmp_path / "bare.engine").write_bytes(b"")
    monkeypatch.setattr(doctor, "load_library", lambda: fake_gpu.LIBRARY)
    monkeypatch.setattr(doctor, "find_gpu", lambda: gpu)
    status = dict.fromkeys(BACKENDS, BackendStatus(False, "not looked for"))
    monkeypatch.setattr(doctor, "available_backends", lambda: status)
    monkeypatch.setattr(doctor, "read_models", dict)
    found = doctor.examine()
    machine, engines = found["gpu"], found["engines"]
    assert machine["TensorRT"] == "TensorRT 10.13.0"
    assert machine["GPU"].startswith(
        "NVIDIA Test, compute capability 8.9, 9 GB, driver runs CUDA up to 13.0"
    )
    assert engines["good.engine"] == "fits, f16, 0.0 MB, mean error 0"
    assert engines["old.engine"] == "will be rebuilt when it is needed: version was 10.3.0, is 10.13.0"
    assert "missing or damaged" in engines["bare.engine"]

    def missing() -> None:
        raise BackendError("there is no TensorRT here; pip install it")

    monkeypatch.setattr(doctor, "load_library", missing)
    found = doctor.examine()
    machine, engines = found["gpu"], found["engines"]
    assert machine["TensorRT"] == "there is no TensorRT here; pip install it"
    assert engines["good.engine"].startswith("cannot run")
