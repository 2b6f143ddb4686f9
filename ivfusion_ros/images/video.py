"""MP4 in and out through PyAV (`pip install av`): H.264 that browsers play."""

from __future__ import annotations

import contextlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.files import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType, TracebackType

    from ivfusion_ros.types import Image, Size

logger = logging.getLogger(__name__)

_THREADS = 2
"""Video must not take the cores that the networks need."""
_BT709, _LIMITED_RANGE = 1, 1


class VideoWriter:
    """Writes RGB images as an H.264 MP4, under a temporary name until the `with` block ends well."""

    def __init__(self, path: str | Path, rate_hz: float) -> None:
        """Open the file. Raises ImageError if it cannot be written or PyAV is missing."""
        self._path = Path(path)
        if not rate_hz > 0:
            raise ImageError(f"video {path}: the rate is {rate_hz} Hz, expected more than 0")
        self._av = _import_av()
        self._rate = Fraction(rate_hz).limit_denominator(1001)
        self._size: Size | None = None
        self._stream: Any = None
        with self._errors(), contextlib.ExitStack() as stack:
            partial = stack.enter_context(whole_file(self._path))
            # PyAV opens the file at the first frame; find out now whether it can.
            partial.touch()
            options = {"movflags": "+faststart"}
            self._container = self._av.open(str(partial), "w", format="mp4", options=options)
            stack.push(self._finish)
            self._stack = stack.pop_all()

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._errors():
            self._stack.__exit__(kind, error, trace)

    def write(self, image_rgb: Image) -> None:
        """Append an (H, W, 3) uint8 image; all have one size. Raises ImageError.

        H.264 halves the colour resolution, so an odd size gains a repeated column or row.
        """
        height, width = image_rgb.shape[:2]
        with self._errors():
            if self._stream is None:
                self._size = (width, height)
                self._stream = self._open_stream(width + width % 2, height + height % 2)
            if self._size != (width, height):
                raise ImageError(f"video {self._path}: image is {width}x{height}, expected {self._size}")
            even = np.pad(image_rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
            self._container.mux(
                self._stream.encode(frame.reformat(format="yuv420p", dst_colorspace=_BT709))
            )

    def _open_stream(self, width: int, height: int) -> Any:
        stream = self._container.add_stream("libx264", rate=self._rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "20"}
        context = stream.codec_context
        context.thread_count = _THREADS
        context.colorspace, context.color_range = _BT709, _LIMITED_RANGE
        return stream

    def _finish(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                if self._stream is None:
                    raise ImageError(f"video {self._path} was given no image, so it was not written")
                self._container.mux(self._stream.encode(None))
                self._container.close()
        finally:
            with contextlib.suppress(self._av.FFmpegError, OSError):
                self._container.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (self._av.FFmpegError, OSError) as error:
            raise ImageError(f"cannot write video {self._path}: {error.strerror}") from error


class VideoReader:
    """Reads a video file: iterate over (stamp in seconds from the start, (H, W, 3) uint8 RGB image).

    rate_hz: average frame rate. frame_count: as the file declares it, 0 if it does not.
    size: (width, height) in pixels.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the file. Raises ImageError if it is missing, no video, or PyAV is missing."""
        self._path = path
        self._av = _import_av()
        try:
            self._container = self._av.open(str(path))
        except (self._av.FFmpegError, OSError) as error:
            raise ImageError(f"cannot read video {path}: {error.strerror}") from error
        if not self._container.streams.video:
            self._container.close()
            raise ImageError(f"{path} has no video stream")
        self._stream = self._container.streams.video[0]
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = _THREADS
        self.rate_hz = float(self._stream.average_rate or 0)
        self.frame_count = int(self._stream.frames)
        self.size = (int(self._stream.width), int(self._stream.height))

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._container.close()

    def __iter__(self) -> Iterator[tuple[float, Image]]:
        """Every readable frame, once, in display order. Raises ImageError where the data is damaged."""
        count = 0
        try:
            for frame in self._container.decode(self._stream):
                stamp_s = frame.time if frame.time is not None else count / (self.rate_hz or 30.0)
                yield float(stamp_s), frame.to_ndarray(format="rgb24")
                count += 1
        except self._av.FFmpegError as error:
            raise ImageError(
                f"video {self._path} is damaged after {count} frames: {error.strerror}"
            ) from error
        if count < self.frame_count:
            logger.warning("%s: %d of %d frames could be read", self._path, count, self.frame_count)


def _import_av() -> ModuleType:
    try:
        import av
    except (ImportError, OSError) as error:
        raise ImageError(f"video needs PyAV, which is not usable ({error}); run: pip install av") from error
    return av
