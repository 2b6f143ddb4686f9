"""`--set-threshold`: a detector's own threshold, written into a file of the user's."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ivfusion_ros.config.parameters import assignments
from ivfusion_ros.detection.thresholds import THRESHOLD_KEY, own_thresholds, told_thresholds
from ivfusion_ros.errors import ConfigError, DataError, did_you_mean
from ivfusion_ros.evaluation.detection.levels import ENOUGH_IMAGES, FALSE_ALARMS
from ivfusion_ros.graphs.onnx_file import read_metadata, set_metadata
from ivfusion_ros.models import read_models

if TYPE_CHECKING:
    from collections.abc import Sequence
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


def set_thresholds(detector: Path, class_names: Sequence[str], texts: Sequence[str]) -> None:
    """Write those given as CLASS=SCORE into the file; other classes keep what it recommends.

    Raises ConfigError, ModelError.
    """
    given = assignments(texts, "--set-threshold")
    own = own_thresholds(read_metadata(detector), len(class_names))
    for name, score in given.items():
        if name not in class_names:
            known = ", ".join(class_names) or "none, since the file's metadata names no classes"
            raise ConfigError(
                f"--set-threshold is given for {name!r}, {did_you_mean(name, class_names)}expected one of "
                f"{known}"
            )
        if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0 <= score <= 1:
            raise ConfigError(f"--set-threshold {name} is {score!r}, expected a score from 0 to 1")
        own[list(class_names).index(name)] = score
    if given:
        set_metadata(detector, THRESHOLD_KEY, " ".join(f"{score:g}" for score in own))
        log.info("%s recommends thresholds now of %s", detector, told_thresholds(own, class_names))


def set_threshold(detector: Path, pooled: Calibration) -> None:
    """Write the threshold of some images into the file. Raises DataError for too few, ModelError."""
    check_enough(pooled.images)
    threshold = pooled.threshold()
    set_metadata(detector, THRESHOLD_KEY, f"{threshold:g}")
    log.info("%s recommends a threshold of %g now, by %d images", detector, threshold, pooled.images)
