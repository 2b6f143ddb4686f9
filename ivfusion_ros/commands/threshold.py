"""`--set-threshold`: a detector's own threshold, written into a file of the user's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.detection.detector import THRESHOLD_KEY
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.evaluation.detection.levels import ENOUGH_IMAGES, FALSE_ALARMS
from ivfusion_ros.graphs.onnx_file import set_metadata
from ivfusion_ros.models import read_models

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.evaluation.detection.calibration import Calibration

log = logging.getLogger(__name__)


def check_own_file(detector: Path) -> None:
    """Raise ConfigError for a file that ships: models.yaml states its hash, and others may run it."""
    for entry in read_models().values():
        if entry.path.resolve() == detector.resolve():
            mine = f"{entry.name}_mine.onnx"
            raise ConfigError(
                f"--set-threshold writes into the detector's file, and {entry.name} is one that ships; "
                f"copy it first, and judge the copy: cp {detector} {mine}; --detector {mine}"
            )


def check_enough(images: int) -> None:
    """Raise DataError where so few images say nothing about rare false alarms."""
    if images < ENOUGH_IMAGES:
        wrong = int(FALSE_ALARMS * images)
        raise DataError(
            f"--set-threshold has {images} images, of all kinds together, which may have {wrong} wrong "
            f"boxes in all at {FALSE_ALARMS:g} false alarms; expected at least {ENOUGH_IMAGES} images. "
            "Leave it out to see the figures; detection.confidence sets a threshold by hand"
        )


def set_threshold(detector: Path, pooled: Calibration) -> None:
    """Write the threshold of some images into the file. Raises DataError for too few, ModelError."""
    check_enough(pooled.images)
    threshold = pooled.threshold()
    set_metadata(detector, THRESHOLD_KEY, f"{threshold:g}")
    log.info("%s recommends a threshold of %g now, by %d images", detector, threshold, pooled.images)
