"""A camera that sends now: a device, an address, or a film that plays at its own pace; through PyAV."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ImageError, IvfusionError
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.video import frame_pixels, import_av
from ivfusion_ros.sources.stream import camera_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ivfusion_ros.types import CameraName, Frame

log = logging.getLogger(__name__)

TIMEOUT_S = 5.0
"""Without data for so long, a camera is opened again."""
FIRST_WAIT_S, MAX_WAIT_S = 0.5, 5.0
"""Between tries; doubled from one to the next."""

NETWORK = {
    "rtsp": {"rtsp_transport": "tcp"},
    "rtsps": {"rtsp_transport": "tcp"},
    "http": {},
    "https": {},
    "tcp": {},
    "udp": {},
    "rtp": {},
    "srt": {},
}
"""Schemes of addresses, and FFmpeg's options for them unless the user gives others."""
_LOW_DELAY = {"fflags": "nobuffer", "flags": "low_delay"}
_PROTOCOLS = "http,https,tcp,tls,udp,rtp,rtsp,rtsps,srt,crypto,httpproxy"
"""What a stream may name further on: never a file of this machine."""


class LiveCamera:
    """Reads one camera in a thread of its own, until stop(); a stream that breaks is opened again.

    where: /dev/video0, an address such as rtsp://camera/stream, or a file, which plays again and again.
    options: FFmpeg's, such as input_format=gray16le of a device that sends Y16. take: gets each frame, its
    stamp the moment of its arrival, in the camera's thread.

    frames, damaged, reconnects: counts. trouble: what is wrong now, '' while it sends.
    """

    def __init__(
        self,
        camera: CameraName,
        where: str,
        take: Callable[[CameraName, Frame], None],
        options: Mapping[str, str] | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        """Start reading. Raises ImageError where PyAV is missing."""
        self.camera = camera
        self.where = where
        self.frames = self.damaged = self.reconnects = 0
        self.trouble = "it has not sent yet"
        self._av = import_av()
        self._take = take
        self._options = dict(options or {})
        self._max_pixels = max_pixels
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"{camera} camera", daemon=True)
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Have the thread end at its next frame."""
        self._stopped.set()

    def stop(self) -> None:
        """Have the thread end, and wait for that no longer than a camera may be silent."""
        self.ask_to_stop()
        self._thread.join(TIMEOUT_S + 1)

    def _run(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopped.is_set():
            before = self.frames
            trouble = self._read_until_trouble()
            sent = self.frames > before
            if self._stopped.is_set() or (sent and _is_file(self.where)):
                # A film that plays again is no trouble.
                continue
            if trouble != self.trouble:
                log.warning("%s camera %s: %s; opening it again", self.camera, self.where, trouble)
            self.trouble = trouble
            self.reconnects += 1
            wait_s = FIRST_WAIT_S if sent else min(MAX_WAIT_S, 2 * wait_s)
            self._stopped.wait(wait_s)

    def _read_until_trouble(self) -> str:
        """What it was."""
        try:
            self._read()
        except (self._av.FFmpegError, OSError, ValueError, IvfusionError) as error:
            return str(getattr(error, "strerror", None) or error)
        return "the stream ended"

    def _read(self) -> None:
        """Take frames until the stream breaks or ends."""
        name, more = _opening(self.where, self._options)
        with self._av.open(
            name, timeout=(2 * TIMEOUT_S, TIMEOUT_S), metadata_errors="replace", **more
        ) as held:
            if not held.streams.video:
                raise ImageError("it has no video stream")
            stream = held.streams.video[0]
            stream.codec_context.thread_type = "SLICE"
            pace = _Pace() if _is_file(self.where) else None
            for frame in self._decoded(held, stream):
                if pace is not None:
                    self._stopped.wait(pace.wait_s(frame))
                if self._stopped.is_set():
                    return
                self._give(frame)

    def _decoded(self, container: Any, stream: Any) -> Iterator[Any]:
        """Frames as they come; a damaged packet costs itself, as where a running stream is joined."""
        for packet in container.demux(stream):
            try:
                yield from packet.decode()
            except self._av.FFmpegError:
                self.damaged += 1

    def _give(self, frame: Any) -> None:
        arrival_ns = time.time_ns()
        if frame.width * frame.height > self._max_pixels:
            raise ImageError(
                f"it sends {frame.width}x{frame.height} pixels, expected at most "
                f"{self._max_pixels / 1e6:g} million"
            )
        if self.trouble and self.frames:
            log.info("%s camera %s sends again", self.camera, self.where)
        self.frames += 1
        self.trouble = ""
        self._take(self.camera, camera_frame(self.camera, arrival_ns, frame_pixels(frame)))


class _Pace:
    """Makes a file's frames come when a camera's would."""

    def __init__(self) -> None:
        self._begun_s: float | None = None

    def wait_s(self, frame: Any) -> float:
        """Until the frame is due; 0 for one without a time."""
        if frame.time is None:
            return 0.0
        now_s = time.monotonic() - float(frame.time)
        if self._begun_s is None:
            self._begun_s = now_s
        return max(0.0, self._begun_s - now_s)


def check_place(where: str) -> None:
    """Raises ImageError for an address or a film that waiting will not make one; a device may come yet."""
    scheme, separator, _ = where.partition("://")
    if separator and scheme.lower() not in NETWORK:
        raise ImageError(f"its scheme is {scheme}, expected one of {', '.join(NETWORK)}")
    if _is_file(where) and not Path(where).is_file():
        found = "it is no file" if Path(where).exists() else "there is no such file"
        device = f" (of a number, /dev/video{where}?)" if where.isdecimal() else ""
        raise ImageError(f"{found}, expected a device{device}, an address or a film")


def _is_file(where: str) -> bool:
    return "://" not in where and not where.startswith("/dev/")


def _opening(where: str, options: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    """What PyAV opens, and how. Raises ImageError."""
    check_place(where)
    if where.startswith("/dev/"):
        if not Path(where).exists():
            raise ImageError("there is no such device")
        return where, {"format": "v4l2", "options": dict(options)}
    scheme, separator, _ = where.partition("://")
    if separator:
        usual = {"protocol_whitelist": _PROTOCOLS, "analyzeduration": "1000000", **_LOW_DELAY}
        return where, {"options": {**usual, **NETWORK[scheme.lower()], **options}}
    return f"file:{Path(where).absolute()}", {"options": {"protocol_whitelist": "file", **options}}
