"""What people look at after a replay: a film and a contact sheet of thermal | RGB | fused."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Generic, TypeVar

import cv2
import numpy as np

from ivfusion_ros.images.draw import triptych
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.images.video import VideoWriter

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from ivfusion_ros.types import FusionResult, Image, Size

ROWS = 8
"""Pairs on a contact sheet, at most."""
SHEET_WIDTH = 1200
"""Of a contact sheet in pixels: letters of boxes are legible in a third of it."""


Item = TypeVar("Item")


class EvenSample(Generic[Item]):
    """Keeps up to `size` items spread evenly over a stream of unknown length, in flat memory."""

    def __init__(self, size: int) -> None:
        self.items: list[tuple[int, Item]] = []
        self._size = size
        self._stride = 1

    def wants(self, index: int) -> bool:
        """Whether item number `index` (from 0, in order) is to be kept for now."""
        return index % self._stride == 0

    def add(self, index: int, item: Item) -> None:
        """Keep an item that is wanted; thins out when there are too many."""
        self.items.append((index, item))
        if len(self.items) > 2 * self._size:
            self.items = self.items[::2]
            self._stride *= 2

    def chosen(self) -> list[tuple[int, Item]]:
        """The final selection."""
        step = -(-len(self.items) // self._size) if self.items else 1
        return self.items[::step]


class Pictures:
    """Takes results; writes the film as they come and the sheet at the end. None leaves one out."""

    def __init__(self, video: Path | None, sheet: Path | None, rate_hz: float) -> None:
        self._sheet = sheet
        self._sample: EvenSample[Image] = EvenSample(ROWS)
        self._count = 0
        self._first_stamp_ns = 0
        self._seconds: dict[int, float] = {}
        self._size: Size | None = None
        self._stack = ExitStack()
        self._video = self._stack.enter_context(VideoWriter(video, rate_hz)) if video else None

    def __enter__(self) -> Pictures:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)
        if kind is None and self._sheet is not None and self._count:
            chosen = self._sample.chosen()
            titles = [f"pair {index}, {self._seconds[index]:.2f} s" for index, _ in chosen]
            write_image(
                self._sheet, contact_sheet([image for _, image in chosen], titles, cell_width=SHEET_WIDTH)
            )

    def add(self, result: FusionResult) -> None:
        """Take the next result."""
        if self._count == 0:
            self._first_stamp_ns = result.stamp_ns
        wanted = self._sheet is not None and self._sample.wants(self._count)
        if self._video is not None or wanted:
            if self._video is not None:
                self._video.write(self._scaled(triptych(result)))
            if wanted:
                self._seconds[self._count] = (result.stamp_ns - self._first_stamp_ns) / 1e9
                self._sample.add(self._count, triptych(result, SHEET_WIDTH // 3))
        self._count += 1

    def _scaled(self, picture: Image) -> Image:
        """A camera may change its resolution on the way; a film has one size."""
        size = (picture.shape[1], picture.shape[0])
        self._size = self._size or size
        return picture if size == self._size else np.asarray(cv2.resize(picture, self._size), np.uint8)
