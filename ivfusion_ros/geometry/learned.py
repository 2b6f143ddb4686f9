"""Where a calibration goes that took up what online refinement has learned."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from ivfusion_ros.geometry.calibration import Calibration, write_calibration

_NUMBERED = re.compile(r"_accepted_\d+$")


def write_learned(path: str | Path, calibration: Calibration) -> Path:
    """Write a calibration beside the one that it came from; returns the new file.

    rig.yaml gives rig_accepted_1.yaml, or the first number that is free; nothing is overwritten, and the
    file appears with its whole content. Raises ConfigError.
    """
    path = Path(path)
    stem = _NUMBERED.sub("", path.stem)
    free = (path.with_name(f"{stem}_accepted_{number}{path.suffix}") for number in itertools.count(1))
    target = next(item for item in free if not (item.exists() or item.with_suffix(".npz").exists()))
    write_calibration(target, calibration)
    return target
