"""Channels of a network's convolutions: which belong together, and networks with fewer of them.

A network is as wide as the weights that are loaded into it, so a pruned one needs no name of its own.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn import functional

from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Reader(NamedTuple):
    """A convolution that reads a group's channels, by its name, from its input channel `first` on."""

    name: str
    first: int


@dataclass(eq=False)
class Group:
    """Channels that stand or fall together, as sums and products take them one by one.

    makers: convolutions that give them. fixed: something takes them in a way that is not known here.
    """

    width: int
    makers: list[str] = field(default_factory=list)
    readers: list[Reader] = field(default_factory=list)
    fixed: bool = False


Layout = tuple[Group, ...]
"""The groups that a tensor's channels are of, in order; none where nothing may be left out."""

_ONE_BY_ONE = {
    functional.relu, functional.leaky_relu, functional.interpolate, functional.avg_pool2d,
    torch.sigmoid, torch.maximum, operator.add, operator.sub, operator.mul, operator.truediv,
    nn.ReLU, nn.LeakyReLU, nn.Identity,
    "flatten", "view_as",
}  # fmt: skip
"""What treats each channel by itself, and those of several tensors in pairs."""

_OVER_CHANNELS = {"amax", "sum"}
"""Reductions that channels which give 0 do not change."""


def channel_groups(network: nn.Module) -> list[Group]:
    """The groups of a network from which channels may be left out, in the order in which they are made.

    Raises ModelError for a network that cannot be traced.
    """
    side = 4 * int(getattr(network, "stride"))  # noqa: B009 (nn.Module hides the type)
    try:
        traced = fx.symbolic_trace(network)
    # Of whatever the network's own code does with a stand-in.
    except Exception as error:
        raise ModelError(
            f"{type(network).__name__} cannot be traced: {error}; it cannot be pruned"
        ) from error
    ShapeProp(traced).propagate(*torch.zeros(2, 1, 1, side, side))
    return [group for group in _Walk(traced).groups() if group.makers and not group.fixed]


class _Walk:
    """Follows channels through a traced network."""

    def __init__(self, traced: fx.GraphModule) -> None:
        self._modules = dict(traced.named_modules())
        self._layouts: dict[fx.Node, Layout] = {}
        self._made: list[Group] = []
        self._joined: dict[Group, Group] = {}
        for node in traced.graph.nodes:
            self._layouts[node] = self._layout(node)

    def groups(self) -> list[Group]:
        """Each once."""
        return [group for group in self._made if group not in self._joined]

    def _layout(self, node: fx.Node) -> Layout:
        inputs = [self._of(argument) for argument in node.all_input_nodes]
        kind = node.target
        if node.op == "call_module":
            module = self._modules[str(node.target)]
            if isinstance(module, nn.Conv2d):
                return self._convolved(str(node.target), module, inputs[0])
            kind = type(module)
        if kind in _ONE_BY_ONE or (kind == "mean" and node.args[1] == (2, 3)):
            return self._paired(node)
        if kind is torch.cat and node.args[1] == 1 and all(inputs):
            return tuple(group for layout in inputs for group in layout)
        if kind is operator.matmul:
            # Rows of the left matrix are rows of the result.
            left, right = (self._of(argument) for argument in node.args)
            self._fix(right)
            return left
        if kind in _OVER_CHANNELS and node.args[1] == 1:
            return ()
        self._fix(*inputs)
        return ()

    def _convolved(self, name: str, conv: nn.Conv2d, layout: Layout) -> Layout:
        if conv.groups == 1:
            first = 0
            for group in layout:
                group.readers.append(Reader(name, first))
                first += group.width
            self._made.append(Group(conv.out_channels, [name]))
            return (self._made[-1],)
        if conv.groups == conv.out_channels and len(layout) == 1:
            layout[0].makers.append(name)
            return layout
        self._fix(layout)
        return ()

    def _paired(self, node: fx.Node) -> Layout:
        """Of what is done channel by channel with tensors of one number of channels, or of one channel."""
        wide = [item for item in node.all_input_nodes if _channels(item) > 1]
        layouts = [self._of(item) for item in wide]
        if len({tuple(group.width for group in layout) for layout in layouts}) > 1:
            self._fix(*layouts)
            return ()
        return tuple(self._join(groups) for groups in zip(*layouts, strict=True))

    def _join(self, groups: Iterable[Group]) -> Group:
        first, *others = groups
        for other in others:
            if other is not first:
                first.makers += other.makers
                first.readers += other.readers
                first.fixed |= other.fixed
                self._joined[other] = first
        return first

    def _of(self, node: fx.node.Argument) -> Layout:
        found = self._layouts.get(node, ()) if isinstance(node, fx.Node) else ()
        return tuple(map(self._root, found))

    def _root(self, group: Group) -> Group:
        while group in self._joined:
            group = self._joined[group]
        return group

    def _fix(self, *layouts: Layout) -> None:
        for layout in layouts:
            for group in layout:
                group.fixed = True


def _channels(node: fx.Node) -> int:
    """Of a tensor of images; 0 of a number or a tuple."""
    shape: tuple[int, ...] = getattr(node.meta.get("tensor_meta"), "shape", ())
    return int(shape[1]) if len(shape) > 1 else 0


def take_widths(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Narrow the network's convolutions to the channels that these weights have.

    Raises ModelError where they do not fit each other; what fits no convolution is left to
    load_state_dict to refuse.
    """
    narrowed = False
    for name, module in network.named_modules():
        given = weights.get(f"{name}.weight")
        if isinstance(module, nn.Conv2d) and given is not None and _is_narrower(module, given):
            _narrow(module, given)
            narrowed = True
    if narrowed:
        _check(network)


def _is_narrower(module: nn.Conv2d, given: Tensor) -> bool:
    own = module.weight.shape
    if given.ndim != len(own) or given.shape[2:] != own[2:] or given.shape == own:
        return False
    return all(0 < new <= old for new, old in zip(given.shape[:2], own[:2], strict=True))


def _narrow(conv: nn.Conv2d, weight: Tensor) -> None:
    """Give a convolution room for a weight of fewer channels; a depthwise one stays depthwise."""
    outputs, inputs = weight.shape[:2]
    depthwise = conv.groups > 1
    conv.groups = outputs if depthwise else 1
    conv.out_channels, conv.in_channels = outputs, outputs if depthwise else inputs
    conv.weight = nn.Parameter(torch.empty_like(conv.weight[:outputs, :inputs]))
    if conv.bias is not None:
        conv.bias = nn.Parameter(torch.empty_like(conv.bias[:outputs]))


def _check(network: nn.Module) -> None:
    side = int(getattr(network, "stride"))  # noqa: B009 (nn.Module hides the type)
    try:
        with torch.no_grad():
            network(*torch.zeros(2, 1, 1, side, side))
    except RuntimeError as error:
        raise ModelError(f"numbers of channels do not fit each other: {error}") from error
