"""Parts of the papers' networks, each against its formula in other words."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from scipy import ndimage
from torch import nn
from torch.nn import functional

from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.refinefuse import SFIM
from ivfusion_ros.networks.transfusion import TransFusion
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.losses.image_terms import structural_similarity
from ivfusion_ros.training.fusion.losses.transfusion import FeatureFusionLoss, ReconstructionLoss


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def correlated(maps: np.ndarray, conv: nn.Conv2d, output: int) -> np.ndarray:
    """One output map of a 3x3 convolution of (C, H, W), zeros around."""
    weights = conv.weight[output].detach().numpy()
    total = sum(
        ndimage.correlate(one, kernel, mode="constant") for one, kernel in zip(maps, weights, strict=True)
    )
    return total + float(conv.bias[output])


def test_sfim_is_equations_1_and_2() -> None:
    torch.manual_seed(0)
    block, (thermal, visible) = SFIM(3), torch.randn(2, 1, 3, 7, 9)
    both = torch.cat((thermal, visible), 1)[0].numpy()
    pooled = np.stack((both.max(0), both.mean(0)))
    enhanced = [
        feature[0].numpy() * (1 + sigmoid(correlated(pooled, block.attention, index)))
        for index, feature in enumerate((thermal, visible))
    ]
    # Equation 2: channel a of both side by side, and a 3x3 convolution in groups of two.
    pairs = torch.from_numpy(np.stack(enhanced, 1).reshape(1, 6, 7, 9))
    weight = torch.cat((block.mix_thermal.weight, block.mix_visible.weight), 1)
    expected = functional.conv2d(pairs, weight, block.mix_thermal.bias, padding=1, groups=3).relu()
    torch.testing.assert_close(block(thermal, visible), expected, rtol=1e-4, atol=1e-5)


def test_refinefuse_has_the_encoders_and_decoders_of_the_text() -> None:
    network = make_network("refinefuse_paper")
    for encoder in (network.thermal_encoder, network.visible_encoder):
        assert [layer.kernel_size for layer in encoder.levels] == [(3, 3)] * 4
        assert [layer.stride[0] for layer in encoder.levels] == [1, 2, 2, 2]
    for level in (4, 3, 2):
        decoder = network.get_submodule(f"decoder{level}")
        assert (decoder.project.kernel_size, decoder.refine.kernel_size) == ((1, 1), (3, 3))
        feature = torch.rand(1, decoder.project.in_channels, 4, 6)
        small = decoder.refine(decoder.project(feature).relu()).relu()
        expected = functional.interpolate(small, (8, 12), mode="bilinear")
        torch.testing.assert_close(decoder(feature), expected)
    kinds = [type(layer) for layer in network.decoder1]
    assert kinds == [nn.Conv2d, nn.ReLU] * 3 + [nn.Conv2d]


def test_refinefuse_s_image_is_tanh_of_the_last_convolution() -> None:
    torch.manual_seed(0)
    network, seen = make_network("refinefuse_paper").eval(), []
    network.decoder1.register_forward_hook(lambda *parts: seen.append(parts[2]))
    with torch.no_grad():
        fused = network(*torch.rand(2, 1, 1, 16, 16))
    np.testing.assert_allclose(fused.numpy(), (np.tanh(seen[0].numpy()) + 1) / 2, atol=1e-6)


def test_transfusion_s_spatial_guidance_is_its_formula() -> None:
    torch.manual_seed(0)
    part, feature = TransFusion(1 / 16).guidance[1], torch.randn(1, 8, 6, 10)
    flat = feature[0].numpy()
    expected = sigmoid(correlated(np.stack((flat.max(0), flat.mean(0))), part.attention, 0))
    found = part.spatial_map(feature)
    np.testing.assert_allclose(found[0, 0].detach().numpy(), expected, atol=1e-5)
    guided = torch.from_numpy(flat * (1 + expected))[None].float()
    first, second, last = part.refine
    assert (first.kernel_size, second.kernel_size) == ((3, 3), (3, 3)) and isinstance(last, nn.GELU)
    torch.testing.assert_close(
        part(feature, found), functional.gelu(second(first(guided))), atol=1e-4, rtol=0
    )


def test_transfusion_s_structure_terms_are_weighted_as_printed() -> None:
    thermal, visible, fused = torch.rand(3, 1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(thermal.shape, dtype=torch.uint8)
    batch = Batch(thermal, visible, labels, thermal.mean((2, 3), True), visible.mean((2, 3), True))
    alike = {
        name: structural_similarity(fused, image).mean().item()
        for name, image in (("thermal", thermal), ("visible", visible))
    }
    # Stage 1: lambda is 100, and both images count alike; one is perfect here.
    terms = ReconstructionLoss().terms(batch, Outputs(fused, {"thermal": thermal}))
    assert terms["structure"].item() == pytest.approx(100 * (1 - (1 + alike["visible"]) / 2), rel=1e-4)
    names = (f"{kind}_{stage}" for kind in ("thermal", "visible", "fused") for stage in (1, 5))
    features = {name: torch.rand(1, 50) for name in names}
    terms = FeatureFusionLoss().terms(batch, Outputs(fused, features))
    expected = ((1 - alike["thermal"]) + (1 - alike["visible"])) / 2
    assert terms["structure"].item() == pytest.approx(expected, rel=1e-4)


def test_transfusion_s_decoder_is_the_released_one() -> None:
    torch.manual_seed(0)
    decoder = TransFusion(1 / 16).decoder
    features = tuple(torch.randn(1, width, 32 >> k, 32 >> k) for k, width in enumerate((4, 8, 16, 32, 32)))
    deep = features[4]
    for level, convolutions in ((3, 2), (2, 4), (1, 6), (0, 8)):
        up, join = decoder.ups[level], decoder.joins[level]
        assert (up.kernel_size, up.stride) == ((2, 2), (2, 2))
        deep = torch.cat((up(deep), features[level]), 1)
        layers = [layer for layer in join if isinstance(layer, nn.Conv2d)]
        assert len(layers) == convolutions and {layer.kernel_size for layer in layers} == {(3, 3)}
        for layer in layers:
            deep = functional.gelu(layer(deep))
    first, last = decoder.out[0], decoder.out[2]
    assert (first.in_channels, first.out_channels, last.out_channels) == (2, 1, 1)
    expected = last(functional.gelu(first(deep))).clamp(0, 1)
    torch.testing.assert_close(decoder(features), expected)
    with torch.device("meta"):
        out = make_network("transfusion").decoder.out
    assert (out[0].in_channels, out[0].out_channels, out[2].out_channels) == (32, 16, 1)
