"""Names of a detector's classes: from its ONNX metadata, from YAML, or made up; and filters by name."""

from __future__ import annotations

import ast
import difflib
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ivfusion_ros.types import Mask


def names_from_metadata(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    """Ultralytics' `names`, a Python dict or list in text; None if absent. Raises ModelError."""
    text = metadata.get("names")
    if text is None:
        return None
    try:
        return _ordered(ast.literal_eval(text))
    except (ValueError, SyntaxError, RecursionError, MemoryError) as error:
        raise ModelError(
            f"the model's metadata `names` is {text[:80]!r}, expected a list or {{id: name}} from 0; "
            "export the model again, or correct it with onnx"
        ) from error


def names_from_yaml(path: str | Path) -> tuple[str, ...]:
    """`names:` of a YAML file, a list or id: name from 0. Raises ConfigError."""
    value = read_yaml(path).get("names")
    try:
        return _ordered(value)
    except ValueError as error:
        raise ConfigError(f"{path}: `names` is {value!r}, expected a list or id: name from 0") from error


def _ordered(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        if set(value) != set(range(len(value))):
            raise ValueError
        value = [value[index] for index in range(len(value))]
    if not isinstance(value, (list, tuple)) or not value:
        raise ValueError
    return tuple(str(name) for name in value)


def class_mask(classes: Iterable[str], class_names: tuple[str, ...]) -> Mask:
    """(class count,) bool, which classes to report; no classes means all. Raises ConfigError."""
    wanted = tuple(classes)
    for name in wanted:
        if name not in class_names:
            close = difflib.get_close_matches(name, class_names, 1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(
                f"detection.classes has {name!r}, which the detector does not know; {hint}"
                f"known: {', '.join(class_names)}"
            )
    return np.array([not wanted or name in wanted for name in class_names])
