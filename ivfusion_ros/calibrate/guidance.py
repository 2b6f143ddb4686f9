"""What views of the board are still missing, judged while frames come in, before any lens is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.calibrate.boards import Board
from ivfusion_ros.calibrate.plane import find_homography
from ivfusion_ros.types import CameraName, Floats, Size

if TYPE_CHECKING:
    from ivfusion_ros.calibrate.corners import Corners

_EDGE_SHARE = 0.2
_TILT_DEG = 12.0
_RANGE = 1.4
_FOCAL_WIDTHS = 1.1


@dataclass(eq=False)
class Guide:
    """What the views of one camera cover.

    low, high: (2,) outermost pixels that were seen, as shares of the image. tilts_deg: of each view,
    around the upright and the level axis; distances: relative ones. Both from a usual angle of view.
    """

    camera: CameraName
    board: Board
    size: Size
    low: Floats = field(default_factory=lambda: np.ones(2))
    high: Floats = field(default_factory=lambda: np.zeros(2))
    tilts_deg: list[Floats] = field(default_factory=list)
    distances: list[float] = field(default_factory=list)

    def add(self, corners: Corners) -> None:
        """One more view."""
        places = (corners.pixels + 0.5) / np.array(self.size)
        self.low, self.high = (
            np.minimum(self.low, places.min(axis=0)),
            np.maximum(self.high, places.max(axis=0)),
        )
        tilt_deg, distance = self._pose(corners)
        self.tilts_deg.append(tilt_deg)
        self.distances.append(distance)

    def missing(self) -> list[str]:
        """What to show next, each in a few words; empty where the views are various enough."""
        if not self.tilts_deg:
            return [f"no view of the board in the {self.camera} image"]
        near = [
            ("left", self.low[0] > _EDGE_SHARE), ("right", self.high[0] < 1 - _EDGE_SHARE),
            ("upper", self.low[1] > _EDGE_SHARE), ("lower", self.high[1] < 1 - _EDGE_SHARE),
        ]  # fmt: skip
        lines = [
            f"no view at the {side} edge of the {self.camera} image" for side, wanting in near if wanting
        ]
        tilts = np.array(self.tilts_deg)
        for axis, way in enumerate(("to the side", "up or down")):
            if np.ptp(tilts[:, axis]) < 2 * _TILT_DEG:
                lines.append(
                    f"few {self.camera} views with the board turned {way}, by 20 to 40 degrees both ways"
                )
        if max(self.distances) < _RANGE * min(self.distances):
            lines.append(f"all {self.camera} views from about one distance: show it nearer and farther")
        return lines

    def _pose(self, corners: Corners) -> tuple[Floats, float]:
        """Turn around the upright and the level axis in degrees, and distance, in units of no meaning."""
        focal = _FOCAL_WIDTHS * self.size[0]
        rays = (corners.pixels - np.array(self.size) / 2) / focal
        homography = find_homography(
            self.board.points[corners.ids, :2].astype(np.float64), rays.astype(np.float64)
        )
        scale = np.linalg.norm(homography[:, :2], axis=0).mean()
        normal = np.cross(homography[:, 0], homography[:, 1])
        normal *= np.sign(normal[2]) / np.linalg.norm(normal)
        tilt = np.degrees(np.arctan2(normal[:2], normal[2]))
        return np.asarray(tilt, np.float64), abs(float(1 / scale))
