"""Frames that a recorder gave no log time, put where their stamps belong."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ivfusion_ros.types import CameraName, Frame

_MAX_WAITING = 32
"""Frames of a camera that wait for their turn, which takes memory; more of them come as they are."""

_SECOND_NS = 1_000_000_000


def in_place(frames: Iterable[tuple[CameraName, Frame]]) -> Iterator[tuple[CameraName, Frame]]:
    """Frames in order of log times -> those of log time 0 before their camera's next one by stamp.

    They would come first, and all frames of earlier stamps would be late.
    """
    waiting: dict[CameraName, list[tuple[int, int, Frame]]] = {camera: [] for camera in CAMERAS}
    for index, (camera, frame) in enumerate(frames):
        own = waiting[camera]
        # Simulations begin at 0, with stamps to match.
        if frame.received_ns == 0 and frame.stamp_ns >= _SECOND_NS and len(own) < _MAX_WAITING:
            heapq.heappush(own, (frame.stamp_ns, index, frame))
            continue
        while own and own[0][0] < frame.stamp_ns:
            yield camera, heapq.heappop(own)[2]
        yield camera, frame
    for camera, own in waiting.items():
        while own:
            yield camera, heapq.heappop(own)[2]
