"""Faces of rooms whose libraries are heavy: a name's module is imported when the name is asked for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def later(room: str, names: Mapping[str, Sequence[str]]) -> tuple[Callable[[str], Any], list[str]]:
    """A room's `__getattr__`, and the names that it finds. names: by the room's module that has them."""
    modules = {name: f"{room}.{module}" for module, inside in names.items() for name in inside}

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {room!r} has no attribute {name!r}")
        return getattr(importlib.import_module(modules[name]), name)

    return find, list(modules)
