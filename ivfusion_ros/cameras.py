"""The two cameras, by name."""

from __future__ import annotations

from typing import Literal

CameraName = Literal["thermal", "rgb"]

CAMERAS: tuple[CameraName, CameraName] = ("thermal", "rgb")
"""Also what the folders of a pair's images are called unless the user says otherwise."""

OTHER_CAMERA: dict[CameraName, CameraName] = {"thermal": "rgb", "rgb": "thermal"}
