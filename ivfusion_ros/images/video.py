"""MP4 in and out through PyAV (`pip install av`): H.264 that browsers play."""

from __future__ import annotations

import contextlib
import logging
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.errors import ImageError
from ivfusion_ros.files import whole_files
from ivfusion_ros.images.avi import AviClock
from ivfusion_ros.images.declared import MAX_PIXELS
from ivfusion_ros.images.encodings import decode_image, same_size_encoding

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType, TracebackType

    from ivfusion_ros.types import AnyImage, Image, Size

logger = logging.getLogger(__name__)

LISTS = frozenset({"concat", "dash", "hls", "imf", "sdp", "webm_dash_manifest"})
"""Formats of FFmpeg that are no films, but name some."""
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
        self._av = import_av()
        self._rate = Fraction(rate_hz).limit_denominator(1001)
        self._size: Size | None = None
        self._stream: Any = None
        with self._errors(), contextlib.ExitStack() as stack:
            partial = stack.enter_context(whole_files(self._path))
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
    """Reads a video file: iterate over (stamp in seconds from the start, image as of frame_pixels).

    rate_hz: average frame rate. frame_count: as the file declares it, 0 if it does not.
    size: (width, height) in pixels as stored, before it is turned. losses: what could not be read. lost:
    how many frames that are, as far as the file tells; complete after reading.
    """

    def __init__(self, path: str | Path, max_pixels: int = MAX_PIXELS, encoding: str = "") -> None:
        """Open the file. max_pixels: of a frame. encoding: what raw YUYV or UYVY really is, '' for that.

        Raises ImageError if it is missing, no video, too large, or PyAV is missing.
        """
        self._path = path
        self._max_pixels = max_pixels
        self._encoding = encoding
        self._av = import_av()
        self.losses: list[str] = []
        self.lost = 0
        self._container = self._open()
        try:
            self._stream = self._video_stream()
            self.rate_hz = float(self._stream.average_rate or 0)
            self.frame_count = int(self._stream.frames)
            self.size = (int(self._stream.width), int(self._stream.height))
            if self.size[0] * self.size[1] > max_pixels:
                raise ImageError(
                    f"video {path} declares {self.size[0]}x{self.size[1]} pixels, expected at most "
                    f"{max_pixels / 1e6:g} million"
                )
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __iter__(self) -> Iterator[tuple[float, AnyImage]]:
        """Every readable frame, once, in display order; losses has what is damaged."""
        count = 0
        for packet in self._packets():
            for frame in self._frames(packet, count):
                stamp_s = frame.time if frame.time is not None else count / (self.rate_hz or 30.0)
                yield float(stamp_s), self._pixels(frame)
                count += 1
        self.lost = max(self.lost, self.frame_count - count)
        if count < self.frame_count:
            self._lose(f"{count} of {self.frame_count} frames could be read")

    def _open(self) -> Any:
        # FFmpeg takes names such as tcp:host for addresses, waits for whoever writes into a pipe, and reads
        # a list of films again and again until that has an end. A film that names a file reads that.
        path = Path(self._path)
        if not path.is_file():
            reason = "not a file" if path.exists() else "No such file or directory"
            raise ImageError(f"cannot read video {path}: {reason}")
        films = ",".join(sorted(self._av.formats_available - LISTS))
        options = {"protocol_whitelist": "file", "format_whitelist": films}
        try:
            return self._av.open(f"file:{path.absolute()}", metadata_errors="replace", options=options)
        except (self._av.FFmpegError, OSError) as error:
            raise ImageError(
                f"cannot read video {path}: {error.strerror}; expected a film such as MP4, AVI or MKV"
            ) from error

    def _video_stream(self) -> Any:
        streams = self._container.streams.video
        if not streams:
            raise ImageError(f"{self._path} has no video stream")
        if streams[0].codec_context is None:
            raise ImageError(f"cannot read video {self._path}: its codec is not known; it may be damaged")
        streams[0].thread_type = "AUTO"
        streams[0].codec_context.thread_count = _THREADS
        streams[0].codec_context.options = EVERY_DAMAGE
        return streams[0]

    def _packets(self) -> Iterator[Any]:
        """Compressed frames up to where the container is damaged, and a last empty one."""
        clock = AviClock(self._stream) if self._container.format.name == "avi" else None
        try:
            for packet in self._container.demux(self._stream):
                if clock:
                    clock.put_right(packet)
                yield packet
            if clock and clock.guessed:
                self._lose(
                    f"its index is lost, and holes in it were taken for {clock.guessed} frames by their "
                    "length: times behind them may be wrong"
                )
        except self._av.FFmpegError as error:
            self._lose(f"nothing could be read behind a damaged place: {error.strerror}")

    def _frames(self, packet: Any, count: int) -> list[Any]:
        """The frames that a packet completes, none of a damaged one. count: of frames before it."""
        try:
            frames = list(packet.decode())
        except self._av.FFmpegError as error:
            self._lose_frame(count, error.strerror)
            return []
        right = []
        for frame in frames:
            if frame.width * frame.height > self._max_pixels:
                self._lose_frame(count, f"a frame has {frame.width}x{frame.height} pixels")
            else:
                right.append(frame)
        return right

    def _lose_frame(self, count: int, reason: str) -> None:
        self.lost += 1
        if self.lost == 1:
            self._lose(f"damaged after {count} frames, and maybe further on: {reason}")

    def _pixels(self, frame: Any) -> AnyImage:
        if not self._encoding:
            return frame_pixels(frame)
        sent = _RAW.get(frame.format.name, frame.format.name)
        return decode_image(
            bytes(frame.planes[0]),
            encoding=same_size_encoding(self._encoding, sent),
            width=frame.width,
            height=frame.height,
            step=frame.planes[0].line_size,
            is_bigendian=False,
        )

    def _lose(self, loss: str) -> None:
        self.losses.append(loss)
        logger.warning("video %s: %s", self._path, loss)


EVERY_DAMAGE = {"err_detect": "explode"}
"""Of a decoder: an error for a frame that is damaged inside, which would be grey or smeared in part."""

_RAW = {"yuyv422": "yuyv", "uyvy422": "uyvy", "rgb555le": "mono16"}
"""FFmpeg's names of raw frames that USB cameras put counts into."""

_COUNTS = ("rgb555le",)
"""Of these, what a driver may have written that had no other name."""

_LOSSLESS = {
    **{
        f"gray{bits}{order}": f"gray{bits}{order}" for bits in (9, 10, 12, 14, 16) for order in ("le", "be")
    },
    **{f"grayf32{order}": f"grayf32{order}" for order in ("le", "be")},
    **{f"rgb48{order}": "rgb48le" for order in ("le", "be")},
    **{f"bgr48{order}": "rgb48le" for order in ("le", "be")},
    **{f"gbrp{bits}{order}": "rgb48le" for bits in (9, 10, 12, 14, 16) for order in ("le", "be")},
}
"""Pixel formats of more than 8 bits, and what they are read as: grey as it is, colour at 16 bits."""


def frame_pixels(frame: Any) -> AnyImage:
    """Of PyAV's frame, turned as the film says: (H, W, 3) RGB, uint8 or uint16, or (H, W) counts.

    Only formats of more than 8 bits that keep all of them are more than uint8 RGB: grey, and RGB.
    """
    kind = _LOSSLESS.get(frame.format.name, "rgb24")
    if kind == "rgb24":
        _tell_of_lost_bits(frame.format)
    pixels = frame.to_ndarray(format=kind)
    if not pixels.dtype.isnative:
        pixels = pixels.astype(pixels.dtype.newbyteorder("="))
    quarters = round(getattr(frame, "rotation", 0) / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


_told: set[str] = set()
"""Pixel formats that were warned of: a film has thousands of such frames."""


def _tell_of_lost_bits(pixel_format: Any) -> None:
    name, bits = pixel_format.name, max(part.bits for part in pixel_format.components)
    if name in _told or not (bits > 8 or name in _COUNTS):
        return
    _told.add(name)
    if name in _COUNTS:
        logger.warning(
            "a film is raw %s: of a thermal camera, these are counts of 16 bits, which AVI has no name "
            "for; read it with thermal.encoding %s", name, _RAW[name],
        )  # fmt: skip
    else:
        logger.warning(
            "a film has %d bits a pixel in %s, of which 8 are read; counts keep all bits in grey, such as "
            "FFV1 in gray16le", bits, name,
        )  # fmt: skip


def import_av() -> ModuleType:
    """PyAV. Raises ImageError that says what to install."""
    try:
        import av
    except (ImportError, OSError) as error:
        raise ImageError(f"video needs PyAV, which is not usable ({error}); run: pip install av") from error
    return av
