"""The heartbeat that Nav2's lifecycle manager wants of its nodes; needs the messages of `bond`."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import harness
import pytest

if TYPE_CHECKING:
    from pathlib import Path

Status = pytest.importorskip("bond.msg", reason="needs the ROS 2 package bond").Status


def test_it_beats_while_the_node_is_active_and_says_when_that_ends(probe: Any, blend_model: Path) -> None:
    probe.start(fusion__model=str(blend_model))
    instances = []
    for _ in range(2):
        assert probe.change_state("configure") and probe.change_state("activate")
        beats = probe.listen(Status, "/bond")
        beats.wait(4)
        assert probe.change_state("deactivate")
        last = beats.wait_for(lambda beat: not beat.active, "the end")
        assert last is beats.messages[-1]
        assert {beat.id for beat in beats.messages} == {"fusion_node"}
        (instance,) = {beat.instance_id for beat in beats.messages}
        instances.append(instance)
        assert (last.heartbeat_period, last.heartbeat_timeout) == (0.25, 4.0)
        stamps = [harness.stamp_of(beat) for beat in beats.messages]
        assert all(0 < later - sooner < 10**9 for sooner, later in pairwise(stamps))
        time.sleep(0.6)
        assert last is beats.messages[-1]
        assert probe.change_state("cleanup")
    assert instances[0] != instances[1]
