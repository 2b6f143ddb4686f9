"""The lowest scores that a detector reports of each class, as its file recommends them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.types import Floats

THRESHOLD_KEY = "ivfusion.threshold"
"""Metadata key: lowest score to report, measured at 0.1 false alarms per image; or one for each class,
apart by spaces, in the order of the names."""
DEFAULT_THRESHOLD = 0.25
"""Of models that do not say."""


def own_thresholds(metadata: Mapping[str, str], classes: int) -> Floats:
    """(classes,) thresholds that a model's metadata recommend, DEFAULT_THRESHOLD without any.

    Raises ModelError.
    """
    text = metadata.get(THRESHOLD_KEY, str(DEFAULT_THRESHOLD))
    try:
        values = np.array([float(word) for word in text.split()])
    except ValueError:
        values = np.zeros(0)
    if len(values) not in (1, classes) or not ((values >= 0) & (values <= 1)).all():
        raise ModelError(
            f"the model's metadata `{THRESHOLD_KEY}` is {text[:80]!r}, expected a score from 0 to 1, or "
            f"one for each of {classes} classes; write it again with `ivfusion eval-detection "
            "--set-threshold`"
        )
    return np.broadcast_to(values, (classes,)).copy()


def told_thresholds(thresholds: Floats, class_names: Sequence[str]) -> str:
    """One number where all classes have the same, else the names of the classes with each."""
    if (thresholds == thresholds[0]).all():
        return f"{thresholds[0]:g}"
    names: dict[str, list[str]] = {}
    for name, threshold in zip(class_names, thresholds, strict=True):
        names.setdefault(f"{threshold:g}", []).append(name)
    return ", ".join(f"{threshold} ({', '.join(same)})" for threshold, same in names.items())
