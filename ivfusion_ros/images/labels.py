"""Boxes of objects on disk, in the form that YOLO trains on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Boxes, Size


def read_boxes(path: Path, size: Size) -> tuple[Boxes, npt.NDArray[np.int64]]:
    """(N, 4) boxes in pixels and (N,) class ids of a label file; size: (width, height) of its image."""
    rows = [[float(word) for word in line.split()] for line in path.read_text("utf-8").splitlines()]
    values = np.array(rows, np.float32).reshape(-1, 5)
    scale = np.array(size, np.float32)
    centres, halves = values[:, 1:3] * scale, values[:, 3:] * scale / 2
    return np.concatenate([centres - halves, centres + halves], axis=1), values[:, 0].astype(np.int64)
