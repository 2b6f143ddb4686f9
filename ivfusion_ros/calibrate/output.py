"""Writing a calibration and its picture, whole or not at all."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import whole_files
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.images.files import write_image

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ivfusion_ros.types import Image


def write_outputs(
    path: Path, calibration: Calibration, more_quality: Mapping[str, Any], report: Image
) -> Path:
    """Write the YAML, its maps where it has some, and the picture beside it; returns the picture's path.

    more_quality: added to the calibration's. Raises ConfigError, ImageError.
    """
    picture = path.with_suffix(".png")
    calibration = replace(calibration, quality={**calibration.quality, **more_quality})
    try:
        with whole_files(path) as staged:
            write_calibration(staged, calibration)
            write_image(picture, report)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return picture
