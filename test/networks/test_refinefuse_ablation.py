"""RefineFuse's ablations: the shipped network as before, each row's structure and loss, all by name."""

import copy
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch", reason="training dependencies are not installed")

import onnx

from ivfusion_ros.commands.train import config_path
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.models import resolve_model, share_folder
from ivfusion_ros.networks import ALL_NETWORKS, make_network
from ivfusion_ros.networks import refinefuse as ours
from ivfusion_ros.networks.channels import take_widths
from ivfusion_ros.networks.refinefuse import SFIM, RefineFuse
from ivfusion_ros.networks.refinefuse_ablation import Concatenation
from ivfusion_ros.networks.refinefuse_paper import FIM, PSIM
from ivfusion_ros.training.fusion.config import TrainConfig, load_train_config
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs

ROWS = {
    # name: blocks by level, joins by level, stride
    "refinefuse_paper": ((SFIM, SFIM, PSIM, PSIM), (None, FIM, None), 8),
    "refinefuse_table9_i": ((Concatenation,), (), 1),
    "refinefuse_table9_ii": ((SFIM,), (), 1),
    "refinefuse_table9_iii": ((SFIM, SFIM), (None,), 2),
    "refinefuse_table9_iv": ((SFIM, PSIM), (None,), 2),
    "refinefuse_table9_v": ((SFIM, SFIM, PSIM, PSIM), (None, None, None), 8),
    "refinefuse_table10_a": ((SFIM, SFIM, PSIM), (None, FIM), 4),
    "refinefuse_table10_b": ((SFIM, SFIM, PSIM, PSIM, PSIM), (None, FIM, None, None), 16),
    "refinefuse_pooled": ((SFIM, SFIM, ours.PSIM, ours.PSIM), (None, FIM, None), 32),
    "refinefuse_joined": ((SFIM, SFIM, PSIM, PSIM), (ours.FIM,) * 3, 8),
    "refinefuse": ((SFIM, SFIM, ours.PSIM, ours.PSIM), (ours.FIM,) * 3, 32),
}
KINDS = (SFIM, PSIM, FIM, Concatenation, ours.PSIM, ours.FIM)
CONFIGS = sorted((share_folder("config") / "train" / "ablation").glob("*.yaml"))


def make_batch(thermal: torch.Tensor, visible: torch.Tensor) -> Batch:
    labels = torch.full(thermal.shape, 255, dtype=torch.uint8)
    return Batch(thermal, visible, labels, thermal.mean((2, 3), True), visible.mean((2, 3), True))


def total(loss_name: str, batch: Batch, fused: torch.Tensor) -> float:
    terms = make_loss(TrainConfig(loss=loss_name)).terms(batch, Outputs(fused))
    return sum(term.item() for term in terms.values())


@pytest.mark.parametrize("name", ROWS)
def test_rows_have_the_blocks_of_the_table(name: str) -> None:
    blocks, joins, stride = ROWS[name]
    network = make_network(name)
    assert network.stride == stride
    kinds = [type(module) for module in network.modules()]
    for kind in KINDS:
        assert kinds.count(kind) == (*blocks, *joins).count(kind), kind
    assert len(network.thermal_encoder.levels) == len(blocks)


def test_every_row_has_a_config_that_names_it() -> None:
    paper = load_train_config(share_folder("config") / "train" / "refinefuse_paper.yaml", {})
    assert (paper.network, paper.loss) == ("refinefuse_paper", "refinefuse_paper")
    configs = {path.stem: load_train_config(path, {}) for path in CONFIGS}
    losses = {f"refinefuse_table8_{row}" for row in "abc"}
    networks = ROWS.keys() - {"refinefuse", "refinefuse_paper"}
    assert configs.keys() == losses | networks | {"refinefuse_variant"}
    assert configs.pop("refinefuse_variant").network == "refinefuse"
    for name, config in configs.items():
        make_loss(config)
        assert config.network in ALL_NETWORKS
        assert (config.loss if name in losses else config.network) == name
        # Apart from its row, each is trained as the network that it is compared with.
        assert replace(config, network=paper.network, loss=paper.loss) == paper


def test_without_fim_a_network_hardly_grows() -> None:
    with_fim, without = (
        sum(weight.numel() for weight in make_network(name).parameters())
        for name in ("refinefuse_paper", "refinefuse_table9_v")
    )
    assert with_fim < without < 1.01 * with_fim


def test_the_shipped_weights_fit_the_default_network_by_name() -> None:
    initializers = onnx.load(resolve_model("refinefuse")).graph.initializer
    shipped = {item.name.removeprefix("network."): tuple(item.dims) for item in initializers}
    network = RefineFuse()
    # The file that ships is pruned.
    take_widths(network, {name: torch.empty(sides) for name, sides in shipped.items()})
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert own.items() <= shipped.items()


def test_the_shipped_network_is_its_chain_of_modules() -> None:
    torch.manual_seed(0)
    network = RefineFuse().eval()
    thermal, visible = torch.rand(2, 1, 1, 32, 64)
    with torch.no_grad():
        t, v = network.thermal_encoder(thermal), network.visible_encoder(visible)
        fim = ours.FIM(0)
        deep = network.decoder4(network.psim4(t[3], v[3]))
        deep = network.decoder3(fim(deep, network.psim3(t[2], v[2])))
        deep = network.decoder2(fim(deep, network.sfim2(t[1], v[1])))
        expected = torch.tanh(network.decoder1(fim(deep, network.sfim1(t[0], v[0])))) / 2 + 0.5
        torch.testing.assert_close(network(thermal, visible), expected, rtol=0, atol=0)


def test_every_level_reaches_the_output() -> None:
    torch.manual_seed(0)
    network = make_network("refinefuse_table10_b")
    thermal, visible = torch.rand(2, 1, 1, 64, 64)
    network(thermal, visible).sum().backward()
    for encoder in (network.thermal_encoder, network.visible_encoder):
        for level in encoder.levels:
            assert level.weight.grad.abs().max() > 0


def test_concatenation_mixes_both_features() -> None:
    block = Concatenation(3)
    a, b = (torch.rand(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    block(a, b).sum().backward()
    assert a.grad.abs().sum() > 0 and b.grad.abs().sum() > 0


def test_setting_a_prefers_neither_source_and_setting_b_the_brighter() -> None:
    shape = (1, 1, 32, 32)
    dark, bright = torch.full(shape, 0.2), torch.full(shape, 0.8)
    for batch in (make_batch(dark, bright), make_batch(bright, dark)):
        a = [total("refinefuse_table8_a", batch, fused) for fused in (dark, bright, (dark + bright) / 2)]
        assert a == pytest.approx([0.6] * 3, abs=1e-6)
        b = [total("refinefuse_table8_b", batch, fused) for fused in (dark, bright)]
        assert b == pytest.approx([0.6, 0.0], abs=1e-6)


def test_setting_c_is_the_paper_s_loss_without_texture() -> None:
    torch.manual_seed(0)
    thermal, visible, fused = torch.rand(3, 2, 1, 32, 32)
    batch = make_batch(thermal, visible)
    terms = make_loss(TrainConfig(loss="refinefuse_table8_c")).terms(batch, Outputs(fused))
    paper = make_loss(TrainConfig(loss="refinefuse_paper")).terms(batch, Outputs(fused))
    assert terms.keys() == {"intensity"}
    assert terms["intensity"].item() == paper["intensity"].item()
    for row in "ab":
        terms = make_loss(TrainConfig(loss=f"refinefuse_table8_{row}")).terms(batch, Outputs(fused))
        assert terms["texture"].item() == paper["texture"].item()


def test_a_network_can_be_copied_without_sharing_weights() -> None:
    network = make_network("refinefuse_table9_iv").eval()
    twin = copy.deepcopy(network)
    thermal, visible = torch.rand(2, 1, 1, 16, 16)
    with torch.no_grad():
        before = network(thermal, visible)
        for weight in twin.parameters():
            weight.zero_()
        assert torch.equal(network(thermal, visible), before)
        # All of its layers are its own: with zero weights tanh(0) remains.
        assert torch.equal(twin(thermal, visible), torch.full_like(thermal, 0.5))


def test_configs_are_found_by_name_and_not_offered() -> None:
    assert all(config_path(path.stem) == path for path in CONFIGS)
    with pytest.raises(ConfigError, match="expected a YAML file or one of mda") as caught:
        config_path("refine")
    assert "refinefuse_paper" in str(caught.value) and "table" not in str(caught.value)


def test_losses_are_found_by_name_and_not_offered() -> None:
    with pytest.raises(ConfigError, match="unknown loss 'mad', expected one of multiscale") as caught:
        make_loss(TrainConfig(loss="mad"))
    assert "table" not in str(caught.value)
