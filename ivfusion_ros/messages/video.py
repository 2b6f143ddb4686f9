"""Messages that carry a packet of a video stream, and which codec it is of."""

from __future__ import annotations

from typing import Any

CODECS = {
    "264": "h264",
    "avc": "h264",
    "265": "hevc",
    "hevc": "hevc",
    "vp8": "vp8",
    "vp9": "vp9",
    "av1": "av1",
    "ffv1": "ffv1",
}
"""FFmpeg's decoders, by a part of what drivers write: h264, libx264, hevc_nvenc, h265 ..."""


def video_codec(message: Any) -> str | None:
    """FFmpeg's name of the codec of a CompressedVideo, FFMPEGPacket or CompressedImage; None: no video."""
    written = str(getattr(message, "format", None) or getattr(message, "encoding", ""))
    first = written.partition(";")[0].lower()
    return next((codec for part, codec in CODECS.items() if part in first), None)
