"""How YAML is read: what people write by hand means what they see, and has an end."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

MAX_ENTRIES = 100_000
MAX_DEPTH = 50


def load_yaml(text: str) -> Any:
    """The value of a text. Raises ValueError beyond the bounds, and whatever PyYAML raises."""
    if sum(map(text.count, "\n,:")) > MAX_ENTRIES:
        raise ValueError(f"it has more than {MAX_ENTRIES} entries")
    value = yaml.load(text, YamlLoader)
    check_bounds(value)
    return value


def _number(loader: Any, node: yaml.ScalarNode) -> Any:
    """As YAML 1.1 has it, but for 010 (which is 8 there) and 1:30 (90): who writes these means others."""
    if ":" in node.value or re.fullmatch(r"[-+]?0[0-9_]+", node.value):
        return node.value
    kind = node.tag.rpartition(":")[2]
    return getattr(loader, f"construct_yaml_{kind}")(node)


class YamlLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe one, with bounds and without surprises.

    Aliases that stand for aliases can make a gigabyte of a kilobyte, merged ones while it is read.
    Of a key that stands there twice, the first value would be lost without a word.
    """

    yaml_constructors: ClassVar[dict[str | None, Any]] = {
        **yaml.SafeLoader.yaml_constructors,
        "tag:yaml.org,2002:int": _number,
        "tag:yaml.org,2002:float": _number,
    }

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put merged mappings in; later calls find their keys there already."""
        looked_at: set[int] = self.__dict__.setdefault("looked_at", set())
        if id(node) not in looked_at:
            looked_at.add(id(node))
            _refuse_key_twice(node)
        super().flatten_mapping(node)
        self.merged = getattr(self, "merged", 0) + len(node.value)
        if self.merged > MAX_ENTRIES:
            raise yaml.YAMLError(f"its mappings have more than {MAX_ENTRIES} entries")


def check_bounds(value: Any) -> None:
    """Raises ValueError for what is endless or huge, once all aliases are followed."""
    waiting, count = [(value, 0)], 0
    while waiting:
        item, depth = waiting.pop()
        count += 1
        if depth > MAX_DEPTH or count > MAX_ENTRIES:
            raise ValueError(
                f"it is nested more than {MAX_DEPTH} deep, or has more than {MAX_ENTRIES} entries"
            )
        if isinstance(item, dict):
            waiting.extend((entry, depth + 1) for pair in item.items() for entry in pair)
        elif isinstance(item, (list, tuple, set)):
            waiting.extend((entry, depth + 1) for entry in item)


def _refuse_key_twice(node: yaml.MappingNode) -> None:
    lines: dict[tuple[str, str], int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode) or key.tag == "tag:yaml.org,2002:merge":
            continue
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in lines:
            raise yaml.YAMLError(
                f"{key.value[:80]!r} stands there twice, in lines {lines[name]} and {line}"
            )
        lines[name] = line
