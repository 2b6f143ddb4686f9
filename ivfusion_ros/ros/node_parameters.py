"""ROS parameters, declared from the config dataclasses: names, types, ranges, descriptions, defaults."""

from __future__ import annotations

from dataclasses import fields
from difflib import get_close_matches
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor

from ivfusion_ros.config.node import FusionNodeConfig
from ivfusion_ros.config.parameters import Parameter, iter_parameters, make_config
from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rclpy.node import Node
    from rclpy.parameter import Parameter as RosParameter

SOURCE = "ROS parameters"
_SIMILAR = 0.85
"""Of names that are meant to be the same, as difflib measures it."""
_ALIKE = 0.6
"""Likewise, where it is sure that the name is wrong."""
READ_ONLY = ("node.autostart",)


class NodeParameters:
    """The declared parameters of one node. Raises ConfigError where an override is wrong or unknown.

    node: made with automatically_declare_parameters_from_overrides, as there is no other public way to read
    the overrides that nobody declares.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._items = {item.name: item for item in iter_parameters(FusionNodeConfig)}
        config = make_config(FusionNodeConfig, _overrides(node), SOURCE)
        for name, item in self._items.items():
            # The override is in config already, with 5 turned into 5.0 for a double.
            value = _to_ros(attrgetter(name)(config))
            node.declare_parameter(name, value, describe(item), ignore_override=True)

    def config(self, changes: Iterable[RosParameter] = ()) -> FusionNodeConfig:
        """The values as they are, or as they would be after the changes. Raises ConfigError."""
        values = {item.name: item.value for item in self._node.get_parameters(list(self._items))}
        values.update({change.name: change.value for change in changes if change.name in self._items})
        return make_config(FusionNodeConfig, values, SOURCE)

    def fixed(self, changes: Iterable[RosParameter]) -> list[str]:
        """Names among the changes that cannot take effect before the next configure."""
        names = (change.name for change in changes)
        return [name for name in names if name in self._items and not self._items[name].live]

    def unknown(self, changes: Iterable[RosParameter]) -> str:
        """Which of the changes are of no parameter of the node, and what may be meant; empty for none."""
        known = list(self._items)
        texts = []
        for name in (change.name for change in changes if not self._node.has_parameter(change.name)):
            meant = " or ".join(_meant(name, known, _ALIKE))
            node = self._node.get_fully_qualified_name()
            hint = f"did you mean {meant}?" if meant else f"`ros2 param list {node}` shows those that are"
            texts.append(f"there is no parameter {name}; {hint}")
        return "; ".join(texts)


def describe(item: Parameter) -> ParameterDescriptor:
    """What `ros2 param describe` shows."""
    read_only = item.name in READ_ONLY
    when = "can change while active" if item.live else "takes effect at the next configure"
    constraints = [f"one of {', '.join(item.choices)}"] if item.choices else []
    descriptor = ParameterDescriptor(
        description=item.description,
        additional_constraints="; ".join([*constraints, "fixed at start" if read_only else when]),
        # A double must also take `5`, a list of strings `[]`, which ROS reads as bytes, and a choice `off`,
        # which YAML reads as false.
        dynamic_typing=item.type in (float, tuple) or "off" in item.choices,
        read_only=read_only,
    )
    if item.minimum is not None and item.maximum is not None:
        if item.type is int:
            limits = IntegerRange(from_value=int(item.minimum), to_value=int(item.maximum), step=1)
            descriptor.integer_range = [limits]
        else:
            bounds = FloatingPointRange(from_value=float(item.minimum), to_value=float(item.maximum))
            descriptor.floating_point_range = [bounds]
    return descriptor


def _overrides(node: Node) -> dict[str, Any]:
    """Overrides from command line, launch and files that are meant for this package.

    All that have a section are undeclared: this package, QoS and diagnostics declare theirs with a
    description. What has none is rclpy's own, and in use already.
    """
    sections = tuple(f"{item.name}." for item in fields(FusionNodeConfig))
    overrides: Mapping[str, RosParameter] = node.get_parameters_by_prefix("")
    for name in [name for name in overrides if "." in name]:
        node.undeclare_parameter(name)
    given = {name: value.value for name, value in overrides.items() if name.startswith(sections)}
    _refuse_without_section([name for name in overrides if name not in given])
    return given


def _refuse_without_section(names: list[str]) -> None:
    """ROS drops `confidence`, which is not declared, without a word; so is `detecton.confidence`."""
    known = [item.name for item in iter_parameters(FusionNodeConfig)]
    for name in names:
        # Others may be rclpy's own.
        meant = _meant(name, known, _SIMILAR)
        if meant:
            raise ConfigError(f"{SOURCE}: there is no {name}; did you mean {' or '.join(meant)}?")


def _meant(name: str, known: list[str], similar: float) -> list[str]:
    """Names that a wrong one may be meant for: the same in a section, or one that looks like it."""
    same = [item for item in known if item.rpartition(".")[2] == name]
    if same or "." not in name:
        return same
    return get_close_matches(name, known, n=1, cutoff=similar)


def _to_ros(value: Any) -> Any:
    # An empty list has no type in ROS; config reads [''] as empty.
    return (list(value) or [""]) if isinstance(value, tuple) else value
