"""What viewers of others get: Rerun's file is read back, Foxglove's server is asked by a plain client."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ivfusion_ros.report import FoxgloveServer, RerunFile
from ivfusion_ros.types import CameraInfo, Detections, FaultReport, FusionResult


def result(index: int) -> FusionResult:
    found = Detections(
        np.array([[10, 12, 40, 50]], np.float32), np.array([0.8], np.float32), np.array([0]), ("person",)
    )
    return FusionResult(
        np.full((64, 96, 3), 40 * index, np.uint8),
        np.full((64, 96), 200, np.uint8),
        np.zeros((64, 96, 3), np.uint8),
        10**18 + index * 10**8,
        "rgb",
        CameraInfo(96, 64, k=(90.0, 0, 48, 0, 90, 32, 0, 0, 1)),
        detections=found,
        faults=FaultReport(("thermal_frozen",)) if index == 2 else FaultReport(),
        measured=np.full((64, 96), 310.15, np.float32),
        timings_ms={"fuse": 3.0 + index},
    )


def test_a_recording_for_rerun_has_everything(tmp_path) -> None:
    pytest.importorskip("rerun", reason="needs rerun-sdk")
    path = tmp_path / "run.rrd"
    with RerunFile(path) as file:
        for index in range(3):
            file.add(result(index))
    # By its own program, which has a home here so that it leaves no settings behind.
    command = [sys.executable, "-m", "rerun", "rrd", "print", "-vvv", str(path)]
    home = os.environ | {"HOME": str(tmp_path / "home")}
    said = subprocess.run(command, env=home, capture_output=True, text=True, check=True).stdout
    assert said.count("person 0.80") == 3 and "thermal_frozen" in said
    assert {
        "/fused",
        "/fused/objects",
        "/ms/fuse",
        "/rgb",
        "/thermal",
        "/faults",
        "/hottest/celsius",
    } <= set(re.findall(r"entity_path: (\S+)", said))


def test_nothing_is_left_of_a_recording_that_failed(tmp_path) -> None:
    pytest.importorskip("rerun", reason="needs rerun-sdk")
    with pytest.raises(ValueError, match="stop"), RerunFile(tmp_path / "run.rrd") as file:
        file.add(result(0))
        raise ValueError("stop")
    assert not list(tmp_path.iterdir())


def test_foxglove_gets_what_it_subscribed() -> None:
    pytest.importorskip("foxglove", reason="needs foxglove-sdk")
    client = pytest.importorskip("websockets.sync.client", reason="needs websockets")
    with FoxgloveServer(0) as server:
        address = f"ws://127.0.0.1:{server.port}"
        with client.connect(address, subprotocols=["foxglove.sdk.v1"]) as line:
            topics: dict[str, dict] = {}
            while len(topics) < 6:
                message = line.recv(timeout=10)
                if isinstance(message, str) and json.loads(message)["op"] == "advertise":
                    topics |= {each["topic"]: each for each in json.loads(message)["channels"]}
            assert set(topics) == {
                "/thermal/image", "/rgb/image", "/fused/image", "/fused/objects", "/fused/calibration",
                "/status",
            }  # fmt: skip
            assert topics["/fused/objects"]["schemaName"] == "foxglove.ImageAnnotations"
            wanted = [
                {"id": number, "channelId": topics[topic]["id"]}
                for number, topic in enumerate(("/status", "/fused/image"))
            ]
            line.send(json.dumps({"op": "subscribe", "subscriptions": wanted}))
            contents: dict[int, bytes] = {}
            while len(contents) < 2:
                server.add(result(1))
                while True:
                    try:
                        message = line.recv(timeout=0.1)
                    except TimeoutError:
                        break
                    if isinstance(message, bytes) and message[0] == 1:
                        contents[int.from_bytes(message[1:5], "little")] = message[13:]
            assert json.loads(contents[0])["mode"] == "fused"
            assert b"\xff\xd8" in contents[1] and b"jpeg" in contents[1]
