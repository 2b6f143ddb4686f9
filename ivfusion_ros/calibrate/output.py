"""Writing a calibration and its picture, whole or not at all."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.images.files import write_image

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}.partial.", dir=path.parent) as folder:
            written = Path(folder) / path.name
            write_calibration(written, calibration)
            write_image(picture, report)
            # The maps first: the YAML names them.
            for item in (written.with_suffix(".npz"), written):
                if item.exists():
                    item.replace(path.parent / item.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return picture
