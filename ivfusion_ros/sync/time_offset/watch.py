"""The clock offset as a diagnostic of a running node: a thread of its own, at a bounded cost."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from ivfusion_ros.sync.time_offset.estimate import TimeOffset, TimeOffsetMonitor

if TYPE_CHECKING:
    from collections.abc import Callable

    from ivfusion_ros.types import CameraName, Frame


SHARE = 0.015
"""of a CPU core that the thread may take; add() takes as much as 0.2 % more"""
WINDOW_S = 60.0
_WATCH_S = 10.0
"""Frames are followed for this long, then comes an estimate, and then the rest that SHARE asks for."""
_MIN_INTERVAL_NS = 60_000_000
"""Every second frame of 30 Hz: the motion of a rig is slower."""
_MAX_WAITING = 8
_PATIENCE_S = 1.0
"""For a thread that has a ms of work left at most."""
_SURE_ERRORS = 3.0
_MATTERS_NS = 5_000_000

NOT_YET = TimeOffset(None, None, 0.0, "the cameras are being watched")


class TimeOffsetWatch:
    """Follows both cameras' frames and estimates the offset now and then, in a thread of its own.

    add() and latest are safe in any thread. Only one of several frames is looked at, and none while the
    thread has used up its share of a core, so that a slow machine has fewer estimates, not less time.

    share, watch_s: for tests. on_defect: called with an exception that ended the watching.
    """

    def __init__(
        self,
        on_defect: Callable[[Exception], object],
        *,
        share: float = SHARE,
        watch_s: float = _WATCH_S,
    ) -> None:
        self.latest = NOT_YET
        self._on_defect = on_defect
        self._share = share
        self._watch_s = watch_s
        self._monitor = TimeOffsetMonitor(WINDOW_S)
        self._waiting: deque[tuple[CameraName, Frame]] = deque()
        self._last_ns: dict[CameraName, int] = {}
        self._changed = threading.Condition()
        self._resting = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="time offset", daemon=True)
        self._thread.start()

    def add(self, camera: CameraName, frame: Frame) -> None:
        """Take a frame, as the camera sent it; returns at once."""
        stamp_ns = int(frame.stamp_ns)
        with self._changed:
            passed_ns = stamp_ns - self._last_ns.get(camera, stamp_ns - _MIN_INTERVAL_NS)
            if self._resting or 0 <= passed_ns < _MIN_INTERVAL_NS or len(self._waiting) >= _MAX_WAITING:
                return
            self._last_ns[camera] = stamp_ns
            self._waiting.append((camera, frame))
            self._changed.notify()

    def close(self) -> None:
        """End the thread, which gives up what it is at; on a machine that is too busy it ends by itself."""
        with self._changed:
            self._stopping = True
            self._waiting.clear()
            self._changed.notify()
        self._thread.join(_PATIENCE_S)

    def _run(self) -> None:
        self._used_s = time.thread_time()
        try:
            while not self._stopping:
                self._follow()
                self._rest()
        except InterruptedError:
            # It was closed during an estimate.
            pass
        except Exception as error:  # noqa: BLE001
            # What only informs must not end what works.
            self._on_defect(error)

    def _follow(self) -> None:
        """Watch for a while, then estimate."""
        self._started_s, self._used_s = time.monotonic(), time.thread_time()
        end_s = self._started_s + self._watch_s
        seen = False
        while (left_s := end_s - time.monotonic()) > 0 and not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping, left_s)
                item = self._waiting.popleft() if self._waiting else None
            if item is not None:
                seen = True
                camera, frame = item
                self._monitor.add(camera, frame)
        if seen and not self._stopping:
            self.latest = self._monitor.estimate(lambda: self._stopping)

    def _rest(self) -> None:
        used_s = time.thread_time() - self._used_s
        left_s = self._started_s + used_s / self._share - time.monotonic()
        if left_s <= 0:
            return
        with self._changed:
            self._resting = True
            self._waiting.clear()
            self._changed.wait_for(lambda: self._stopping, left_s)
            self._resting = False


def time_offset_advice(offset: TimeOffset, configured_ns: int) -> tuple[bool, str]:
    """Whether the configured thermal_time_offset is wrong, and what to say; for /diagnostics.

    It is wrong where the estimate is away from it by more than 3 standard errors and 5 ms.
    """
    if offset.offset_ns is None or offset.standard_error_ns is None:
        return False, f"not known: {offset.reason}"
    found_ms, error_ms = offset.offset_ns / 1e6, offset.standard_error_ns / 1e6
    found = f"the thermal clock is {abs(found_ms):.1f} ms {'behind' if found_ms >= 0 else 'ahead'}"
    apart_ns = abs(offset.offset_ns - configured_ns)
    if apart_ns <= max(_MATTERS_NS, _SURE_ERRORS * offset.standard_error_ns):
        return False, f"{found} (standard error {error_ms:.1f} ms), as configured"
    return True, (
        f"{found} (standard error {error_ms:.1f} ms): set pairing.thermal_time_offset_ms to "
        f"{found_ms:.1f}, it is {configured_ns / 1e6:g}"
    )
