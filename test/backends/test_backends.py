"""Backends against each other, against numpy, and against everything that can be wrong with a model."""

import contextlib
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from places import SHARED

from ivfusion_ros.backends import load_backend
from ivfusion_ros.backends.backend import ParallelBackend, PixelBackend
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.onnx_file import read_metadata

REFERENCE = SHARED / "reference" / "yolov5n_coco_480x640.onnx"
CPU_BACKENDS = ("onnxruntime", "openvino")
METADATA = {"names": "{0: 'person'}", "note": "größe"}


def kernels() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    return (
        (rng.normal(0, 0.25, (16, 4, 3, 3))).astype(np.float32),
        (rng.normal(0, 0.12, (3, 16, 3, 3))).astype(np.float32),
    )


def write_fusion_model(path: Path, height: str | int = "H", width: str | int = "W") -> Path:
    """A small graph by the fusion contract: uint8 in, two convolutions, uint8 out."""
    first, second = kernels()
    scalars = {
        "s255": np.float32(255),
        "zero": np.float32(0),
        "one": np.float32(1),
        "half": np.float32(0.5),
    }
    constants = {"first": first, "second": second, "axis": np.array([1]), **scalars}
    nodes = [
        helper.make_node("Unsqueeze", ["thermal", "axis"], ["t4"]),
        helper.make_node("Transpose", ["rgb"], ["r4"], perm=[0, 3, 1, 2]),
        helper.make_node("Concat", ["t4", "r4"], ["bytes"], axis=1),
        helper.make_node("Cast", ["bytes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "s255"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "first"], ["c1"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c1"], ["a1"]),
        helper.make_node("Conv", ["a1", "second"], ["c2"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c2", "half"], ["shifted"]),
        helper.make_node("Clip", ["shifted", "zero", "one"], ["clipped"]),
        helper.make_node("Mul", ["clipped", "s255"], ["levels"]),
        helper.make_node("Round", ["levels"], ["rounded"]),
        helper.make_node("Cast", ["rounded"], ["u8"], to=TensorProto.UINT8),
        helper.make_node("Transpose", ["u8"], ["fused"], perm=[0, 2, 3, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "fusion",
        [
            helper.make_tensor_value_info("thermal", TensorProto.UINT8, [1, height, width]),
            helper.make_tensor_value_info("rgb", TensorProto.UINT8, [1, height, width, 3]),
        ],
        [helper.make_tensor_value_info("fused", TensorProto.UINT8, [1, height, width, 3])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, METADATA)
    onnx.save(model, path)
    return path


def expected_fused(thermal: np.ndarray, rgb: np.ndarray) -> np.ndarray:
    """The same graph in numpy, in double precision."""
    planes = np.concatenate([thermal[:, None], rgb.transpose(0, 3, 1, 2)], axis=1)[0] / 255.0
    for index, kernel in enumerate(kernels()):
        padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
        planes = np.einsum("chwij,ocij->ohw", windows, kernel.astype(np.float64))
        planes = np.maximum(planes, 0) if index == 0 else planes + 0.5
    return np.rint(np.clip(planes, 0, 1) * 255).transpose(1, 2, 0)[None]


def make_images(height: int, width: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "thermal": rng.integers(0, 256, (1, height, width), np.uint8),
        "rgb": rng.integers(0, 256, (1, height, width, 3), np.uint8),
    }


def difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(np.int16) - b.astype(np.int16))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_fusion_model(tmp_path_factory.mktemp("models") / "fusion.onnx")


@pytest.fixture(params=CPU_BACKENDS)
def backend_name(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def test_f32_backends_give_what_numpy_gives(model: Path, backend_name: str) -> None:
    images = make_images(48, 64)
    fused = load_backend(model, backend_name, precision="f32", threads=1).run(images)["fused"]
    assert fused.dtype == np.uint8
    assert difference(fused, expected_fused(**images)).max() <= 1
    assert fused.std() > 20  # the comparison would be empty on a saturated picture


def test_bf16_stays_near_f32(model: Path) -> None:
    pytest.importorskip("openvino")
    images = make_images(96, 128)
    fast = load_backend(model, "openvino", threads=1)
    if " f32 " in fast.description:
        pytest.skip("this CPU computes in f32 only")
    reference = load_backend(model, "onnxruntime", threads=1)
    off = difference(fast.run(images)["fused"], reference.run(images)["fused"])
    assert off.mean() <= 1
    assert 0 < off.max() <= 8  # 0 would mean that it computed in f32 after all


def test_any_size_in_any_order(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, precision="f32", threads=1)
    sizes = [(16, 24), (17, 31), (24, 16), (8, 8), (33, 20), (16, 24), (9, 40), (17, 31)]
    for height, width in sizes:
        images = make_images(height, width, seed=height)
        assert difference(backend.run(images)["fused"], expected_fused(**images)).max() <= 1


def test_compiled_shapes_do_not_pile_up(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino_ = pytest.importorskip("ivfusion_ros.backends.openvino_")
    compiled, core = [], openvino_.core()

    class Core:
        def compile_model(self, *arguments):
            compiled.append(arguments)
            return core.compile_model(*arguments)

    backend = load_backend(model, "openvino", threads=1)
    monkeypatch.setattr(openvino_, "core", Core)
    counts = []
    # The last four widths are kept, the fifth to last is not.
    for width in (*range(8, 20), *range(16, 20), 15):
        backend.run(make_images(8, width))
        counts.append(len(compiled))
    assert counts == [*range(1, 13), 12, 12, 12, 12, 13]


def test_fixed_size_model(tmp_path: Path, backend_name: str) -> None:
    path = write_fusion_model(tmp_path / "fixed.onnx", 16, 24)
    backend = load_backend(path, backend_name, precision="f32", threads=1)
    assert backend.inputs["rgb"].shape == (1, 16, 24, 3)
    images = make_images(16, 24)
    assert difference(backend.run(images)["fused"], expected_fused(**images)).max() <= 1
    with pytest.raises(ModelError, match=r"thermal is uint8 \(1, 16, 25\), expected uint8 \(1, 16, 24\)"):
        backend.run(make_images(16, 25))


def test_runs_repeat_and_outputs_stay_the_callers(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, threads=1)
    first = backend.run(make_images(32, 32, seed=1))["fused"]
    kept = first.copy()
    assert not np.array_equal(backend.run(make_images(32, 32, seed=2))["fused"], kept)
    assert np.array_equal(first, kept)
    assert np.array_equal(backend.run(make_images(32, 32, seed=1))["fused"], kept)
    assert first.flags.writeable


def test_strided_and_read_only_inputs(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, threads=1)
    images = make_images(16, 24)
    plain = backend.run(images)["fused"]
    odd = {
        "thermal": np.repeat(images["thermal"], 2, axis=2)[:, :, ::2],
        "rgb": np.frombuffer(images["rgb"].tobytes(), np.uint8).reshape(images["rgb"].shape),
    }
    assert not odd["thermal"].flags.c_contiguous
    assert not odd["rgb"].flags.writeable
    assert np.array_equal(backend.run(odd)["fused"], plain)


def test_description_inputs_and_metadata(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, precision="f32", threads=2)
    assert backend.name == backend_name
    for part in (" f32 ", "CPU", "2 threads"):
        assert part in backend.description
    alone = load_backend(model, backend_name, precision="f32", threads=1)
    assert alone.description == backend.description.replace("2 threads", "1 thread")
    assert {name: (info.shape, info.dtype) for name, info in backend.inputs.items()} == {
        "thermal": ((1, None, None), np.uint8),
        "rgb": ((1, None, None, 3), np.uint8),
    }
    assert backend.outputs["fused"].dtype == np.uint8
    assert dict(backend.metadata) == METADATA


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rgb": None}, "given the inputs thermal, expected"),
        ({"extra": np.zeros(1)}, "extra"),
        (
            {"rgb": np.zeros((1, 16, 24, 4), np.uint8)},
            r"rgb is uint8 \(1, 16, 24, 4\), expected uint8 \(1, any",
        ),
        ({"rgb": np.zeros((16, 24, 3), np.uint8)}, r"rgb is uint8 \(16, 24, 3\)"),
        ({"thermal": np.zeros((1, 16, 24), np.uint16)}, "thermal is uint16"),
        ({"thermal": [[0]]}, "thermal is a list"),
    ],
)
def test_wrong_input_is_named(model: Path, backend_name: str, change: dict, message: str) -> None:
    backend = load_backend(model, backend_name, threads=1)
    inputs = {name: value for name, value in (make_images(16, 24) | change).items() if value is not None}
    with pytest.raises(ModelError, match=message):
        backend.run(inputs)


def test_sizes_that_do_not_fit_each_other(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, threads=1)
    inputs = {"thermal": make_images(16, 24)["thermal"], "rgb": make_images(32, 24)["rgb"]}
    with pytest.raises(ModelError, match=r"cannot run fusion\.onnx"):
        backend.run(inputs)
    assert backend.run(make_images(16, 24))["fused"].shape == (1, 16, 24, 3)


def test_closed_backend_says_so(model: Path, backend_name: str) -> None:
    backend = load_backend(model, backend_name, threads=1)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(make_images(8, 8))


def test_bad_files_are_model_errors(tmp_path: Path, model: Path, backend_name: str) -> None:
    good = model.read_bytes()
    cases = {
        "missing": (None, "does not exist"),
        "empty": (b"", "empty"),
        "text": (b"this is not a network\n" * 50, "not an ONNX file"),
        "png": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4, "not an ONNX file"),
        "cut": (good[: len(good) // 2], "truncated"),
        "damaged": (good[:60] + b"\xff" * 300 + good[360:], "cannot load"),
    }
    for name, (content, message) in cases.items():
        path = tmp_path / f"{name}.onnx"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(ModelError, match=message):
            load_backend(path, backend_name)
    with pytest.raises(ModelError, match="directory"):
        load_backend(tmp_path, backend_name)


def test_unknown_operator_is_a_model_error(tmp_path: Path, backend_name: str) -> None:
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("NoSuchOp", ["x"], ["y"])], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(ModelError, match="NoSuchOp"):
        load_backend(tmp_path / "odd.onnx", backend_name)


def test_every_truncation_is_noticed(tmp_path: Path, model: Path) -> None:
    whole = onnx.load(model)
    del whole.metadata_props[:]  # entries at the end of a file cannot be missed
    good = whole.SerializeToString()
    path = tmp_path / "cut.onnx"
    for length in [*range(1, len(good), 37), *range(len(good) - 100, len(good))]:
        path.write_bytes(good[:length])
        with pytest.raises(ModelError):
            read_metadata(path)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1),
        st.text(st.characters(exclude_categories=["Cs"])),
    )
)
def test_metadata_reads_like_the_onnx_library(
    tmp_path_factory: pytest.TempPathFactory, entries: dict
) -> None:
    graph = helper.make_graph([], "g", [], [])
    model = helper.make_model(graph, producer_name="test", doc_string="x" * 300)
    helper.set_model_props(model, entries)
    path = tmp_path_factory.getbasetemp() / "metadata.onnx"
    onnx.save(model, path)
    assert read_metadata(path) == entries


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_never_crash_the_reader(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.onnx"
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert isinstance(read_metadata(path), dict)


@pytest.mark.skipif(not REFERENCE.exists(), reason="no ../shared/reference")
def test_reference_detector_agrees_between_backends() -> None:
    pytest.importorskip("openvino")
    image = np.random.default_rng(0).random((1, 3, 480, 640), np.float32)
    backends = [load_backend(REFERENCE, name, precision="f32", threads=1) for name in CPU_BACKENDS]
    assert "person" in backends[0].metadata["names"]
    a, b = (backend.run({"images": image})["output0"] for backend in backends)
    np.testing.assert_allclose(a, b, atol=0.01, rtol=1e-3)


def test_no_thread_waits_busily_between_runs(model: Path) -> None:
    """Two networks would keep each other from the cores."""
    backend = load_backend(model, "onnxruntime")
    options = backend._session.get_session_options()
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def write_weighing_model(path: Path, kind: int, sides: tuple[int | str, int | str]) -> Path:
    """scores = image * (1, 2, 4) by channel + 8 * thermal, for inputs as those of a detector."""
    weights = np.array([1, 2, 4], np.float16 if kind == TensorProto.FLOAT16 else np.float32)
    constants = {"weights": weights.reshape(1, 3, 1, 1), "eight": weights[2:] * 2}
    nodes = [
        helper.make_node("Mul", ["image", "weights"], ["weighed"]),
        helper.make_node("Mul", ["thermal", "eight"], ["hot"]),
        helper.make_node("Add", ["weighed", "hot"], ["scores"]),
    ]
    inputs = [
        helper.make_tensor_value_info(name, kind, [1, channels, *sides])
        for name, channels in (("image", 3), ("thermal", 1))
    ]
    outputs = [helper.make_tensor_value_info("scores", kind, [1, 3, *sides])]
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "weighs", inputs, outputs, initializers)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.mark.parametrize("sides", [("H", "W"), (5, 7)])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_openvino_takes_pixels_for_floats(
    kind: int, sides: tuple[int | str, int | str], tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    backend = load_backend(
        write_weighing_model(tmp_path / "a.onnx", kind, sides), "openvino", precision="f32", threads=1
    )
    random = np.random.default_rng(1)
    image = random.integers(0, 256, (1, 5, 7, 3), np.uint8)
    thermal = random.integers(0, 256, (1, 5, 7, 1), np.uint8)
    assert isinstance(backend, PixelBackend)
    assert backend.takes_pixels("image") and backend.takes_pixels("thermal")
    expected = ((image * np.float32([1, 2, 4]) + thermal * np.float32(8)) / 255).transpose(0, 3, 1, 2)
    found = backend.run({"image": image, "thermal": thermal})["scores"]
    dtype = backend.outputs["scores"].dtype
    assert found.dtype == dtype
    np.testing.assert_allclose(found, expected, atol=1e-5 if dtype == np.float32 else 0.02)
    # The graph itself makes the floats, and the file's own inputs are taken still.
    (compiled,) = backend._compiled.values()
    assert {port.get_element_type().to_dtype() for port in compiled.model.inputs} == {np.dtype(np.uint8)}
    planes = [(array.transpose(0, 3, 1, 2) / 255).astype(dtype) for array in (image, thermal)]
    again = backend.run(dict(zip(("image", "thermal"), planes, strict=True)))["scores"]
    np.testing.assert_allclose(again, found, atol=1e-5 if dtype == np.float32 else 0.02)


def test_bytes_that_are_no_image_are_refused(model: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    fusion = load_backend(model, "openvino", threads=1)
    assert isinstance(fusion, PixelBackend) and not fusion.takes_pixels("rgb")
    weighs = write_weighing_model(tmp_path / "a.onnx", TensorProto.FLOAT, (5, 7))
    backend = load_backend(weighs, "openvino", threads=1)
    images = {"image": np.zeros((1, 3, 5, 7), np.uint8), "thermal": np.zeros((1, 5, 7, 1), np.uint8)}
    with pytest.raises(ModelError, match=r"uint8 \(1, 3, 5, 7\), expected uint8 \(1, 5, 7, 3\)"):
        backend.run(images)


def test_large_images_have_one_run_at_a_time(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run has memory of its own."""
    pytest.importorskip("openvino")
    monkeypatch.setattr("ivfusion_ros.backends.openvino_.usable_cores", lambda: 2)
    small, large = make_images(6, 9), make_images(16, 24)
    monkeypatch.setattr("ivfusion_ros.backends.tensors._MOST_BYTES_AT_ONCE", 4 * 16 * 24 - 1)
    expected = [load_backend(model, "openvino", threads=1).run(images) for images in (small, large)]
    backend = load_backend(model, "openvino")
    assert isinstance(backend, ParallelBackend)
    backend.spread(2)
    for images, outputs in zip((small, large), expected, strict=True):
        np.testing.assert_array_equal(backend.run(images)["fused"], outputs["fused"])
    compiled = [entry.model for entry in backend._compiled.values()]
    assert [model.get_property("NUM_STREAMS") for model in compiled] == [2, 1]
    assert [model.get_property("INFERENCE_NUM_THREADS") for model in compiled] == [2, 1]


def test_onnxruntime_runs_large_images_one_after_the_other(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = load_backend(model, "onnxruntime")
    assert isinstance(backend, ParallelBackend)
    backend.spread(2)
    small, large = make_images(6, 9), make_images(16, 24)
    monkeypatch.setattr("ivfusion_ros.backends.tensors._MOST_BYTES_AT_ONCE", 4 * 16 * 24 - 1)
    done = []
    with backend._alone:
        thread = threading.Thread(target=lambda: done.append(backend.run(large)))
        thread.start()
        backend.run(small)
        thread.join(0.05)
        assert thread.is_alive() and not done
    thread.join(20)
    np.testing.assert_array_equal(done[0]["fused"], backend.run(large)["fused"])


@pytest.mark.parametrize("channels_last", [True, False])
def test_openvino_takes_colour_as_planes_and_gives_pixels(channels_last: bool, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    from onnx import TensorProto, helper

    # An inverted image: the exporters' own way round, and pixels that were never planes.
    nodes = [
        helper.make_node("Transpose", ["rgb"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["white", "floats"], ["inverted"]),
        helper.make_node("Transpose", ["inverted"], ["pixels"], perm=[0, 2, 3, 1]),
        helper.make_node("Cast", ["pixels"], ["fused"], to=TensorProto.UINT8),
    ]
    if channels_last:
        nodes = [
            helper.make_node("Cast", ["rgb"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["white", "floats"], ["inverted"]),
            helper.make_node("Cast", ["inverted"], ["fused"], to=TensorProto.UINT8),
        ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, "h", "w", 3])
        for name in ("rgb", "fused")
    ]
    white = helper.make_tensor("white", TensorProto.FLOAT, [], [255.0])
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], [white])
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "inverts.onnx")
    backend = load_backend(tmp_path / "inverts.onnx", "openvino", precision="f32")
    assert str(backend.inputs["rgb"]) == str(backend.outputs["fused"])
    kept = []
    for size in ((6, 10), (6, 10), (8, 4)):
        image = random.integers(0, 256, (1, *size, 3), np.uint8)
        kept.append((image, backend.run({"rgb": image})["fused"]))
    for image, fused in kept:
        assert fused.dtype == np.uint8 and np.array_equal(fused, 255 - image)
