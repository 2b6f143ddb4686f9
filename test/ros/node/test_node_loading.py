"""A node whose models load, and load: whoever calls it meanwhile is answered."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import harness
import numpy as np
import pytest
from node_images import noise, pixels
from test_node_life import pair

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """Models go on loading once there is this file."""
    return tmp_path / "gate"


def start(probe: Any, model: Path, gate: Path, *words: str, **parameters: Any) -> Any:
    return probe.start(
        *words,
        program="sleeping_node.py",
        fusion__backend="sleeping",
        fusion__model=str(model),
        env={"LOAD_GATE": str(gate)},
        **parameters,
    )


def test_callers_are_answered_while_models_load(probe: Any, blend_model: Path, gate: Path) -> None:
    node = start(probe, blend_model, gate, node__autostart=True, pairing__max_skew_ms=5)
    node.wait_for_log("loading waits at the gate")
    assert probe.state() == "configuring"
    assert probe.get("pairing.max_skew_ms") == 5.0
    harness.Diagnostics(probe).wait("fusion", lambda values: values["message"] == "not configured")
    assert not probe.change_state("configure") and not probe.change_state("cleanup")
    answer = probe.call(harness.Trigger, "/fusion_node/accept_calibration", harness.Trigger.Request())
    assert answer.message == "the node is not configured: nothing was learned"
    refusal = probe.set(pairing__max_skew_ms=30.0, fusion__backend="onnxruntime")
    assert "fusion.backend takes effect at the next configure" in refusal
    assert probe.set(pairing__max_skew_ms=30.0) == ""
    assert probe.state() == "configuring"
    gate.touch()
    node.wait_for_log("active, listening")
    # What was set meanwhile holds: with 5 ms there would be no pairs.
    rgb, thermal = harness.image(noise(3), "rgb8"), harness.image(noise(4)[..., 0], "mono8")
    fused = harness.Cameras(probe).send(rgb, thermal, 20 * harness.MS)
    assert np.array_equal(pixels(fused), noise(3))
    assert "Traceback" not in node.log() and node.stop()[0] == 0


def test_disabled_meanwhile_it_is_disabled_when_loaded(probe: Any, blend_model: Path, gate: Path) -> None:
    node = start(probe, blend_model, gate, node__autostart=True)
    node.wait_for_log("loading waits at the gate")
    request = harness.SetBool.Request(data=False)
    assert probe.call(harness.SetBool, "/fusion_node/enable", request).success
    gate.touch()
    node.wait_for_log("active, listening")
    text = "disabled by ~/enable"
    harness.Diagnostics(probe).wait("fusion", lambda values: values["message"] == text)


def test_what_was_set_meanwhile_may_not_fit_the_models(
    probe: Any, blend_model: Path, box_model: Path, gate: Path
) -> None:
    detector = {"detection__model": str(box_model), "detection__backend": "onnxruntime"}
    node = start(probe, blend_model, gate, node__autostart=True, **detector)
    node.wait_for_log("loading waits at the gate")
    # The names of the classes come with the model.
    assert probe.set(detection__classes=["dragon"]) == ""
    gate.touch()
    node.wait_for_log("cannot configure: ")
    assert "dragon" in node.log()
    harness.wait_until(lambda: probe.state() == "unconfigured", "the end of the configuration")
    assert probe.set(detection__classes=["person"]) == ""
    assert probe.change_state("configure") and probe.change_state("activate")
    assert "Traceback" not in node.log()


def test_another_node_of_the_process_goes_on_meanwhile(probe: Any, blend_model: Path, gate: Path) -> None:
    gate.touch()
    node = start(probe, blend_model, gate, "front", "rear")
    assert probe.change_state("configure", "/front/fusion_node")
    assert probe.change_state("activate", "/front/fusion_node")
    front = harness.Cameras(probe, "/front")
    assert np.array_equal(pixels(front.send(*pair(red=50))), np.full((64, 96, 3), 50))
    gate.unlink()
    caller = threading.Thread(target=probe.change_state, args=("configure", "/rear/fusion_node"))
    caller.start()
    node.wait_for_log("loading waits at the gate")
    assert probe.state("/rear/fusion_node") == "configuring"
    assert np.array_equal(pixels(front.send(*pair(red=60))), np.full((64, 96, 3), 60))
    assert probe.change_state("deactivate", "/front/fusion_node")
    gate.touch()
    caller.join(harness.PATIENCE_S)
    assert probe.state("/rear/fusion_node") == "inactive"
    assert probe.state("/front/fusion_node") == "inactive"
    assert "Traceback" not in node.log() and node.stop()[0] == 0
