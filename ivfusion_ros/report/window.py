"""A window on this machine's display that shows what is fused now: thermal, RGB and fused, with boxes."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.draw import triptych

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.types import FusionResult, Image

PARTS = 3
_MAX_WIDTH = 1600
_LEAST_S = 1 / 17
"""Between pictures, as on the live page."""
_PROBE = "import cv2; cv2.namedWindow('ivfusion')"
_PROBE_S = 30.0
_END_KEYS = (ord("q"), 27)


class Window:
    """Shows results in its `with` block. Keys: 1 thermal, 2 RGB, 3 fused, 0 all, b boxes; q closes it.

    Who closes it stops nothing else. Raises ConfigError where OpenCV cannot open one.
    """

    def __init__(self, title: str) -> None:
        check_window()
        self._title = title
        self._open = True
        self._shown_s = 0.0
        self._part: int | None = None
        self._boxes = True

    def __enter__(self) -> Window:
        kind = cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL
        cv2.namedWindow(self._title, kind)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def add(self, result: FusionResult) -> None:
        """Show a result, unless the last one has only just been drawn."""
        if not self._open:
            return
        now_s = time.monotonic()
        if now_s - self._shown_s >= _LEAST_S:
            first, self._shown_s = not self._shown_s, now_s
            picture = self._picture(result)
            if first:
                cv2.resizeWindow(self._title, picture.shape[1], picture.shape[0])
            cv2.imshow(self._title, picture[..., ::-1])
        self._obey(cv2.pollKey())

    def _picture(self, result: FusionResult) -> Image:
        """(H, W, 3) RGB."""
        picture = triptych(result if self._boxes else replace(result, detections=None))
        if self._part is not None:
            picture = np.split(picture, PARTS, axis=1)[self._part]
        height, width = picture.shape[:2]
        if width <= _MAX_WIDTH:
            return picture
        size = (_MAX_WIDTH, max(1, round(height * _MAX_WIDTH / width)))
        return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)

    def _obey(self, key: int) -> None:
        if key in _END_KEYS or cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1:
            self._close()
        elif key == ord("b"):
            self._boxes = not self._boxes
        elif ord("0") <= key <= ord("0") + PARTS:
            self._part = key - ord("1") if key > ord("0") else None

    def _close(self) -> None:
        if self._open:
            self._open = False
            # Its own cross may have closed it a moment ago.
            cv2.destroyAllWindows()


def check_window() -> None:
    """Raise ConfigError where OpenCV has no windows, or finds no display.

    A process of its own tries it, since what OpenCV draws by ends the process where there is no display.
    """
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        raise ConfigError(
            "--window needs an OpenCV that has windows; the one here, opencv-python-headless, has none and "
            "runs without a display. pip install opencv-python puts one with windows over it; --web shows "
            "the same in a browser"
        )
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=_PROBE_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConfigError(f"--window: no window opened within {_PROBE_S:g} s; use --web") from error
    if tried.returncode:
        said = next((line.strip() for line in tried.stderr.splitlines() if line.strip()), "")
        raise ConfigError(
            "--window needs a display, and OpenCV could not open a window on this one "
            f"({said or f'status {tried.returncode}'}); run it in a desktop session, or use --web, which "
            "any browser shows"
        )
