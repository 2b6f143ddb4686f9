"""`ivfusion calibrate --import`: files of other tools in, a calibration file out."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING

from ivfusion_ros.calibrate.imported import import_calibration
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import write_calibration
from ivfusion_ros.geometry.choices import DEFAULT_PLANE_DISTANCE_M
from ivfusion_ros.options.calibrate_import import UNITS_M

if TYPE_CHECKING:
    import argparse

    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


def run_import(options: argparse.Namespace) -> None:
    """Write the calibration, and say what it was taken from. Raises ConfigError."""
    imported = import_calibration(
        options.imported,
        {"thermal": options.thermal_camera, "rgb": options.rgb_camera},
        {"thermal": _size(options.thermal_size), "rgb": _size(options.rgb_size)},
        UNITS_M[options.unit],
        options.plane_distance or DEFAULT_PLANE_DISTANCE_M,
    )
    write_calibration(options.out, imported.calibration)
    for line in imported.lines:
        log.info("%s", line)
    if imported.missing:
        log.warning("note: %s", imported.missing)
    log.info("calibration: %s", options.out)


def _size(text: str | None) -> Size | None:
    if text is None:
        return None
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if match is None:
        raise ConfigError(f"size is {text!r}, expected WxH in pixels, such as 640x512")
    return int(match[1]), int(match[2])
