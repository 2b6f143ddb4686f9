"""When inputs close for want of a listener, and open again."""

from typing import Any

import pytest

from ivfusion_ros.ros import rest
from ivfusion_ros.ros.rest import Rest


class Input:
    def __init__(self) -> None:
        self.steps: list[str] = []

    def open(self) -> None:
        self.steps.append("open")

    def close(self) -> None:
        self.steps.append("close")


class Case:
    """A rest whose reason, clock and restarts a test holds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, wakes: bool = True) -> None:
        self.reason, self.restarts, self.now_s = "", 0, 100.0
        self.input: Any = Input()
        monkeypatch.setattr(rest.time, "monotonic", lambda: self.now_s)
        self.rest = Rest(lambda: self.reason, lambda: [self.input], self._restart, wakes=wakes)
        self.rest.begin()

    def _restart(self) -> None:
        self.restarts += 1


def test_images_are_left_alone_at_once_and_inputs_close_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = Case(monkeypatch)
    assert case.rest.awake()
    case.reason = "nobody"
    assert not case.rest.awake() and case.input.steps == []
    case.now_s += rest.AFTER_S
    assert not case.rest.awake() and case.input.steps == ["close"] and case.rest.closed
    # One that was under way.
    assert not case.rest.awake() and case.input.steps == ["close"]
    case.reason = ""
    case.rest.look()
    assert case.input.steps == ["close", "open"] and not case.rest.closed and case.restarts == 1
    assert case.rest.awake() and case.restarts == 1


def test_a_rest_begins_with_an_image_not_with_a_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parameters that an activation declares have the rest looked at, long before the first image."""
    case = Case(monkeypatch)
    case.reason = "nobody"
    case.rest.look()
    case.now_s += 10 * rest.AFTER_S
    assert not case.rest.awake() and case.input.steps == []
    case.now_s += rest.AFTER_S
    assert not case.rest.awake() and case.input.steps == ["close"]


def test_a_short_rest_closes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch)
    for _ in range(3):
        case.reason = "nobody"
        assert not case.rest.awake()
        case.now_s += rest.AFTER_S / 2
        assert not case.rest.awake()
        case.reason = ""
        assert case.rest.awake()
    assert case.input.steps == [] and case.restarts == 3


def test_inputs_stay_open_where_nothing_would_wake_them(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch, wakes=False)
    case.reason = "nobody"
    assert not case.rest.awake()
    case.now_s += 100 * rest.AFTER_S
    assert not case.rest.awake() and case.input.steps == []


def test_inputs_that_are_new_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    case = Case(monkeypatch)
    case.reason = "nobody"
    case.rest.awake()
    case.now_s += rest.AFTER_S
    case.rest.awake()
    case.rest.begin()
    assert not case.rest.closed
    assert not case.rest.awake() and case.input.steps == ["close"]
