"""rclpy's message objects."""

from __future__ import annotations

import array
import functools
import importlib
from typing import Any

import numpy as np


def message_class(type_name: str) -> Any:
    """The class of a type's full name, such as "sensor_msgs/msg/Image"."""
    package, _, name = type_name.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def make(type_name: str, /, **fields: Any) -> Any:
    """A message object; see ivfusion_ros.messages.Make."""
    kind, typecodes = _kind(type_name)
    message = kind()
    for name, value in fields.items():
        setattr(message, name, _to_array(value, typecodes[name]) if name in typecodes else value)
    return message


@functools.cache
def _kind(type_name: str) -> tuple[Any, dict[str, str]]:
    """The class, and by name the type codes of its fields that are array.arrays."""
    kind = message_class(type_name)
    empty = kind()
    values = {name: getattr(empty, name) for name in kind.get_fields_and_field_types()}
    return kind, {name: value.typecode for name, value in values.items() if isinstance(value, array.array)}


def _to_array(values: np.ndarray[Any, Any], typecode: str) -> array.array[Any]:
    # Any other type is checked and copied by rclpy number by number: 40 ms for a VGA image.
    copied = array.array(typecode)
    copied.frombytes(np.ascontiguousarray(values).view(np.uint8).data)
    return copied
