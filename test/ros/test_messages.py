"""How rclpy's messages are filled, on classes that have the same interface; node/ has the real ones."""

import array
import sys
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from ivfusion_ros.ros import messages


class Toy:
    """As rclpy generates it: sequences of numbers are array.arrays, fixed ones numpy's, others lists."""

    def __init__(self) -> None:
        self.data: Any = array.array("B")
        self.d: Any = array.array("d")
        self.k: Any = np.zeros(3)
        self.name: Any = ""
        self.items: Any = []

    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]:
        return dict.fromkeys(vars(cls()), "")


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("toy_msgs.msg")
    module.Toy = Toy  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "toy_msgs", ModuleType("toy_msgs"))
    monkeypatch.setitem(sys.modules, "toy_msgs.msg", module)


def test_numbers_become_what_rclpy_takes_without_a_check_of_each() -> None:
    pixels, k = np.arange(6, dtype=np.uint8), np.array([1.0, 2.0, 3.0])
    message = messages.make("toy_msgs/msg/Toy", data=pixels, d=k, k=k, name="a", items=[1])
    assert message.data == array.array("B", range(6)) and message.d == array.array("d", [1.0, 2.0, 3.0])
    assert message.k is k and (message.name, message.items) == ("a", [1])
    # The message outlives the image.
    pixels[:] = 0
    assert message.data[5] == 5


def test_there_may_be_no_numbers() -> None:
    assert messages.make("toy_msgs/msg/Toy", data=np.zeros(0, np.uint8), d=np.zeros(0)).d == array.array(
        "d"
    )


def test_every_message_is_another() -> None:
    one, other = (messages.make("toy_msgs/msg/Toy", name=name) for name in "ab")
    assert (one.name, other.name) == ("a", "b")
