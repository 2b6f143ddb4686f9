"""Rest: nobody wants what comes of images, so they are not even received."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ivfusion_ros.ros.inputs import ImageInput

AFTER_S = 1.0
"""How long images are only left alone, before their subscriptions close."""


class Rest:
    """Closes the inputs when images have come for a while that nobody wants, and opens them at once.

    began_s: since when images are worked on or waited for, by time.monotonic. reason: gives why images are
    unwanted, for people; empty where somebody wants them. inputs: gives those that are open or closed here.
    restart: called before work begins again, as what was smoothed or waits is old by then. wakes: whether
    `look` is called as soon as somebody listens; else inputs stay open.
    """

    def __init__(
        self,
        reason: Callable[[], str],
        inputs: Callable[[], Iterable[ImageInput]],
        restart: Callable[[], None],
        *,
        wakes: bool,
    ) -> None:
        self.closed = False
        self.began_s = time.monotonic()
        self._reason, self._inputs, self._restart, self._wakes = reason, inputs, restart, wakes
        self._since_s: float | None = None

    def begin(self) -> None:
        """The inputs were just made, and are open."""
        self.closed, self._since_s, self.began_s = False, None, time.monotonic()

    def awake(self) -> bool:
        """Whether an image that came is to be worked on."""
        if not self._reason():
            self._wake()
            return True
        now_s = time.monotonic()
        if self._since_s is None:
            self._since_s = now_s
        if self._wakes and not self.closed and now_s - self._since_s >= AFTER_S:
            self.closed = True
            for item in self._inputs():
                item.close()
        return False

    def look(self) -> None:
        """End a rest where images are wanted now; one begins with an image that nobody wants."""
        if not self._reason():
            self._wake()

    def _wake(self) -> None:
        rested, self._since_s = self._since_s is not None, None
        if rested:
            self.began_s = time.monotonic()
            self._restart()
        if self.closed:
            self.closed = False
            for item in self._inputs():
                item.open()
