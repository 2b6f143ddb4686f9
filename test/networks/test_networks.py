"""Networks and their exported graph: cost, range, the contract at any size, backends in agreement."""

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

import onnx
from captures import export_once

from ivfusion_ros.backends import load_backend
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.export.fusion import export_fusion
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks import ALL_NETWORKS, NETWORKS, make_network
from ivfusion_ros.networks.graph import FusionGraph, build_graph
from ivfusion_ros.networks.refinefuse import PSIM, SFIM
from ivfusion_ros.pipeline.fuser import Fuser

SIZES = [(64, 96), (75, 131), (8, 8), (240, 320)]


def textured(size: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Smooth thermal (H, W) and RGB (H, W, 3) images with edges and noise."""
    height, width = size
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([127 + 100 * np.sin(x / (9 + c)) * np.cos(y / (7 + c)) for c in range(4)], -1)
    noisy = np.clip(waves + random.normal(0, 8, waves.shape), 0, 255).astype(np.uint8)
    noisy[height // 3 : height // 2, width // 3 : width // 2, 3] = 250
    return np.ascontiguousarray(noisy[..., 3]), np.ascontiguousarray(noisy[..., :3])


@pytest.mark.parametrize("name", ALL_NETWORKS)
def test_every_network_keeps_size_range_and_gradients(name: str) -> None:
    network = make_network(name)
    side = 2 * network.stride
    thermal, visible = (torch.rand(2, 1, side, 2 * side, requires_grad=True) for _ in range(2))
    fused = network(thermal, visible)
    assert fused.shape == thermal.shape
    assert fused.min() >= 0 and fused.max() <= 1
    fused.mean().backward()
    idle = [key for key, value in network.named_parameters() if value.grad is None]
    assert not idle, f"no gradient reaches {idle}"


def test_unknown_network() -> None:
    with pytest.raises(ConfigError, match="unknown network 'refine', expected one of refinefuse") as caught:
        make_network("refine")
    # The rows of ablations have names, which are not offered.
    assert str(caught.value).endswith(", ".join(NETWORKS)) and "table" not in str(caught.value)


@pytest.mark.parametrize("name", ["refinefuse_lite", "mda"])
def test_weights_come_back_from_an_exported_graph(name: str, tmp_path: Path) -> None:
    path = resolve_model(name)
    thermal, rgb = textured((64, 96))
    # Of grey, as files of before treat colours that leave 0..255 differently.
    rgb = np.repeat(rgb[:, :, :1], 3, 2)
    with torch.no_grad():
        fused = build_graph(name, path)(torch.from_numpy(thermal)[None], torch.from_numpy(rgb)[None])
    backend = load_backend(path, "onnxruntime", threads=1, precision="f32")
    want = backend.run({"thermal": thermal[None], "rgb": rgb[None]})["fused"]
    difference = np.abs(fused.numpy().astype(int) - want)
    assert difference.max() <= 1 and difference.mean() < 0.05
    with pytest.raises(ModelError, match="holds weights of another network"):
        build_graph("refinefuse", path)
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelError, match="cannot be read as ONNX"):
        build_graph("refinefuse", tmp_path / "broken.onnx")


def test_sfim_pairs_equal_channels() -> None:
    block = SFIM(3).eval()
    thermal, visible = torch.rand(2, 1, 3, 8, 8)
    with torch.no_grad():
        # The maximum and mean over channels must not carry a change from one channel to all.
        block.attention.weight.zero_()
        # Rectified, a channel below 0 throughout would show no change: the rest is at most 10 below it.
        block.mix_thermal.bias.fill_(12)
        before = block(thermal, visible)
        thermal[:, 1] = thermal[:, 1].flip(2)
        after = block(thermal, visible)
    changed = (before != after).flatten(2).any(2)[0].tolist()
    assert changed == [False, True, False]


def test_psim_sees_the_whole_image() -> None:
    # In double precision, as one token in 64 may have little to say; above 0, where all of it is seen.
    block = PSIM(4, 2, pool=4).eval().double()
    thermal, visible = torch.rand(2, 1, 4, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        block.out.bias.fill_(500)
        before = block(thermal, visible)
        thermal[:, :, -4:, -4:] += 5
        after = block(thermal, visible)
    # The far corner is out of reach of the convolutions alone.
    assert (before[..., 0, 0] != after[..., 0, 0]).all()


class MeanNetwork(torch.nn.Module):
    """Stands for a network whose output is known: the mean of both."""

    stride = 32

    def forward(self, thermal, visible):
        return (thermal + visible) / 2


@pytest.mark.parametrize("size", [(64, 96), (75, 131), (8, 8)])
def test_graph_recombines_colour_as_opencv_does(size) -> None:
    import cv2

    thermal, rgb = textured(size)
    # Muted colours, so that nothing clips and the hue is kept exactly.
    rgb = (96 + rgb // 4).astype(np.uint8)
    thermal = (96 + thermal // 4).astype(np.uint8)
    graph = FusionGraph(MeanNetwork())
    fused = graph(torch.from_numpy(thermal)[None], torch.from_numpy(rgb)[None])[0].numpy()
    ycrcb = cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)
    ycrcb[..., 0] = (ycrcb[..., 0] + thermal / np.float32(255)) / 2
    expected = cv2.cvtColor(ycrcb, cv2.COLOR_YCrCb2RGB) * 255
    assert np.abs(fused - expected).max() <= 1.0


class Shift(torch.nn.Module):
    """Stands for a network that makes everything brighter by so much."""

    stride = 32

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = by

    def forward(self, thermal, visible):
        return visible + self.by


def random_colours() -> np.ndarray:
    """(75, 131, 3) of all colours, black, white, grey and pure ones among them."""
    rgb = np.random.default_rng(0).integers(0, 256, (75, 131, 3), np.uint8)
    rgb[:20] = np.where(rgb[:20] < 128, 0, 255)
    rgb[20:30] = rgb[20:30, :, :1]
    return rgb


@pytest.mark.parametrize("levels", [0, 51, -102, 300, -300])
def test_graph_keeps_the_fused_luminance_and_the_hue(levels: int) -> None:
    rgb = random_colours()
    graph = FusionGraph(Shift(levels / 255))
    assert graph.keeps_luminance
    fused = graph(torch.zeros(1, 75, 131, dtype=torch.uint8), torch.from_numpy(rgb)[None])[0].numpy()
    weights = np.array([0.299, 0.587, 0.114])
    luma = rgb @ weights
    wanted = np.clip(luma + levels, 0, 255)
    # Each of three channels is rounded by up to half a grey level.
    assert np.abs(fused @ weights - wanted).max() <= 0.51
    # What is left of each channel's difference to the luminance is the same share for all three.
    before, after = rgb - luma[..., None], fused - wanted[..., None]
    share = (before * after).sum(2) / np.maximum((before**2).sum(2), 1)
    assert np.abs(after - share[..., None] * before).max() <= 1.0
    assert share.max() <= 1.1 and share.min() >= -0.1
    fits = ((rgb >= -levels) & (rgb <= 255 - levels)).all(2)
    assert np.abs(fused.astype(int) - rgb - levels)[fits].max(initial=0) <= 1


def test_the_colour_of_an_export_is_that_of_its_graph(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(ALL_NETWORKS, "mean", WeightedMean)
    thermal, rgb, path = np.zeros((75, 131), np.uint8), random_colours(), tmp_path / "mean.onnx"
    graph = FusionGraph(WeightedMean()).eval()
    export_fusion(graph, "mean", path)
    found, other = (
        Fuser(load_backend(path, backend))(thermal, rgb).astype(int) for backend in ("onnxruntime", "torch")
    )
    assert np.abs(found - other).max() <= 1
    # With a fourth less brightness, few pure colours fit: cut, they would be others.
    graph.keeps_luminance = False
    cut = graph(torch.from_numpy(thermal)[None], torch.from_numpy(rgb)[None])[0].numpy()
    assert (np.abs(found - cut) > 1).any(2).mean() > 0.1
    assert load_backend(path, "onnxruntime").metadata["ivfusion.colour"] == "luminance"


def test_the_colours_of_quick_networks_are_cut() -> None:
    """The export of mst is compared on all colours in test_mst."""
    kept = {name: FusionGraph(make_network(name)).keeps_luminance for name in ("mda", "mst")}
    assert kept == {"mda": True, "mst": False}


@pytest.mark.parametrize("levels", [0, 51, -102])
def test_graph_moves_all_channels_alike_and_clips(levels: int) -> None:
    thermal, rgb = textured((75, 131))
    graph = FusionGraph(Shift(levels / 255), keeps_luminance=False)
    fused = graph(torch.from_numpy(thermal)[None], torch.from_numpy(rgb)[None])[0].numpy()
    assert np.array_equal(fused, np.clip(rgb.astype(int) + levels, 0, 255))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("export") / "refinefuse.onnx"
    return export_once(build_graph("refinefuse"), "refinefuse", path)


def test_export_names_its_network_and_the_torch_backend_rebuilds_it(exported: Path) -> None:
    backend = load_backend(exported, "torch")
    assert backend.metadata["ivfusion.network"] == "refinefuse"
    thermal, rgb = textured((64, 96))
    own = Fuser(backend)(thermal, rgb)
    reference = Fuser(load_backend(exported, "onnxruntime"))(thermal, rgb)
    assert np.abs(own.astype(int) - reference).max() <= 1


class WeightedMean(torch.nn.Module):
    """Export folds the transposed weight, and keeps the weight beside it."""

    stride = 1

    def __init__(self) -> None:
        super().__init__()
        self.shares = torch.nn.Parameter(torch.tensor([[0.25, 0.75]]))

    def forward(self, thermal: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        both = torch.cat([thermal, visible], 1).permute(0, 2, 3, 1)
        return (both @ self.shares.t()).permute(0, 3, 1, 2)


def test_export_is_silent(tmp_path, capfd, recwarn) -> None:
    path = tmp_path / "mean.onnx"
    export_fusion(FusionGraph(WeightedMean()).eval(), "mean", path)
    nodes = onnx.load(path).graph
    assert "network.shares" in {item.name for item in nodes.initializer}
    assert not any("network.shares" in node.input for node in nodes.node)
    assert capfd.readouterr() == ("", "") and not recwarn.list


class Unsteady(MeanNetwork):
    """Adds what an exported graph cannot: how often it was called."""

    calls = 0

    def forward(self, thermal, visible):
        self.calls += 1
        return super().forward(thermal, visible) + self.calls / 10


def test_export_that_does_not_match_leaves_no_file(tmp_path) -> None:
    with pytest.raises(ModelError, match="differs from torch by"):
        export_fusion(FusionGraph(Unsteady()).eval(), "mean", tmp_path / "mean.onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def shipped() -> dict[tuple[str, str], Fuser]:
    """The shipped model on each backend, in f32 and, with OpenVINO, in the precision of this CPU."""
    pytest.importorskip("openvino")
    ways = (("onnxruntime", "f32"), ("torch", "f32"), ("openvino", "f32"), ("openvino", "auto"))
    model = resolve_model("refinefuse")
    return {way: Fuser(load_backend(model, way[0], precision=way[1])) for way in ways}


@pytest.mark.parametrize("size", SIZES)
def test_backends_agree_on_the_shipped_model(size, shipped) -> None:
    thermal, rgb = textured(size)
    fused = {way: fuser(thermal, rgb).astype(int) for way, fuser in shipped.items()}
    reference = fused["onnxruntime", "f32"]
    assert reference.shape == rgb.shape
    for way in (("openvino", "f32"), ("torch", "f32")):
        assert np.abs(fused[way] - reference).max() <= 1, way
    fast = np.abs(fused["openvino", "auto"] - reference)
    assert fast.mean() <= 1 and fast.max() <= 8


@pytest.mark.parametrize("name", ["mst", "refinefuse_lite"])
def test_openvino_neither_gathers_channels_nor_copies_the_change_to_each(name: str) -> None:
    """Each would take longer than all else around the network."""
    core = pytest.importorskip("ivfusion_ros.backends.openvino_").core()
    model = core.read_model(str(resolve_model(name)))
    model.reshape({"thermal": [1, 64, 96], "rgb": [1, 64, 96, 3]})
    ran = core.compile_model(model, "CPU").get_runtime_model().get_ops()
    kinds = [node.get_rt_info()["layerType"].astype(str) for node in ran]
    assert kinds.count("Transpose") <= 2
    assert not {"Broadcast", "Gather"} & set(kinds)


def test_torch_backend_refuses_what_is_not_its_own(box_model) -> None:
    with pytest.raises(ModelError, match="not a fusion network of this project"):
        load_backend(box_model, "torch")
