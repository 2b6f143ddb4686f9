"""Detections as a planner reads them: labels, temperatures, the old layout, remaps."""

from __future__ import annotations

import re
import sys
from typing import Any

import harness
import numpy as np
import pytest
from node_images import grey

KELVIN_PER_COUNT = 0.01
RADIOMETRIC = {"thermal__scaling": "radiometric", "thermal__range_min": 280.0, "thermal__range_max": 320.0}


def counts(kelvin: float) -> np.ndarray:
    """A thermal image of one temperature."""
    return np.full(grey().shape, round(kelvin / KELVIN_PER_COUNT), np.uint16)


def send_hot(cameras: Any, kelvin: float = 310.0) -> Any:
    rgb = harness.image(np.zeros((*grey().shape, 3), np.uint8), "rgb8", frame_id="rgb_optical_frame")
    thermal = harness.image(counts(kelvin), "mono16", frame_id="thermal_optical_frame")
    return cameras.send(rgb, thermal)


def start(probe: Any, blend_model: Any, box_model: Any, *words: str, **parameters: Any) -> Any:
    return probe.start_active(
        *words,
        fusion__model=str(blend_model),
        detection__model=str(box_model),
        detection__backend="onnxruntime",
        **RADIOMETRIC,
        **parameters,
    )


def test_the_consumer_in_the_docs_tells_temperatures(probe: Any, blend_model: Any, box_model: Any) -> None:
    node = start(probe, blend_model, box_model)
    cameras = harness.Cameras(probe)
    page = (harness.REPOSITORY / "docs" / "robot.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import message_filters.*?)```", page, re.DOTALL)
    consumer = probe.run([sys.executable, "-c", code])

    def told() -> bool:
        send_hot(cameras)
        return "310.0 K" in consumer.log()

    harness.wait_until(told, "a temperature")
    # The box of the model is 20 px wide and 40 px high, its centre at (20, 40); class 0 is person.
    assert re.search(
        r"^0 geometry|^0 vision_msgs.msg.Point2D\(x=20.0, y=40.0\) 310.0 K", consumer.log(), re.MULTILINE
    )
    assert "Traceback" not in consumer.log() + node.log()


def test_labels_follow_a_remap_and_the_confidence(probe: Any, blend_model: Any, box_model: Any) -> None:
    remap = ("--ros-args", "-r", "detections:=/objects", "--")
    start(probe, blend_model, box_model, *remap)
    latched = harness.profile(1, latched=True)
    labels = probe.listen(harness.LabelInfo, "/objects/label_info", latched)
    probe.listen(harness.Detection2DArray, "/objects")
    assert labels.wait(1)[0].threshold == pytest.approx(0.25)
    assert probe.set(detection__confidence=0.5) == ""
    assert labels.wait(2)[1].threshold == pytest.approx(0.5)
    names = dict(probe.node.get_topic_names_and_types())
    assert "/objects/temperatures" in names and "/detections/label_info" not in names


def test_the_old_layout_for_one_release(probe: Any, blend_model: Any, box_model: Any) -> None:
    start(probe, blend_model, box_model, detection__message_layout="names")
    cameras = harness.Cameras(probe)
    listener = probe.listen(harness.Detection2DArray, "/thermal/detections")

    def found() -> Any:
        send_hot(cameras)
        return listener.messages

    (detection,) = harness.wait_until(found, "detections")[-1].detections
    results = {item.hypothesis.class_id: item.hypothesis.score for item in detection.results}
    assert results == pytest.approx({"person": 0.9, "max_kelvin": 310.0, "mean_kelvin": 310.0}, abs=0.01)
    assert detection.id == "0"
