"""Identities of detected objects over time."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ivfusion_ros.detection.camera_motion import CameraMotion
from ivfusion_ros.detection.moving_boxes import MovingBoxes
from ivfusion_ros.graphs.yolo import box_iou
from ivfusion_ros.types import UNTRACKED, Detections

if TYPE_CHECKING:
    from ivfusion_ros.config.pipeline import TrackingConfig
    from ivfusion_ros.types import Floats32, Image

Indices = npt.NDArray[np.intp]


class ByteTracker:
    """The two rounds of ByteTrack (Zhang et al., ECCV 2022), with the camera's motion taken out.

    Sure detections continue a track of their class where they overlap with its predicted box, then unsure
    ones; what is left of the sure ones starts a track. Time is that of the stamps. Tracks are numbered from
    1 in the order of their first detection. Deviations from the paper: the best overlaps are taken first
    instead of the best sum of all, unsure detections continue lost tracks too, and a track has its number
    from its first detection on.
    """

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget all tracks; the next one has number 1 again."""
        self._boxes = MovingBoxes()
        self._camera = CameraMotion()
        self._numbers = np.zeros(0, np.int64)
        self._class_ids = np.zeros(0, np.int64)
        self._seen_ns = np.zeros(0, np.int64)
        self._count = 0
        self._now_ns = 0
        self._started = False

    def __call__(self, detections: Detections, stamp_ns: int, image: Image | None = None) -> Detections:
        """The same detections in the same order, with track_ids.

        image: the picture (H, W, 3) they are found in; without it the camera is taken to stand still.
        Stamps that go back by more than the life of a track start over; by less, as two cameras' clocks
        make them, they count as the time of the last call.
        """
        if stamp_ns < self._now_ns - self._lost_after_ns or not self._started:
            self.reset()
            self._now_ns, self._started = stamp_ns, True
        self._move(max(stamp_ns, self._now_ns), image)
        track_ids = np.full(len(detections), UNTRACKED, np.int64)
        sure = detections.scores >= self._config.start_confidence
        free = np.arange(len(self._numbers))
        new, free = self._continue(detections, track_ids, np.flatnonzero(sure), free)
        self._continue(detections, track_ids, np.flatnonzero(~sure), free)
        self._start(detections, track_ids, new)
        return replace(detections, track_ids=track_ids)

    @property
    def _lost_after_ns(self) -> int:
        return round(self._config.lost_after_s * 1e9)

    def _move(self, now_ns: int, image: Image | None) -> None:
        """Forget the tracks that ended, and move the others to where this image should show them."""
        alive = now_ns - self._seen_ns <= self._lost_after_ns
        self._boxes.keep(alive)
        self._numbers, self._class_ids = self._numbers[alive], self._class_ids[alive]
        self._seen_ns = self._seen_ns[alive]
        self._boxes.predict((now_ns - self._now_ns) / 1e9)
        self._now_ns = now_ns
        if image is not None and self._config.camera_motion:
            self._boxes.shift(self._camera(image))

    def _continue(
        self, detections: Detections, track_ids: npt.NDArray[np.int64], found: Indices, free: Indices
    ) -> tuple[Indices, Indices]:
        """Give these detections to these tracks; the ones and the others that are left."""
        expected, seen = self._boxes.boxes_xyxy[free], detections.boxes_xyxy[found]
        overlaps = box_iou(expected[:, None], seen[None])
        overlaps[self._class_ids[free][:, None] != detections.class_ids[found]] = 0
        rows, columns = best_first(overlaps, self._config.iou)
        tracks, own = free[rows], found[columns]
        self._boxes.correct(tracks, detections.boxes_xyxy[own])
        self._seen_ns[tracks] = self._now_ns
        track_ids[own] = self._numbers[tracks]
        return np.delete(found, columns), np.delete(free, rows)

    def _start(self, detections: Detections, track_ids: npt.NDArray[np.int64], found: Indices) -> None:
        track_ids[found] = np.arange(self._count + 1, self._count + 1 + len(found))
        self._count += len(found)
        self._boxes.add(detections.boxes_xyxy[found])
        self._numbers = np.append(self._numbers, track_ids[found])
        self._class_ids = np.append(self._class_ids, detections.class_ids[found])
        self._seen_ns = np.append(self._seen_ns, np.full(len(found), self._now_ns, np.int64))


def best_first(overlaps: Floats32, least: float) -> tuple[Indices, Indices]:
    """Rows and columns of pairs, each row and column in one pair at most, the largest overlap first.

    Pairs overlap, by `least` or more.
    """
    left = np.where(overlaps >= least, overlaps, 0)
    rows, columns = [], []
    while left.any():
        row, column = np.unravel_index(left.argmax(), left.shape)
        rows.append(row)
        columns.append(column)
        left[row], left[:, column] = 0, 0
    return np.array(rows, np.intp), np.array(columns, np.intp)
