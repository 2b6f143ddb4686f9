"""Other people's trackers behind our interface, where they are installed; one per class, as they know none.

pip install edgefirst-tracker; pip install --no-deps trackers supervision pydeprecate defusedxml. The latter
is Roboflow's (Apache-2.0) and asks for an OpenCV that takes the headless one's place, hence --no-deps.
"""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.types import UNTRACKED, Detections

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import Image

SURE, LIFE_S = 0.5, 1.5
"""As tracking.start_confidence and tracking.lost_after_s are."""


class PerClass:
    """track(tracker, boxes, scores, stamp_ns, image): a name for each box, None for an untracked one."""

    def __init__(self, make: Callable[[], Any], track: Callable[..., list[Any]]) -> None:
        self._make, self._track = make, track
        self._trackers: dict[int, Any] = {}
        self._numbers: dict[Any, int] = {}

    def __call__(self, detections: Detections, stamp_ns: int, image: Image | None = None) -> Detections:
        track_ids = np.full(len(detections), UNTRACKED, np.int64)
        for class_id in sorted({*self._trackers, *detections.class_ids.tolist()}):
            if class_id not in self._trackers:
                self._trackers[class_id] = self._make()
            own = np.flatnonzero(detections.class_ids == class_id)
            boxes, scores = detections.boxes_xyxy[own], detections.scores[own]
            names = self._track(self._trackers[class_id], boxes, scores, stamp_ns, image)
            track_ids[own] = [self._number(class_id, name) for name in names]
        return replace(detections, track_ids=track_ids)

    def _number(self, class_id: int, name: Any) -> int:
        if name is None:
            return UNTRACKED
        return self._numbers.setdefault((class_id, name), len(self._numbers) + 1)


def other_trackers(rate_hz: float) -> dict[str, Callable[[], PerClass]]:
    """Those that are installed. Thresholds are ours where they have such a one; a track is told at once."""
    found: dict[str, Callable[[], PerClass]] = {}
    if find_spec("edgefirst"):
        found["edgefirst-tracker (ByteTrack)"] = lambda: PerClass(_edgefirst, _by_edgefirst)
    if find_spec("trackers"):
        found |= _roboflow(rate_hz)
    return found


def _edgefirst() -> Any:
    from edgefirst.tracker import ByteTrack

    return ByteTrack(high_conf=SURE, iou=0.25, update=0.5, lifespan_ns=round(LIFE_S * 1e9))


def _by_edgefirst(tracker: Any, boxes: Any, scores: Any, stamp_ns: int, image: Image | None) -> list[Any]:
    tracks = tracker.update(boxes, scores, np.zeros(len(boxes), np.uintp), stamp_ns)
    return [track and track.uuid for track in tracks]


def _roboflow(rate_hz: float) -> dict[str, Callable[[], PerClass]]:
    import trackers

    # A buffer counts images at 30 a second.
    always = {
        "frame_rate": rate_hz,
        "lost_track_buffer": round(30 * LIFE_S),
        "minimum_consecutive_frames": 1,
    }
    start, sure = {"track_activation_threshold": SURE}, {"high_conf_det_threshold": SURE}
    kinds = {
        "SORT": (trackers.SORTTracker, start | {"minimum_iou_threshold": 0.25}),
        "ByteTrack": (trackers.ByteTrackTracker, start | sure),
        "OC-SORT": (trackers.OCSORTTracker, sure | {"minimum_iou_threshold": 0.2}),
        "C-BIoU": (trackers.CBIoUTracker, start | sure),
        "BoT-SORT": (trackers.BoTSORTTracker, start | sure),
    }
    return {
        f"trackers {name}": lambda kind=kind, settings=settings, name=name: PerClass(
            lambda: kind(**always, **settings), _by_roboflow
        )
        for name, (kind, settings) in kinds.items()
    }


def _by_roboflow(
    tracker: Any, boxes: npt.NDArray[np.float32], scores: Any, stamp_ns: int, image: Image | None
) -> list[Any]:
    import supervision

    places = np.arange(len(boxes))
    given = supervision.Detections(xyxy=boxes, confidence=scores, data={"place": places})
    extra = {"frame": image} if tracker.tracker_id == "botsort" else {}
    found = tracker.update(given, timestamp=1 + stamp_ns / 1e9, **extra)
    names: list[Any] = [None] * len(boxes)
    if len(found):
        for place, name in zip(found.data["place"], found.tracker_id, strict=True):
            names[place] = None if name < 0 else int(name)
    return names
