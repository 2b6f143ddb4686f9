"""The cost of a model: counted by hand, against torch's own counter, and measured in a process."""

from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest

from ivfusion_ros.backends import cuda, measurements
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.evaluation.speed.cost import measure_cost
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.models import resolve_model

onnx = pytest.importorskip("onnx")
helper, TYPES = onnx.helper, onnx.TensorProto
HEIGHT, WIDTH = 10, 12


@pytest.fixture
def layers(tmp_path: Path):
    """A function that puts nodes between `image` (1, 1, H, W) float and nothing, with named weights."""

    def make(nodes, **weights: tuple[int, ...]) -> Path:
        tensors = [
            onnx.numpy_helper.from_array(np.zeros(shape, np.float32), name)
            for name, shape in weights.items()
        ]
        tensors.append(onnx.numpy_helper.from_array(np.array([1]), "axes"))
        ends = [
            helper.make_node("Cast", ["thermal"], ["grey"], to=TYPES.FLOAT),
            helper.make_node("Unsqueeze", ["grey", "axes"], ["image"]),
            helper.make_node("Identity", ["rgb"], ["fused"]),
        ]
        colour = [1, "h", "w", 3]
        graph = helper.make_graph(
            [*ends, *nodes],
            "layers",
            [
                helper.make_tensor_value_info("thermal", TYPES.UINT8, [1, "h", "w"]),
                helper.make_tensor_value_info("rgb", TYPES.UINT8, colour),
            ],
            [helper.make_tensor_value_info("fused", TYPES.UINT8, colour)],
            tensors,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
        onnx.save(model, tmp_path / "layers.onnx")
        return tmp_path / "layers.onnx"

    return make


def test_convolutions_counted_by_hand(layers) -> None:
    path = layers(
        [
            helper.make_node("Conv", ["image", "a"], ["x"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Conv", ["x", "b"], ["y"], group=4),
            helper.make_node("ConvTranspose", ["y", "c"], ["z"], strides=[2, 2]),
        ],
        a=(4, 1, 3, 3),
        b=(8, 1, 1, 1),
        c=(8, 5, 2, 2),
    )
    half = (HEIGHT // 2) * (WIDTH // 2)
    expected = half * 4 * 9 + half * 8 * 1 + half * 8 * 5 * 4
    assert count_operations(path, (WIDTH, HEIGHT)) == (4 * 9 + 8 + 8 * 5 * 4, expected)


def test_matrix_products_counted_by_hand(layers) -> None:
    path = layers(
        [
            helper.make_node("MatMul", ["image", "right"], ["x"]),
            helper.make_node("Gemm", ["left", "right"], ["y"], transA=1),
        ],
        left=(WIDTH, 3),
        right=(WIDTH, 7),
    )
    parameters, multiply_adds = count_operations(path, (WIDTH, HEIGHT))
    assert parameters == WIDTH * 3 + WIDTH * 7
    assert multiply_adds == HEIGHT * 7 * WIDTH + 3 * 7 * WIDTH


def test_shipped_network_against_torch() -> None:
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode

    from ivfusion_ros.networks.graph import build_graph

    network = build_graph("refinefuse", resolve_model("refinefuse")).network
    image = torch.zeros(1, 1, 64, 96)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image, image)
    parameters, multiply_adds = count_operations(resolve_model("refinefuse"), (96, 64))
    assert 2 * multiply_adds == counter.get_total_flops()
    assert parameters == pytest.approx(sum(item.numel() for item in network.parameters()), rel=1e-4)


def test_a_run_is_measured(blend_model: Path) -> None:
    cost = measure_cost(blend_model, (640, 480), "onnxruntime", threads=1)
    assert (cost.parameters, cost.multiply_adds) == (0, 0)
    assert cost.file_bytes == blend_model.stat().st_size
    assert 0 < cost.median_ms < 10_000
    if cost.peak_bytes is not None:
        # Two int32 images of 640x480x3 at least are held at once.
        assert 2 * 4 * 640 * 480 * 3 <= cost.peak_bytes < 1_000_000_000


def test_a_measured_backend_is_chosen_before_memory_is(
    blend_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this process, whose memory is not that of the run; the other one finds a backend's name."""
    monkeypatch.setattr(cuda, "find_gpu", Mock(side_effect=BackendError("no GPU")))
    monkeypatch.setenv("IVFUSION_MEASUREMENTS", str(tmp_path))
    asked = []
    monkeypatch.setattr(
        measurements, "measure", lambda title, tried, load: asked.extend(tried) or {tried[-1]: 1.0}
    )
    cost = measure_cost(blend_model, (96, 64), "measured", threads=1)
    assert 0 < cost.median_ms < 10_000
    assert {candidate.backend for candidate in asked} == {"openvino", "onnxruntime"}


def test_what_is_no_fusion_model_is_named(tmp_path: Path, box_model: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="broken"):
        count_operations(broken, (64, 48))
    with pytest.raises(ModelError, match="expected thermal and rgb -> fused"):
        measure_cost(box_model, (96, 64), "onnxruntime", threads=1)
