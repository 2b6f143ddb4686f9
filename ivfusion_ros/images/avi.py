"""Times of AVI frames behind a hole: FFmpeg counts the frames that it finds, which are too few there."""

from __future__ import annotations

from typing import Any

_CHUNK_HEADER = 8
"""Bytes before a chunk's data; the index names where they begin, a packet where they end."""


class AviClock:
    """Puts packets at the frame number that the film's index has for their place.

    guessed: frames that were counted by the length of a hole, as the index does not say.
    """

    def __init__(self, stream: Any) -> None:
        """stream: PyAV's, before anything is read: FFmpeg adds to the index what it finds."""
        entries = [(item.pos, item.timestamp) for item in getattr(stream, "index_entries", ())]
        # Of raw video, FFmpeg may count bytes.
        unit = entries[1][1] - entries[0][1] if len(entries) > 1 else 1
        self._numbers = {place: stamp // max(unit, 1) for place, stamp in entries}
        self._end: int | None = None
        self._shift = self._read = self._bytes = 0
        self.guessed = 0

    def put_right(self, packet: Any) -> None:
        """Move its stamps by what is missing before it."""
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None or packet.pos is None:
            return
        place = packet.pos - _CHUNK_HEADER
        if place in self._numbers:
            self._shift = max(self._numbers[place] - stamp, 0)
        elif self._end is not None and place > self._end:
            missing = round((place - self._end) * self._read / self._bytes)
            self._shift += missing
            self.guessed += missing
        self._read += 1
        self._bytes += packet.size + _CHUNK_HEADER
        self._end = packet.pos + packet.size + packet.size % 2
        if packet.pts is not None:
            packet.pts += self._shift
        if packet.dts is not None:
            packet.dts += self._shift
