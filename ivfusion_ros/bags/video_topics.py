"""Topics whose messages are packets of a video stream: what they show depends on those before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.packets import PacketDecoder
from ivfusion_ros.messages.frames import stamp_ns
from ivfusion_ros.types import CameraInfo, Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.types import AnyImage

_Tag = tuple[int, str, CameraInfo | None, int]
"""Stamp, frame, intrinsics and time of arrival of a packet."""


class VideoTopics:
    """Decodes the packets of each topic in their order."""

    def __init__(self, max_pixels: int = MAX_PIXELS) -> None:
        self._max_pixels = max_pixels
        self._decoders: dict[tuple[str, str], PacketDecoder[_Tag]] = {}

    def add(
        self, topic: str, codec: str, message: Any, info: CameraInfo | None, received_ns: int
    ) -> list[Frame]:
        """The frames that a packet completes. Raises ImageError."""
        decoder = self._decoders.get((topic, codec))
        if decoder is None:
            size = (getattr(message, "width", 0), getattr(message, "height", 0))
            decoder = PacketDecoder(codec, self._max_pixels, size if min(size) > 0 else None)
            self._decoders[topic, codec] = decoder
        tag = (stamp_ns(message), message.header.frame_id, info, received_ns)
        return [_frame(*item) for item in decoder.decode(message.data, tag)]

    def flush(self) -> Iterator[tuple[str, list[Frame] | ImageError]]:
        """By topic the frames that wait for packets which do not come, or why they cannot be had."""
        for (topic, _), decoder in self._decoders.items():
            try:
                yield topic, [_frame(*item) for item in decoder.flush()]
            except ImageError as error:
                yield topic, error


def _frame(tag: _Tag, image: AnyImage) -> Frame:
    stamp, frame_id, info, received_ns = tag
    return Frame(image, stamp, frame_id, info, received_ns)
