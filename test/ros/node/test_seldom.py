"""Callbacks that the executor sees now and then."""

from types import SimpleNamespace
from typing import Any

import pytest


class Case:
    """A group in a node of nothing else, and the clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from rclpy.callback_groups import ReentrantCallbackGroup

        from ivfusion_ros.ros import seldom

        self.now_s, self.resting = 1000.0, False
        self.seldom: Any = seldom
        monkeypatch.setattr(seldom.time, "monotonic", lambda: self.now_s)
        node: Any = SimpleNamespace(default_callback_group=ReentrantCallbackGroup())
        self.group = seldom.SeldomGroup(node, lambda: self.resting)

    def looks(self, step_s: float, count: int = 1000) -> int:
        """How often the executor sees the callback, looking every step."""
        seen = 0
        for _ in range(count):
            seen += self.group.can_execute(None)
            self.now_s += step_s
        return seen


def test_among_many_wake_ups_a_few_look(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 150 < Case(monkeypatch).looks(0.004) < 300


@pytest.mark.parametrize("step_s", [0.1, 0.25, 1.0, 1.07])
def test_among_few_wake_ups_each_looks(monkeypatch: pytest.MonkeyPatch, step_s: float) -> None:
    assert Case(monkeypatch).looks(step_s * 1.001) == 1000


def test_at_rest_all_look(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch)
    case.resting = True
    assert case.looks(0.004) == 1000
