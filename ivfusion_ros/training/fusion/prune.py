"""A network with fewer channels: those that never answer, or say what others say too, are left out.

Nothing is trained. What a convolution reads of a channel that is left out is told from those that stay, by
linear regression over many pairs, and goes into their weights and its bias. A channel that never answers,
or always the same, costs nothing then; of the others those go first whose rest, which no other channel
tells, changes least of what is made of it: Optimal Brain Surgeon (Hassibi and Stork 1993) by channels. No
constant goes where padding follows, which would end it at the borders.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ivfusion_ros.networks.channels import Group, Reader, channel_groups

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

log = logging.getLogger(__name__)

_RIDGE = 1e-7
"""Share of the mean variance that is added to that of each channel, since some have none."""


class Seen(NamedTuple):
    """What a convolution read: means (C,) of its channels and of their products (C, C), float64."""

    means: Tensor
    products: Tensor


def prune(
    network: nn.Module, pairs: Iterable[tuple[Tensor, Tensor]], error: float, multiple: int
) -> dict[str, Tensor]:
    """Weights of the network with fewer channels; it is as wide as weights that it loads.

    pairs: thermal and visible, (1, 1, H, W) in [0, 1], H and W multiples of the stride. error: most of the
    variance of what convolutions make of a group of channels that may be lost. multiple: of channels that
    stay in each group. Raises ModelError.
    """
    groups = [group for group in channel_groups(network) if group.readers]
    seen = look(network, {reader.name for group in groups for reader in group.readers}, pairs)
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    kept = [_shrink(group, weights, seen, error, multiple) for group in groups]
    # Rows and columns go last: until then all channels are where the groups say.
    columns = {name: torch.ones(weights[f"{name}.weight"].shape[1], dtype=torch.bool) for name in seen}
    for group, stays in zip(groups, kept, strict=True):
        for reader in group.readers:
            columns[reader.name][reader.first : reader.first + group.width] = stays
        for maker in group.makers:
            for part in ("weight", "bias"):
                if f"{maker}.{part}" in weights:
                    weights[f"{maker}.{part}"] = weights[f"{maker}.{part}"][stays]
    for name, stays in columns.items():
        weights[f"{name}.weight"] = weights[f"{name}.weight"][:, stays].contiguous()
    return weights


def look(
    network: nn.Module, names: Iterable[str], pairs: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Seen]:
    """What the convolutions of these names read in all pairs, each of which counts the same."""
    moments: dict[str, list[Tensor]] = {}

    def add(name: str, values: Tensor) -> None:
        flat = values[0].flatten(1)
        # A channel of ones, whose products with the others are their sums.
        flat = torch.cat((flat, flat.new_ones(1, flat.shape[1])))
        moments.setdefault(name, []).append((flat @ flat.T).double() / flat.shape[1])

    modules = dict(network.named_modules())
    hooks = [
        modules[name].register_forward_pre_hook(lambda _, args, name=name: add(name, args[0]))
        for name in names
    ]
    try:
        with torch.no_grad():
            for thermal, visible in pairs:
                network(thermal, visible)
    finally:
        for hook in hooks:
            hook.remove()
    means = {name: torch.stack(items).mean(0) for name, items in moments.items()}
    return {name: Seen(mean[-1, :-1], mean[:-1, :-1]) for name, mean in means.items()}


def _shrink(
    group: Group, weights: dict[str, Tensor], seen: Mapping[str, Seen], error: float, multiple: int
) -> Tensor:
    """Put what leaves a group into the weights of what reads it; which channels stay, (C,) bool."""
    order, lost = _order([_Told(weights, reader, group, seen) for reader in group.readers], group.width)
    count = next(
        (n for n in range(multiple, group.width, multiple) if lost[group.width - n] <= error), group.width
    )
    told = [_Told(weights, reader, group, seen) for reader in group.readers]
    stays = torch.ones(group.width, dtype=torch.bool)
    for channel in order[: group.width - count]:
        stays[channel] = False
        for one in told:
            one.remove(channel)
    for one in told:
        one.write(weights)
    log.info(
        "%s: %d of %d channels stay, %.2g of the variance goes",
        ", ".join(group.makers), count, group.width, lost[group.width - count],
    )  # fmt: skip
    return stays


def _order(told: Sequence[_Told], width: int) -> tuple[list[int], list[float]]:
    """All channels, in the order in which they go, and what is lost when 0, 1, 2 ... have gone."""
    order: list[int] = []
    lost = [0.0]
    for _ in range(width):
        costs = torch.stack([one.costs() for one in told]).sum(0)
        costs[order] = torch.inf
        channel = int(costs.argmin())
        lost.append(lost[-1] + float(costs[channel]))
        for one in told:
            one.remove(channel)
        order.append(channel)
    return order, lost


class _Told:
    """What one convolution makes of a group's channels, while some are told from the others."""

    def __init__(
        self, weights: Mapping[str, Tensor], reader: Reader, group: Group, seen: Mapping[str, Seen]
    ) -> None:
        self._reader = reader
        self._own = slice(reader.first, reader.first + group.width)
        weight = weights[f"{reader.name}.weight"][:, self._own].double()
        means, products = (values[..., self._own] for values in seen[reader.name])
        # Padding is 0 in all channels, and what is told of zeros must be 0 too: no constant.
        self._means = means if weight.shape[2:].numel() == 1 else torch.zeros_like(means)
        told = products[self._own] - torch.outer(self._means, self._means)
        self._shape = weight.transpose(0, 1).shape
        self._weight = weight.transpose(0, 1).flatten(1)
        covariance = products[self._own] - torch.outer(means, means)
        self._variance = float((self._weight * (covariance @ self._weight)).sum())
        ridge = _RIDGE * float(told.diagonal().mean()) or 1.0
        self._inverse = torch.linalg.inv(told + ridge * torch.eye(group.width))
        self._before = self._weight.clone()

    def costs(self) -> Tensor:
        """(C,): share of the variance of what is made that each channel takes with it."""
        rest = 1 / self._inverse.diagonal()
        costs: Tensor = (self._weight**2).sum(1) * rest / max(self._variance, 1e-30)
        return costs

    def remove(self, channel: int) -> None:
        """Tell a channel from those that are there."""
        row = self._inverse[channel] / self._inverse[channel, channel]
        self._weight -= torch.outer(row, self._weight[channel])
        self._inverse -= torch.outer(row, self._inverse[channel])
        self._inverse[channel, channel] = 1.0

    def write(self, weights: dict[str, Tensor]) -> None:
        """Put the changed weights and bias into the network's."""
        name = f"{self._reader.name}.weight"
        changed = self._weight.reshape(self._shape).transpose(0, 1)
        weights[name][:, self._own] = changed.to(weights[name].dtype)
        gone = (self._means @ (self._before - self._weight)).reshape(self._shape[1:]).sum((1, 2))
        name = f"{self._reader.name}.bias"
        if name in weights:
            weights[name] = weights[name] + gone.to(weights[name].dtype)
