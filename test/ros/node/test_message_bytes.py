"""What a node publishes and what a replay writes of the same result are the same bytes."""

from typing import Any

import pytest
from message_samples import HEADER, detections, result

from ivfusion_ros.bags import messages
from ivfusion_ros.messages import OUTPUTS, Output
from ivfusion_ros.messages.detections import make_label_info
from ivfusion_ros.ros import messages as live


def as_sent(message: Any) -> bytes:
    serialization = pytest.importorskip("rclpy.serialization")
    return bytes(serialization.serialize_message(message))


@pytest.mark.parametrize("output", OUTPUTS, ids=lambda output: output.topic)
def test_outputs(output: Output) -> None:
    stored = messages.serialize(output.message(messages.make, result()))
    assert as_sent(output.message(live.make, result())) == bytes(stored)


def test_labels() -> None:
    names = detections().class_names
    stored = messages.serialize(make_label_info(messages.make, HEADER, names, 0.25))
    assert as_sent(make_label_info(live.make, HEADER, names, 0.25)) == bytes(stored)
