"""Pruning: what never answers, or is told by others, goes, and the images stay as they were."""

import copy
import itertools

import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

from torch import nn
from torch.nn import functional

from ivfusion_ros.errors import ModelError
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.channels import channel_groups, take_widths
from ivfusion_ros.networks.checkpoint import load_weights, save_checkpoint
from ivfusion_ros.training.fusion.prune import prune
from ivfusion_ros.training.recipe.fusion_stages import mean_weights

DEAD, TWIN, CONSTANT = 3, 5, 6


class Small(nn.Module):
    """Two encoders whose features are added, then two convolutions; `kernel` of what reads the sum."""

    stride = 2

    def __init__(self, kernel: int = 3) -> None:
        super().__init__()
        self.thermal = nn.Conv2d(1, 8, 3, 1, 1)
        self.visible = nn.Conv2d(1, 8, 3, 1, 1)
        self.inner = nn.Conv2d(8, 6, kernel, 1, kernel // 2)
        self.last = nn.Conv2d(6, 1, 3, 1, 1)

    def forward(self, thermal: torch.Tensor, visible: torch.Tensor) -> torch.Tensor:
        pair = functional.relu(self.thermal(thermal)) + functional.relu(self.visible(visible))
        return torch.sigmoid(self.last(functional.relu(self.inner(pair))))


def small(kernel: int = 3, silent: float = -9.0) -> Small:
    """DEAD answers `silent` before its ReLU, TWIN twice what channel 0 answers."""
    network = Small(kernel).eval()
    with torch.no_grad():
        for encoder in (network.thermal, network.visible):
            encoder.bias.fill_(0.1)
            encoder.weight[TWIN] = 2 * encoder.weight[0]
            encoder.bias[TWIN] = 2 * encoder.bias[0]
            encoder.weight[DEAD] = 0
            encoder.bias[DEAD] = silent
    return network


def pairs(count: int = 6, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [tuple(torch.rand(2, 1, 1, 24, 32, generator=generator)) for _ in range(count)]


def pruned(network: nn.Module, error: float = 1e-6, multiple: int = 1) -> nn.Module:
    weights = prune(network, pairs(), error, multiple)
    result = Small(network.inner.kernel_size[0]).eval()
    take_widths(result, weights)
    result.load_state_dict(weights)
    return result


def worst(one: nn.Module, other: nn.Module) -> float:
    """Largest difference of their images of new pairs."""
    with torch.no_grad():
        return max(float((one(*pair) - other(*pair)).abs().max()) for pair in pairs(3, seed=1))


def test_what_is_dead_or_told_goes_and_every_pixel_stays() -> None:
    network = small()
    narrow = pruned(network)
    assert narrow.thermal.out_channels == narrow.visible.out_channels == narrow.inner.in_channels == 6
    assert narrow.inner.out_channels == narrow.last.in_channels <= 6
    assert worst(network, narrow) < 1e-4
    # The twin with the larger weights tells the other one.
    kept = {tuple(weight.flatten().tolist()) for weight in narrow.thermal.weight}
    gone = [i for i in range(8) if tuple(network.thermal.weight[i].flatten().tolist()) not in kept]
    assert len(gone) == 2 and DEAD in gone and set(gone) & {0, TWIN}


def test_a_constant_goes_into_a_bias_where_no_padding_follows() -> None:
    network = small(kernel=1, silent=0.2)
    narrow = pruned(network, 1e-5)
    assert narrow.inner.in_channels == 6
    assert worst(network, narrow) < 1e-3


def test_a_constant_stays_where_padding_ends_it() -> None:
    network = small(kernel=3, silent=0.2)
    narrow = pruned(network)
    assert narrow.inner.in_channels == 7
    assert worst(network, narrow) < 1e-4


def test_more_goes_with_more_error_and_what_stays_is_a_multiple() -> None:
    network = small()
    changes, widths = [], []
    for error in (1e-6, 1e-2, 0.2):
        narrow = pruned(network, error)
        changes.append(worst(network, narrow))
        widths.append(narrow.inner.in_channels + narrow.last.in_channels)
    assert all(a >= b for a, b in itertools.pairwise(widths)) and widths[0] > widths[-1]
    assert changes[0] < 1e-4 < changes[-1] < 0.5
    narrow = pruned(network, 0.2, multiple=4)
    assert narrow.inner.in_channels == 4
    # No multiple is below the six of the second group but four, or all stay.
    assert narrow.last.in_channels in (4, 6)


def test_regression_loses_less_than_leaving_out() -> None:
    network = small()
    narrow = pruned(network, 0.1)
    kept = {tuple(weight.flatten().tolist()) for weight in narrow.thermal.weight}
    gone = [i for i in range(8) if tuple(network.thermal.weight[i].flatten().tolist()) not in kept]
    assert len(gone) > 2
    bare = copy.deepcopy(network)
    with torch.no_grad():
        bare.inner.weight[:, gone] = 0
    assert worst(network, narrow) < worst(network, bare)


def test_channels_of_refinefuse_that_go_together() -> None:
    groups = {tuple(group.makers): group for group in channel_groups(make_network("refinefuse"))}
    level1 = ("thermal_encoder.levels.0", "sfim1.mix_thermal", "visible_encoder.levels.0",
              "sfim1.mix_visible", "decoder2.refine")  # fmt: skip
    assert [tuple(reader) for reader in groups[level1].readers] == [
        ("thermal_encoder.levels.1", 0),
        ("visible_encoder.levels.1", 0),
        ("decoder1.0", 0),
    ]
    # Two features side by side: the second one's channels come after the first one's.
    visible = groups["visible_encoder.levels.2", "psim3.value_visible"]
    assert ("psim3.query", 128) in map(tuple, visible.readers)
    assert ("psim3.out", 128) in map(tuple, visible.readers)
    # Products of queries and keys, and the two maps of attention, are taken apart.
    makers = {maker for names in groups for maker in names}
    assert not any("query" in maker or "key" in maker or "attention" in maker for maker in makers)
    assert ("decoder1.4",) in groups and "decoder1.6" not in makers


def test_refinefuse_without_channels_that_never_answer_is_the_same() -> None:
    network = make_network("refinefuse").eval()
    silent = {"thermal_encoder.levels.1": 20, "decoder1.0": 17, "psim4.out": 40}
    modules = dict(network.named_modules())
    with torch.no_grad():
        for name, count in silent.items():
            modules[name].bias[:count] = -9
            modules[name].weight[:count] = 0
        # Alone it would not do: they are added to others.
        for name in (
            "visible_encoder.levels.1",
            "decoder3.refine",
            "sfim2.mix_thermal",
            "sfim2.mix_visible",
        ):
            modules[name].weight[:20] = 0
            if modules[name].bias is not None:
                modules[name].bias[:20] = -9
    images = [tuple(torch.rand(2, 1, 1, 64, 96)) for _ in range(2)]
    weights = prune(network, images, 1e-6, 16)
    assert weights["thermal_encoder.levels.1.weight"].shape == (48, 64, 3, 3)
    assert weights["decoder1.2.weight"].shape == (64, 48, 3, 3)
    assert weights["decoder4.project.weight"].shape[1] <= 96
    narrow = make_network("refinefuse").eval()
    take_widths(narrow, weights)
    narrow.load_state_dict(weights)
    new = torch.rand(2, 1, 1, 96, 64)
    with torch.no_grad():
        assert torch.allclose(network(*new), narrow(*new), atol=2e-4)


def test_networks_of_other_widths_have_no_mean(tmp_path) -> None:
    network = make_network("refinefuse")
    images = [tuple(torch.rand(2, 1, 1, 64, 96))]
    save_checkpoint(tmp_path / "whole.pt", {"network": "refinefuse", "weights": network.state_dict()})
    narrow = prune(network, images, 0.1, 16)
    save_checkpoint(tmp_path / "narrow.pt", {"network": "refinefuse", "weights": narrow})
    with pytest.raises(ModelError, match=r"differ in channels, as of .*; prune their mean"):
        mean_weights("refinefuse", tmp_path / "whole.pt", tmp_path / "narrow.pt", 0.5)


def test_weights_whose_channels_do_not_fit_are_refused(tmp_path) -> None:
    network = make_network("refinefuse")
    weights = network.state_dict()
    for part in ("weight", "bias"):
        weights[f"decoder1.0.{part}"] = weights[f"decoder1.0.{part}"][:48]
    path = tmp_path / "torn.pt"
    save_checkpoint(path, {"network": "refinefuse", "weights": weights})
    with pytest.raises(ModelError, match="numbers of channels do not fit each other"):
        load_weights(make_network("refinefuse"), path)
