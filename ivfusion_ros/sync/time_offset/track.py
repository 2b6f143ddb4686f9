"""Where the still world lies in one camera's frames, whatever its modality."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.sync.time_offset.shift import Reference
from ivfusion_ros.types import AnyImage, Floats, Floats32

if TYPE_CHECKING:
    from ivfusion_ros.types import Frame


WIDTH = 96
"""of the thumbnails, pixels"""
_MIN_HEIGHT = 32
_REFERENCE_REACH_PX = 10.0
_REFERENCE_AGE_NS = 3_000_000_000


@dataclass(frozen=True, eq=False)
class Motion:
    """times_s: (N,) rising, of frames that differ. positions: (N, 2) x and y of the world, pixels.

    repeated: how many further frames of the same time were the same as the one before.
    """

    times_s: Floats
    positions: Floats
    repeated: int = 0


class MotionTrack:
    """Follows one camera; keeps the last window_s seconds (None: everything).

    A frame that repeats the one before (shutter, a driver that resends) or is not later is left out.
    """

    def __init__(self, window_s: float | None = None) -> None:
        self._window_ns = None if window_s is None else round(window_s * 1e9)
        self._stamps_ns: deque[int] = deque()
        self._positions: deque[Floats] = deque()
        self._repeated_ns: deque[int] = deque()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._stamps_ns.clear()
        self._positions.clear()
        self._repeated_ns.clear()
        self._thumbnail: npt.NDArray[np.generic] | None = None
        self._picture: Floats32 | None = None
        self._reference: Reference | None = None
        self._reference_ns = 0
        self._origin: Floats = np.zeros(2)

    @property
    def stamps_ns(self) -> deque[int]:
        """Of the frames that are kept."""
        return self._stamps_ns

    def add(self, frame: Frame) -> None:
        """Take the next frame."""
        thumbnail, stamp_ns = _thumbnail(frame.image), int(frame.stamp_ns)
        if self._thumbnail is not None and self._thumbnail.shape != thumbnail.shape:
            self.reset()
        if self._stamps_ns and stamp_ns <= self._stamps_ns[-1]:
            return
        if self._thumbnail is not None and np.array_equal(thumbnail, self._thumbnail):
            self._repeated_ns.append(stamp_ns)
            self._forget(self._repeated_ns, stamp_ns)
            return
        picture = np.asarray(cv2.GaussianBlur(thumbnail.astype(np.float32), (5, 5), 1.2), np.float32)
        self._positions.append(self._locate(picture, stamp_ns))
        self._stamps_ns.append(stamp_ns)
        self._thumbnail, self._picture = thumbnail, picture
        self._forget(self._repeated_ns, stamp_ns)
        for _ in range(self._forget(self._stamps_ns, stamp_ns)):
            self._positions.popleft()

    def _forget(self, stamps_ns: deque[int], now_ns: int) -> int:
        """Drop what is older than the window; how many."""
        before = len(stamps_ns)
        while self._window_ns is not None and stamps_ns and now_ns - stamps_ns[0] > self._window_ns:
            stamps_ns.popleft()
        return before - len(stamps_ns)

    def motion(self, origin_ns: int) -> Motion:
        """What was seen, with times in seconds since origin_ns."""
        times = np.array([stamp - origin_ns for stamp in self._stamps_ns], np.float64) / 1e9
        return Motion(times, np.array(self._positions, np.float64).reshape(-1, 2), len(self._repeated_ns))

    def _locate(self, picture: Floats32, stamp_ns: int) -> Floats:
        if self._reference is None or self._picture is None:
            self._reference, self._reference_ns = Reference(picture), stamp_ns
            return self._origin
        last = self._positions[-1]
        moved = last - self._origin
        # The same reference for as long as it serves: errors of many small steps would add up.
        if np.hypot(*moved) > _REFERENCE_REACH_PX or stamp_ns - self._reference_ns > _REFERENCE_AGE_NS:
            self._reference, self._reference_ns = Reference(self._picture), stamp_ns
            self._origin, moved = last, np.zeros(2)
        return np.asarray(self._origin + self._reference.shift(picture, moved))


def _thumbnail(image: AnyImage) -> npt.NDArray[np.generic]:
    """(H, WIDTH) of the image's dtype; of a colour image its green channel."""
    height, width = image.shape[:2]
    # Two by two pixels of each block are enough, and reading all of them would take most of the time.
    step = max(1, width // (2 * WIDTH))
    grey: npt.NDArray[Any] = image[::step, ::step] if image.ndim == 2 else image[::step, ::step, 1]
    if grey.dtype == np.float32:
        grey = np.nan_to_num(grey, posinf=0.0, neginf=0.0)
    size = (WIDTH, max(_MIN_HEIGHT, round(WIDTH * height / width)))
    return np.asarray(cv2.resize(np.ascontiguousarray(grey), size, interpolation=cv2.INTER_AREA))
