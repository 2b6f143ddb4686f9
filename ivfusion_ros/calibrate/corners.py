"""What is found of a board in one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import Floats32


@dataclass(frozen=True, eq=False)
class Corners:
    """Corners, or centres of circles.

    ids: (N,) rising indices into the board's points. pixels: (N, 2) float32, integers are centres.
    """

    ids: npt.NDArray[np.intp]
    pixels: Floats32

    def __len__(self) -> int:
        return len(self.ids)
