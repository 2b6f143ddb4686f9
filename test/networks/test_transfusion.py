"""TransFusion: layers against the paper's formulas, both stages of its training, mutual information."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from captures import export_once
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ivfusion_ros.config.parameters import load_config
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.models import share_folder
from ivfusion_ros.networks import ALL_NETWORKS, make_network
from ivfusion_ros.networks.checkpoint import load_checkpoint
from ivfusion_ros.networks.graph import FusionGraph
from ivfusion_ros.networks.transfusion import CHANNELS, CONVOLUTIONS, ChannelWeights, TransFusion
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.losses.mutual_information import mutual_information
from ivfusion_ros.training.fusion.losses.transfusion import FeatureFusionLoss, ReconstructionLoss
from ivfusion_ros.training.fusion.trainer import Trainer

TINY = 1 / 16
STAGE_ENDS = (4, 9, 18, 27, 36)
"""In torchvision's VGG-19: before each pooling layer."""


def tiny(**settings) -> TransFusion:
    torch.manual_seed(0)
    return TransFusion(TINY, **settings).eval()


def make_pair(height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(2, 1, 1, height, width, generator=torch.Generator().manual_seed(1))


def make_batch(thermal: torch.Tensor, visible: torch.Tensor) -> Batch:
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    return Batch(thermal, visible, labels, thermal.mean((2, 3), True), visible.mean((2, 3), True))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_full_width_has_the_channels_of_the_paper() -> None:
    with torch.device("meta"):
        network = make_network("transfusion")
    convolutions = [layer for layer in network.encoder.modules() if isinstance(layer, nn.Conv2d)]
    vgg19 = [64] * 2 + [128] * 2 + [256] * 4 + [512] * 8
    assert [layer.out_channels for layer in convolutions] == vgg19
    assert [up.in_channels for up in network.decoder.ups] == [128, 256, 512, 512]
    deepest = [layer for layer in network.decoder.joins[-1] if isinstance(layer, nn.Conv2d)]
    assert [layer.in_channels for layer in deepest] == [1024, 768]
    assert [len(join) // 2 for join in network.decoder.joins] == [8, 6, 4, 2]
    squeezed = [part.thermal.mlp[0].out_channels for part in network.perception]
    assert squeezed == [64, 128, 128, 128, 128]


def test_width_scales_all_channels_and_slim_is_small() -> None:
    with torch.device("meta"):
        full, half, slim = TransFusion(), TransFusion(0.5), make_network("transfusion_slim")
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (full, half, slim)]
    assert counts[1] == pytest.approx(counts[0] / 4, rel=0.01)
    assert counts[2] < 3e6
    for name, weight in half.named_parameters():
        ratios = [a / b for a, b in zip(full.get_parameter(name).shape, weight.shape, strict=True)]
        assert all(ratio in (1, 2) for ratio in ratios), name


@pytest.mark.parametrize("size", [(16, 16), (32, 48)])
def test_shapes_of_features_and_images(size) -> None:
    network, (thermal, visible) = tiny(), make_pair(*size)
    features = network.features(thermal, visible)
    for group in features:
        shapes = [tuple(feature.shape) for feature in group]
        assert shapes == [(1, CHANNELS[k] // 16, size[0] >> k, size[1] >> k) for k in range(5)]
    for image in (network(thermal, visible), network.reconstruct(thermal)):
        assert image.shape == thermal.shape
        assert image.min() >= 0 and image.max() <= 1 and image.std() > 0
    torch.testing.assert_close(network.encoder(visible)[3], features.visible[3])


def test_no_two_fresh_weights_are_equal() -> None:
    # The exporter would merge them, and the torch backend could not rebuild the network from its file.
    weights = [weight.detach().numpy().tobytes() for weight in tiny().parameters()]
    assert len(set(weights)) == len(weights)


def test_channel_perception_follows_its_formula() -> None:
    block, (thermal, visible) = tiny().perception[2], torch.randn(2, 1, 16, 5, 7)
    with torch.no_grad():
        own = block(thermal, visible)[0].numpy()
        weights = []
        for part, image in ((block.thermal, thermal), (block.visible, visible)):
            squeeze, expand = (part.mlp[k].weight[:, :, 0, 0].numpy() for k in (0, 2))
            flat = image[0].flatten(1).numpy()
            pooled = (flat.max(1), flat.mean(1))
            weights.append(sigmoid(sum(expand @ np.maximum(squeeze @ x, 0) for x in pooled)))
    gains = [1 + sigmoid(2 * weights[k] - weights[1 - k])[:, None, None] for k in (0, 1)]
    expected = (thermal[0].numpy() * gains[0] + visible[0].numpy() * gains[1]) / 2
    np.testing.assert_allclose(own, expected, atol=1e-5)


@pytest.mark.parametrize("deep_guidance", [True, False])
def test_deep_maps_guide_shallow_ones(deep_guidance: bool) -> None:
    network = tiny(deep_guidance=deep_guidance)
    means = [torch.randn(1, CHANNELS[k] // 16, 32 >> k, 48 >> k) for k in range(5)]
    with torch.no_grad():
        maps = network.spatial_maps(means)
        expected = [
            part.spatial_map(mean)[0, 0].numpy() for part, mean in zip(network.guidance, means, strict=True)
        ]
    for k in range(3, -1, -1):
        if deep_guidance:
            # OpenCV's bilinear resize is an independent x2 of half-pixel centres.
            expected[k] = sigmoid(expected[k] + cv2.resize(expected[k + 1], expected[k].shape[::-1]))
    for found, wanted in zip(maps, expected, strict=True):
        np.testing.assert_allclose(found[0, 0].numpy(), wanted, atol=1e-5)


def test_guidance_switch_changes_the_image_and_no_weights() -> None:
    guided, plain = tiny(), tiny(deep_guidance=False)
    plain.load_state_dict(guided.state_dict())
    pair = make_pair()
    assert (guided(*pair) - plain(*pair)).abs().max() > 1e-6


def test_equal_images_and_swapped_images() -> None:
    network, (thermal, visible) = tiny(), make_pair()
    for part in network.perception:
        part.visible.load_state_dict(part.thermal.state_dict())
    torch.testing.assert_close(network(thermal, visible), network(visible, thermal))
    for layer in network.modules():
        if isinstance(layer, ChannelWeights):
            nn.init.zeros_(layer.mlp[2].weight)
    for part in network.guidance:
        nn.init.zeros_(part.attention.weight)
        nn.init.zeros_(part.attention.bias)
    # With attention at rest, a fresh network hands the decoder about the features that it knows.
    features = network.features(thermal, thermal)
    for source, fused in zip(features.thermal, features.fused, strict=True):
        strong = source > 3
        if strong.any():
            assert (fused[strong] / source[strong]).sub(1).abs().max() < 0.15


def fake_vgg(width: float) -> nn.Sequential:
    """Random weights in the layers of torchvision's VGG-19, narrower."""
    layers: list[nn.Module] = []
    inputs = 3
    for channels, count in zip(CHANNELS, CONVOLUTIONS, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(inputs, int(width * channels), 3, padding=1), nn.ReLU()]
            inputs = int(width * channels)
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers).requires_grad_(False)


def test_encoder_with_vgg_weights_sees_grey_as_vgg_does() -> None:
    network, vgg, image = tiny(), fake_vgg(TINY), make_pair()[0]
    network.encoder.load_vgg(vgg)
    for feature, end in zip(network.encoder(image), STAGE_ENDS, strict=True):
        torch.testing.assert_close(feature, vgg[:end](image.repeat(1, 3, 1, 1)))
    with pytest.raises(ConfigError, match=r"an encoder of 32 channels.*--vgg none"):
        network.encoder.load_vgg(fake_vgg(1 / 8))


def test_stage_1_trains_the_encoder_only_from_scratch() -> None:
    network = tiny()
    encoder, decoder = (set(map(id, part.parameters())) for part in (network.encoder, network.decoder))
    assert set(map(id, ReconstructionLoss().trained(network))) == encoder | decoder
    vgg = fake_vgg(TINY)
    assert set(map(id, ReconstructionLoss(vgg).trained(network))) == decoder
    torch.testing.assert_close(network.encoder.stages[1][0].weight, vgg[5].weight)
    for loss in (ReconstructionLoss(), FeatureFusionLoss()):
        with pytest.raises(ConfigError, match="transfusion_slim, found ReLU"):
            loss.trained(nn.ReLU())


def test_perfect_reconstruction_costs_nothing() -> None:
    batch = make_batch(*make_pair())
    perfect = Outputs(batch.visible, {"thermal": batch.thermal})
    swapped = Outputs(batch.thermal, {"thermal": batch.visible})
    loss = ReconstructionLoss()
    assert sum(loss.terms(batch, perfect).values()).item() == pytest.approx(0, abs=1e-3)
    expected = ((batch.thermal - batch.visible) ** 2).mean().item()
    assert loss.terms(batch, swapped)["intensity"].item() == pytest.approx(expected)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in ("thermal", "rgb"):
        (tmp_path / name).mkdir()
        for number in range(4):
            image = cv2.GaussianBlur(random.integers(0, 256, (32, 48, 3), np.uint8), (5, 5), 1)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), image)
    return tmp_path


def test_each_stage_changes_its_own_part(folder, tmp_path, monkeypatch) -> None:
    monkeypatch.setitem(ALL_NETWORKS, "transfusion_slim", partial(TransFusion, TINY))
    common = {"network": "transfusion_slim", "vgg": "none", "iterations": 3, "batch": 2, "crop": (32,)}
    first = Trainer(TrainConfig(loss="transfusion_reconstruction", **common), [folder], tmp_path / "stage1")
    fresh = {key: value.clone() for key, value in first.network.state_dict().items()}
    first.fit()
    start = tmp_path / "stage1" / "last.pt"
    second = Trainer(
        TrainConfig(loss="transfusion_fusion", seed=1, **common), [folder], tmp_path / "stage2", start
    )
    second.fit()
    autoencoder = load_checkpoint(start)["weights"]
    final = second.network.state_dict()
    for key in fresh:
        in_first = key.startswith(("encoder.", "decoder."))
        assert torch.equal(fresh[key], autoencoder[key]) != in_first, key
        assert torch.equal(autoencoder[key], final[key]) == in_first, key


def numpy_information(a, b, bins: int = 32) -> float:
    """Of two sets of integers below bins, by numpy's histogram."""
    joint = np.histogram2d(a, b, bins, [[-0.5, bins - 0.5]] * 2)[0] / a.size
    independent = joint.sum(1, keepdims=True) * joint.sum(0, keepdims=True)
    used = joint > 0
    return float((joint[used] * np.log(joint[used] / independent[used])).sum())


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0, 1), st.integers(4, 40))
def test_information_of_values_at_bin_centres_is_numpys(seed: int, noise: float, bins: int) -> None:
    random = np.random.default_rng(seed)
    a = random.integers(0, bins, 500)
    b = np.where(random.random(500) < noise, random.integers(0, bins, 500), a)
    a[:2] = b[:2] = (0, bins - 1)
    # Any range will do: bins go from the least to the largest value.
    own = mutual_information(
        torch.tensor(a / 7 - 3).float()[None], torch.tensor(b * 5.0).float()[None], bins
    )
    assert own.item() == pytest.approx(numpy_information(a, b, bins), abs=1e-3)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 0.9])
def test_information_of_normal_values_is_near_the_truth(correlation: float) -> None:
    random = np.random.default_rng(0)
    a, noise = random.normal(size=(2, 20000))
    b = correlation * a + np.sqrt(1 - correlation**2) * noise
    own = mutual_information(*(torch.from_numpy(x).float()[None] for x in (a, b)))
    assert own.item() == pytest.approx(-0.5 * np.log(1 - correlation**2), abs=0.08)


def test_information_can_be_climbed_and_survives_constants() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 3, 400, generator=generator)
    a.requires_grad_(True)
    before = mutual_information(a, b)
    before.sum().backward()
    assert (mutual_information(a + 0.02 * a.grad.sign(), b) > before).all()
    flat = torch.zeros(1, 50, requires_grad=True)
    value = mutual_information(flat, flat)
    value.sum().backward()
    assert value.item() == pytest.approx(0, abs=1e-5) and flat.grad.isfinite().all()


def test_stage_2_adds_up_as_the_paper_says() -> None:
    batch = make_batch(*make_pair())
    random = np.random.default_rng(0)
    levels = {
        f"{kind}_{k}": random.integers(0, 32, 300)
        for kind in ("thermal", "visible", "fused")
        for k in (1, 5)
    }
    for values in levels.values():
        values[:2] = 0, 31
    features = {name: torch.from_numpy(values).float()[None] for name, values in levels.items()}
    brighter = torch.maximum(batch.thermal, batch.visible)
    terms = FeatureFusionLoss().terms(batch, Outputs(brighter - 0.1, features))
    information = sum(
        numpy_information(levels[f"fused_{k}"], levels[f"{kind}_{k}"])
        for kind in ("thermal", "visible")
        for k in (1, 5)
    )
    assert terms["intensity"].item() == pytest.approx(100 * 0.1**2, rel=1e-4)
    assert terms["information"].item() == pytest.approx(100 / information, rel=1e-3)
    other = FeatureFusionLoss(target=lambda batch: batch.visible)
    terms = other.terms(make_batch(batch.visible, batch.visible), Outputs(batch.visible, features))
    assert terms["intensity"].item() == 0
    assert terms["structure"].item() == pytest.approx(0, abs=1e-3)


def test_stage_2_compares_stages_1_and_5_and_is_differentiable() -> None:
    network, batch = tiny(), make_batch(*make_pair(48, 80))
    loss = make_loss(TrainConfig(loss="transfusion_fusion"))
    outputs = loss.run(network, batch)
    lengths = {name: values.shape[1] for name, values in outputs.features.items()}
    # At most 32 rows and columns: every second of 48, every third of 80; stage 5 whole.
    assert lengths == {
        f"{kind}_{k}": n
        for kind in ("thermal", "visible", "fused")
        for k, n in ((1, 4 * 24 * 27), (5, 32 * 3 * 5))
    }
    loss.terms(batch, outputs)["information"].backward()
    for part in (network.perception, network.guidance):
        assert all(
            part[k].get_parameter(name).grad.abs().sum() > 0
            for k in (0, 4)
            for name, _ in part[k].named_parameters()
        )
    assert network.decoder.out[2].weight.grad is None


def test_export_matches_torch_at_odd_sizes(tmp_path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    torch.manual_seed(0)
    network = make_network("transfusion_slim")
    # A fresh decoder gives nearly plain grey, which would match whatever the graph did.
    nn.init.normal_(network.decoder.out[2].weight, std=30)
    graph, path = FusionGraph(network).eval(), tmp_path / "slim.onnx"
    export_once(graph, "transfusion_slim", path)
    assert path.stat().st_size < 12e6
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for height, width in ((33, 47), (61, 40)):
        waves = np.add.outer(np.sin(np.arange(height) / 3), np.cos(np.arange(width) / 5)) * 60 + 127
        thermal = waves.astype(np.uint8)[None]
        rgb = np.stack([thermal[:, ::-1]] * 3, -1)
        found = session.run(None, {"thermal": thermal, "rgb": rgb})[0]
        with torch.no_grad():
            expected = graph(torch.from_numpy(thermal), torch.from_numpy(rgb.copy())).numpy()
        assert expected.std() > 10
        assert np.abs(found.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("stage", ["stage1", "stage2", "slim_stage1_cpu", "slim_stage2_cpu"])
def test_configs_name_their_network_and_loss(stage: str) -> None:
    config = load_config(TrainConfig, share_folder("config") / "train" / f"transfusion_{stage}.yaml", {})
    assert config.network == ("transfusion_slim" if "slim" in stage else "transfusion")
    assert config.loss == ("transfusion_reconstruction" if "stage1" in stage else "transfusion_fusion")
    assert (config.vgg == "none") == ("slim" in stage)
    assert config.crop == ((128 if "slim" in stage else 256),) and config.batch == 8
