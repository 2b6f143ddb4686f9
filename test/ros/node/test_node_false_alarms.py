"""What is no fault is not told as one: a start, a wake from rest, a process that was stopped."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING, Any

import harness
from test_node_time import rgb, thermal
from test_node_troubles import publish

if TYPE_CHECKING:
    from pathlib import Path

ALARMS = ("no images on", "no output", "no frames pair up", "both cameras publish, but")
STOPPED_S = 3.0


class Alarms:
    """What /diagnostics said, task by task."""

    def __init__(self, probe: Any) -> None:
        self._listener = probe.listen(harness.DiagnosticArray, "/diagnostics")

    def messages(self, task: str, start: int = 0) -> list[str]:
        """Levels and messages of a task since the given number of them."""
        found = [
            harness.status_values(status)
            for message in list(self._listener.messages)
            for status in message.status
            if status.name.endswith(f": {task}")
        ]
        return [f"{values['level']} {values['message']}" for values in found[start:]]

    def wait(self, task: str, expected: str, start: int = 0) -> list[str]:
        """Those before and up to the first that is expected."""

        def found() -> list[str]:
            messages = self.messages(task, start)
            return messages[: messages.index(expected) + 1] if expected in messages else []

        return harness.wait_until(found, f"{expected!r} of {task}")


def is_false(message: str) -> bool:
    return any(text in message for text in ALARMS)


def test_an_activation_and_a_wake_from_rest_raise_no_alarm(probe: Any, blend_model: Path) -> None:
    node = probe.start(fusion__model=str(blend_model))
    publish(probe, "/rgb/image_raw", rgb)
    publish(probe, "/thermal/image_raw", thermal)
    alarms = Alarms(probe)
    assert probe.change_state("configure")
    for way in ("activate", "wake", "activate once more"):
        if way == "activate once more":
            assert probe.change_state("deactivate")
            alarms.wait("cameras", "OK not active", len(alarms.messages("cameras")))
        counts = {task: len(alarms.messages(task)) for task in ("cameras", "fusion")}
        if way != "wake":
            assert probe.change_state("activate")
        listener = probe.node.create_subscription(
            harness.Image, "/fused/image_raw", lambda _: None, harness.profile()
        )
        for task, expected in (("cameras", "OK both cameras publish"), ("fusion", "OK fused")):
            said = alarms.wait(task, expected, counts[task])
            assert not any(map(is_false, said)), (way, said)
        probe.node.destroy_subscription(listener)
        closed = "OK both cameras publish; their images are not received; idle: nobody listens to an output"
        alarms.wait("cameras", f"{closed} (node.lazy)", counts["cameras"])
    assert not is_false(node.log())


def test_a_process_that_was_stopped_blames_no_camera(probe: Any, blend_model: Path) -> None:
    """Of one camera the whole backlog waits, of the other one the newest few."""
    qos = "qos_overrides./thermal/image_raw.subscription"
    node = probe.start_active(
        fusion__model=str(blend_model), **{f"{qos}.reliability": "reliable", f"{qos}.depth": 1000}
    )
    fused, diagnostics = probe.listen(harness.Image, "/fused/image_raw"), harness.Diagnostics(probe)
    publish(probe, "/rgb/image_raw", rgb, depth=1)
    publish(probe, "/thermal/image_raw", thermal, depth=1000)
    # As many as are needed to see gaps in the stamps.
    fused.wait(40)
    os.kill(node.process.pid, signal.SIGSTOP)
    time.sleep(STOPPED_S)
    count = len(fused.messages)
    os.kill(node.process.pid, signal.SIGCONT)
    diagnostics.wait("cameras", lambda values: "this node did not run for" in values["message"])
    fused.wait(count + 40)
    assert "silent" not in node.log() and "never came" not in node.log()
    assert not is_false(node.log())
