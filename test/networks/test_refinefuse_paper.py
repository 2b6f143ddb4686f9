"""RefineFuse as printed: the cost of Table 11, its modules against what the text says, and its export."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

import onnx
from captures import export_once
from torch.nn import functional

from ivfusion_ros.backends import load_backend
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.operations import count_operations
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.graph import build_graph
from ivfusion_ros.networks.refinefuse_paper import FIM, GRID, PSIM, pool_to_grid
from ivfusion_ros.pipeline.fuser import Fuser


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("printed") / "refinefuse_paper.onnx"
    return export_once(build_graph("refinefuse_paper"), "refinefuse_paper", path)


def random_pair(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    return random.integers(0, 256, size, np.uint8), random.integers(0, 256, (*size, 3), np.uint8)


def test_it_costs_what_the_paper_states_at_both_sizes(exported: Path) -> None:
    """Table 11; the ratio tells that a part does not depend on the image's size."""
    parameters, small = count_operations(exported, (256, 256))
    _, large = count_operations(exported, (512, 512))
    assert parameters == pytest.approx(2.21e6, rel=0.05)
    assert small == pytest.approx(12.73e9, rel=0.05)
    assert large == pytest.approx(48.11e9, rel=0.05)
    assert large / small == pytest.approx(3.779, abs=0.005)


def test_torch_counts_as_much() -> None:
    from torch.utils.flop_counter import FlopCounterMode

    network, image = make_network("refinefuse_paper").eval(), torch.zeros(1, 1, 256, 256)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image, image)
    assert counter.get_total_flops() / 2 == pytest.approx(12.73e9, rel=0.05)


@pytest.mark.parametrize("size", [(64, 64), (28, 28), (10, 37), (160, 129), (1, 1)])
def test_the_grid_is_torch_s_adaptive_pooling(size: tuple[int, int]) -> None:
    feature = torch.rand(2, 3, *size)
    expected = functional.adaptive_avg_pool2d(feature, GRID)
    torch.testing.assert_close(pool_to_grid(feature), expected, rtol=1e-5, atol=1e-6)


def test_psim_attends_on_a_grid_whatever_the_image() -> None:
    torch.manual_seed(0)
    block, sizes = PSIM(16).eval(), []
    block.key_thermal.register_forward_hook(lambda _, inputs, keys: sizes.append(tuple(keys.shape)))
    for size in ((64, 64), (40, 100), (9, 5)):
        features = torch.rand(2, 2, 16, *size)
        with torch.no_grad():
            assert block(*features).shape == features[0].shape
    assert sizes == [(2, 2, GRID, GRID)] * 3


def test_psim_against_numpy() -> None:
    torch.manual_seed(0)
    block = PSIM(8).eval()
    both = torch.randn(2, 1, 8, 56, 56)
    cells = [functional.adaptive_avg_pool2d(feature, GRID) for feature in both]
    with torch.no_grad():
        query = block.query(torch.cat(cells, 1)).flatten(2)[0].numpy()
        enhanced = []
        for feature, small, kind in zip(both, cells, ("thermal", "visible"), strict=True):
            key = getattr(block, f"key_{kind}")(small).flatten(2)[0].numpy()
            value = getattr(block, f"value_{kind}")(small).flatten(2)[0].numpy()
            scores = np.exp(query.T @ key / np.float32(np.sqrt(len(key))))
            attended = torch.from_numpy(value @ (scores / scores.sum(1, keepdims=True)).T)
            large = functional.interpolate(attended.view(1, 8, GRID, GRID), (56, 56), mode="bilinear")
            enhanced.append(feature + large)
        expected = block.out(torch.cat(enhanced, 1)).clamp(min=0)
        torch.testing.assert_close(block(*both), expected, rtol=1e-4, atol=1e-5)


def test_fim_weighs_channels_and_places_of_the_shallow_feature() -> None:
    torch.manual_seed(0)
    block = FIM(4)
    deep, shallow = torch.randn(2, 1, 4, 8, 8)
    channels = torch.sigmoid(deep.mean((2, 3))) * torch.sigmoid(shallow.mean((2, 3)))
    with torch.no_grad():
        places = (block(deep, shallow) - deep) / shallow / channels[:, :, None, None]
    # What is left after the channels' weights is one map for all channels, in (0, 1).
    torch.testing.assert_close(places, places[:, :1].expand_as(places), rtol=1e-3, atol=1e-4)
    assert 0 < places.min() < places.max() < 1
    # The map is the deep feature's: it does not change with the shallow one.
    other = torch.randn_like(shallow)
    channels = torch.sigmoid(deep.mean((2, 3))) * torch.sigmoid(other.mean((2, 3)))
    with torch.no_grad():
        again = (block(deep, other) - deep) / other / channels[:, :, None, None]
    torch.testing.assert_close(again, places, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("size", [(64, 96), (75, 131), (8, 8), (240, 320)])
def test_backends_agree_with_torch_at_any_size(exported: Path, backend: str, size) -> None:
    pytest.importorskip(backend)
    thermal, rgb = random_pair(size)
    reference = Fuser(load_backend(exported, "torch", precision="f32"))(thermal, rgb)
    found = Fuser(load_backend(exported, backend, precision="f32"))(thermal, rgb)
    assert found.shape == rgb.shape
    assert np.abs(found.astype(int) - reference).max() <= 1


def test_half_precision_keeps_the_image(exported: Path, tmp_path: Path) -> None:
    half = tmp_path / "half.onnx"
    onnx.save(to_half(onnx.load(exported)), half)
    thermal, rgb = random_pair((75, 131))
    reference, found = (
        Fuser(load_backend(path, "onnxruntime"))(thermal, rgb).astype(int) for path in (exported, half)
    )
    assert np.abs(found - reference).max() <= 1


@pytest.mark.parametrize("size", [(240, 320), (75, 131)])
def test_the_graph_is_static_where_the_input_is(exported: Path, size: tuple[int, int]) -> None:
    """With the image's size fixed, every tensor's size is known, and attention is on the grid."""
    core = pytest.importorskip("ivfusion_ros.backends.openvino_").core()
    model = core.read_model(str(exported))
    model.reshape({"thermal": [1, *size], "rgb": [1, *size, 3]})
    assert not model.is_dynamic()
    assert all(output.get_partial_shape().is_static for op in model.get_ops() for output in op.outputs())
    attention = [op for op in model.get_ops() if op.get_type_name() == "Softmax"]
    assert [list(op.get_output_shape(0)) for op in attention] == [[1, GRID**2, GRID**2]] * 4
