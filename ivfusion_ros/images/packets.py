"""Packets of a video stream -> images, through PyAV (`pip install av`)."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.video import EVERY_DAMAGE, frame_pixels, import_av

if TYPE_CHECKING:
    from ivfusion_ros.types import AnyImage, Size

Tag = TypeVar("Tag")

_DECODERS = {"av1": "libdav1d"}
"""By codec, where FFmpeg's decoder of that name runs on GPUs alone."""

_CAUSES = {"ffv1": "it is damaged, or FFV1 of version 3, whose header is in no packet: record version 1"}
_CAUSE = "it is damaged, or the recording begins before a key frame"

_MAX_WAITING = 64
"""More than any codec holds back for its order of display."""


class PacketDecoder(Generic[Tag]):
    """Decodes one stream's packets in order; images come out when they are complete, with their tags."""

    def __init__(self, codec: str, max_pixels: int = MAX_PIXELS, size: Size | None = None) -> None:
        """codec: FFmpeg's name. max_pixels: of a frame. size: which packets need not repeat.

        Raises ImageError.
        """
        self._av = import_av()
        self._max_pixels = max_pixels
        self._codec = codec
        self._tags: OrderedDict[int, Tag] = OrderedDict()
        self._count = 0
        try:
            self._context: Any = self._av.CodecContext.create(_DECODERS.get(codec, codec), "r")
        except (self._av.FFmpegError, ValueError) as error:
            raise ImageError(f"this PyAV cannot decode {codec} video ({error})") from error
        # Threads that work on whole frames would hold back as many.
        self._context.thread_type = "SLICE"
        self._context.options = EVERY_DAMAGE
        if size is not None:
            self._context.width, self._context.height = size

    def decode(self, data: Any, tag: Tag) -> list[tuple[Tag, AnyImage]]:
        """The images that a packet completes; often its own, none at the start. Raises ImageError."""
        packet = self._av.Packet(bytes(memoryview(data)))
        packet.pts = packet.dts = self._count
        self._tags[self._count] = tag
        self._count += 1
        while len(self._tags) > _MAX_WAITING:
            self._tags.popitem(last=False)
        return self._take(packet)

    def flush(self) -> list[tuple[Tag, AnyImage]]:
        """The images that wait for packets which do not come. Raises ImageError."""
        return self._take(None) if self._count else []

    def _take(self, packet: Any) -> list[tuple[Tag, AnyImage]]:
        try:
            frames = self._context.decode(packet)
        except self._av.FFmpegError as error:
            if packet is not None:
                self._tags.pop(packet.pts, None)
            raise ImageError(
                f"a packet of {self._codec} video cannot be decoded: {error.strerror}; "
                f"{_CAUSES.get(self._codec, _CAUSE)}"
            ) from error
        images: list[tuple[Tag, AnyImage]] = []
        for frame in frames:
            if frame.width * frame.height > self._max_pixels:
                raise ImageError(
                    f"{self._codec} video declares {frame.width}x{frame.height} pixels, expected at most "
                    f"{self._max_pixels / 1e6:g} million"
                )
            if frame.pts in self._tags:
                images.append((self._tags.pop(frame.pts), frame_pixels(frame)))
        return images
