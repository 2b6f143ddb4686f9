"""Parameters from dataclass fields: declared once, listed, checked and read from YAML.

A field states its default, range, unit and meaning once; the YAML loader, the ROS parameters and the
parameter table in the docs are derived from it. A ROS parameter file is read as it is.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args, get_origin, get_type_hints

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import brief, parse_yaml, read_yaml

if TYPE_CHECKING:
    from pathlib import Path


def parameter(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    live: bool = False,
) -> Any:
    """Declare a parameter.

    minimum and maximum are inclusive; choices limit a string; all three hold for each entry of a list. live
    says that the parameter can change while the node is active (others take effect at the next configure).
    """
    metadata = {
        "description": description,
        "minimum": minimum,
        "maximum": maximum,
        "choices": choices,
        "live": live,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Parameter:
    """One parameter of a config class, as the YAML loader and ROS see it."""

    name: str
    """dotted, e.g. pairing.max_skew_ms"""
    entry: type  # noqa: A003
    """str, int or float: type of a tuple's entries; otherwise as type"""
    type: type  # noqa: A003
    """bool, int, float, str or tuple"""
    default: Any
    description: str
    minimum: float | None
    maximum: float | None
    choices: tuple[str, ...]
    live: bool


def iter_parameters(config_class: type[Any], prefix: str = "") -> Iterator[Parameter]:
    """All parameters of a config class in declaration order, nested classes with dotted names."""
    hints = get_type_hints(config_class)
    for item in dataclasses.fields(config_class):
        kind = hints[item.name]
        if dataclasses.is_dataclass(kind):
            yield from iter_parameters(cast("type", kind), f"{prefix}{item.name}.")
            continue
        own = get_origin(kind) or kind
        entry = get_args(kind)[0] if own is tuple else own
        yield Parameter(prefix + item.name, entry, own, item.default, **item.metadata)


Config = TypeVar("Config")


def make_config(config_class: type[Config], values: Mapping[str, Any], source: str = "config") -> Config:
    """Build a config from dotted names or nested mappings; unknown names are errors.

    source names the origin in errors. Raises ConfigError.
    """
    return _make(config_class, _checked(config_class, values, source), source)


def load_config(
    config_class: type[Config], path: str | Path | None, overrides: Mapping[str, Any] | None = None
) -> Config:
    """Read a YAML file, plain or a ROS parameter file (`/**: ros__parameters:`), and apply overrides.

    overrides: dotted names to values, taken over the file's. Raises ConfigError.
    """
    checked: dict[str, Any] = {}
    if path is not None:
        values = dict(flatten(_strip_ros_envelope(read_yaml(path), str(path))))
        shared = {name: value for name, value in values.items() if not _is_of_node_only(name)}
        checked.update(_checked(config_class, shared, str(path)))
    checked.update(_checked(config_class, overrides or {}, "options"))
    origin = "options" if path is None else f"{path} with options" if overrides else str(path)
    return _make(config_class, checked, origin)


def _checked(config_class: type[Any], values: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Values by dotted name, each of its parameter's type and in its range."""
    if not isinstance(values, Mapping):
        raise ConfigError(
            f"{source} is {brief(values)}, expected a mapping of names to values; for a file, from_yaml"
        )
    parameters = {item.name: item for item in iter_parameters(config_class)}
    checked = {}
    for name, value in flatten(values):
        if name not in parameters:
            raise ConfigError(f"{source}: {_why_unknown(name, parameters)}")
        checked[name] = _check(parameters[name], value, source)
    return checked


def _why_unknown(name: str, known: Mapping[str, Parameter]) -> str:
    if _is_of_node_only(name):
        return f"{name} is a parameter of the live node only"
    # Without its section, a name is far from the whole one.
    same = [other for other in known if other.rpartition(".")[2] == name]
    close = same or difflib.get_close_matches(name, known, 1)
    hint = f"did you mean {' or '.join(close)}?" if close else f"known: {', '.join(known)}"
    return f"unknown parameter {name}; {hint}"


def _make(config_class: type[Config], checked: Mapping[str, Any], source: str) -> Config:
    try:
        return _assemble(config_class, checked)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from error


def _assemble(config_class: type[Config], checked: Mapping[str, Any], prefix: str = "") -> Config:
    values: dict[str, Any] = {}
    for name, kind in get_type_hints(config_class).items():
        if dataclasses.is_dataclass(kind):
            values[name] = _assemble(cast("type", kind), checked, f"{prefix}{name}.")
        elif prefix + name in checked:
            values[name] = checked[prefix + name]
    return config_class(**values)


NODE_ONLY = ("node", "use_sim_time", "qos_overrides", "diagnostic_updater")
"""Sections of a robot's file that mean nothing at a desk."""


def _is_of_node_only(name: str) -> bool:
    return name.partition(".")[0] in NODE_ONLY


def _strip_ros_envelope(content: dict[str, Any], source: str) -> dict[str, Any]:
    nodes = [node for node in content.values() if isinstance(node, dict) and "ros__parameters" in node]
    if not nodes:
        return content
    if len(content) != 1:
        raise ConfigError(
            f"{source} has parameters of {len(content)} nodes ({', '.join(map(str, content))}); "
            "expected one node, or /**"
        )
    parameters = nodes[0]["ros__parameters"]
    if not isinstance(parameters, dict):
        raise ConfigError(f"{source}: ros__parameters is empty or no mapping")
    return parameters


def flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested mappings."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


_EXPECTED = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
}
_EXPECTED_LIST = {int: "a list of whole numbers", float: "a list of numbers", str: "a list of strings"}


def _check(item: Parameter, value: Any, source: str) -> Any:
    where = f"{source}: {item.name}"
    if value is False and "off" in item.choices:
        # YAML 1.1 reads a bare off as false.
        value = "off"
    if item.type is not tuple:
        return _check_entry(item, value, where, _EXPECTED[item.type])
    expected = _EXPECTED_LIST[item.entry]
    if not isinstance(value, (list, tuple)):
        # One entry is a list of one.
        return _check(item, [_check_entry(item, value, where, expected)], source)
    # ROS cannot declare an empty string array; [''] stands for it.
    return tuple(_check_entry(item, entry, where, expected) for entry in value if entry != "")


def _check_entry(item: Parameter, value: Any, where: str, expected: str) -> Any:
    """A single value, or one entry of a list."""
    if item.entry is float:
        value = _as_float(value)
    if not isinstance(value, item.entry) or (item.entry is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {brief(value)} ({type(value).__name__}), expected {expected}")
    if isinstance(value, str) and "\0" in value:
        raise ConfigError(f"{where} is {brief(value)}, expected a text without null characters")
    if item.choices and value not in item.choices:
        raise ConfigError(f"{where} is {brief(value)}, expected one of {', '.join(item.choices)}")
    if isinstance(value, (int, float)):
        # Written so that NaN fails too.
        if item.minimum is not None and not value >= item.minimum:
            raise ConfigError(f"{where} is {brief(value)}, must be at least {item.minimum}")
        if item.maximum is not None and not value <= item.maximum:
            raise ConfigError(f"{where} is {brief(value)}, must be at most {item.maximum}")
    return value


def _as_float(value: Any) -> Any:
    """Integers as floats, and 1e-3, which YAML 1.1 reads as a text; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return value
    try:
        return float(value)
    except (ValueError, OverflowError):
        return value


def plain(config: Any) -> dict[str, Any]:
    """A config as nested mappings with lists, as YAML and JSON hold it."""
    return {item.name: _plain(getattr(config, item.name)) for item in dataclasses.fields(config)}


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return plain(value)
    return list(value) if isinstance(value, tuple) else value


def assignments(texts: Iterable[str], option: str) -> dict[str, Any]:
    """`NAME=VALUE` as on the command line, VALUE as YAML -> values by dotted name.

    option: what the texts were given to, for errors. Raises ConfigError.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} is {text!r}, expected NAME=VALUE")
        values[name] = parse_yaml(value, f"{option} {name}: {brief(value)}") if value else ""
    return values
