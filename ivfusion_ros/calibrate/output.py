"""Writing a calibration and its picture, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ivfusion_ros.image_files import write_image
from ivfusion_ros.registration.calibration import Calibration, write_calibration
from ivfusion_ros.types import Image


def write_outputs(
    path: Path, calibration: Calibration, more_quality: Mapping[str, Any], report: Image
) -> Path:
    """Write the YAML, and the picture beside it; returns the picture's path.

    more_quality: added to the calibration's. Raises ConfigError, ImageError.
    """
    picture = path.with_suffix(".png")
    partial = path.with_name(f".{path.stem}.partial.yaml")
    calibration = replace(calibration, quality={**calibration.quality, **more_quality})
    try:
        write_calibration(partial, calibration)
        write_image(picture, report)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return picture
