"""Calibration files of other tools: known by what is in them."""

from __future__ import annotations

import re
from pathlib import Path

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import MAX_YAML_BYTES, read_bytes
from ivfusion_ros.geometry.choices import TOOLS, Tool

_SIGNS: dict[Tool, re.Pattern[str]] = {
    # Its header, its tags, and the first elements of its XML and JSON.
    "OpenCV": re.compile(r"\A\s*%YAML:1\.0|!!opencv-|<opencv_storage|\"opencv-matrix\""),
    "Kalibr": re.compile(r"^\s+(camera_model|T_cn_cnm1|cam_overlaps)\s*:", re.MULTILINE),
    "ROS": re.compile(
        r"^(camera_matrix|distortion_coefficients|rectification_matrix|projection_matrix|binning_x)\s*:",
        re.MULTILINE,
    ),
}


def tool_of(path: str | Path) -> Tool | None:
    """The tool that a file is of, None where it is none of them. Raises ConfigError."""
    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode(errors="replace")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    return next((tool for tool, sign in _SIGNS.items() if sign.search(text)), None)


def refuse_other_tools(path: str | Path) -> None:
    """Raise ConfigError, with how to import it, for a file of another tool."""
    tool = tool_of(path)
    if tool is not None:
        raise ConfigError(
            f"{path} is {TOOLS[tool]} ({tool}'s format), not a calibration of this package: run `ivfusion "
            f"calibrate --import {Path(path).name} --out calibration.yaml`, and give that file"
        )
