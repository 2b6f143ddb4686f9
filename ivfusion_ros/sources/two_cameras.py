"""Two films or folders, one of each camera, as a source."""

from __future__ import annotations

import heapq
import logging
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ivfusion_ros.errors import DataError, IvfusionError
from ivfusion_ros.files import natural_order
from ivfusion_ros.images.colour import swapped
from ivfusion_ros.sources.film import FilmStream
from ivfusion_ros.sources.folder import FolderStream
from ivfusion_ros.sources.pairs import images_in
from ivfusion_ros.sources.stream import camera_frame
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ivfusion_ros.sources.source import SourceOptions
    from ivfusion_ros.sources.stream import CameraStream
    from ivfusion_ros.types import AnyImage, CameraName, Frame

log = logging.getLogger(__name__)

MAX_APART_S, MAX_APART = 0.5, 0.02
"""Seconds and share by which two recordings may differ in length without a warning."""

MIN_SHARED = 0.5
"""Share of a folder's names that the other's has too, from which on names say what is of one moment."""

STREAMS: dict[str, Callable[[Path, SourceOptions, Path | None, CameraName], CameraStream]] = {
    "folder": FolderStream,
    "film": FilmStream,
}


def open_stream(
    path: Path, options: SourceOptions, stamps: Path | None = None, camera: CameraName = "thermal"
) -> CameraStream:
    """One camera's folder or film. Raises IvfusionError."""
    return STREAMS["folder" if path.is_dir() else "film"](path, options, stamps, camera)


class TwoCameras:
    """See Source. Thermal images are grey, RGB images have colour."""

    note = ""

    def __init__(self, paths: Sequence[Path], options: SourceOptions) -> None:
        """paths: of the thermal and of the RGB camera. Raises IvfusionError."""
        for path in paths:
            if not path.exists():
                raise DataError(f"there is no film or folder {path}")
            if path.is_dir():
                images_in(path)
        self._options = options
        self.paths = tuple(paths)
        self.names: dict[CameraName, str] = dict(zip(CAMERAS, map(str, paths), strict=True))
        self.losses: list[str] = []
        self.skipped: Counter[str] = Counter()
        self.skip_reasons: dict[str, str] = {}
        self._stack = ExitStack()
        self._streams: dict[CameraName, CameraStream] = {}
        files = (options.thermal_stamps, options.rgb_stamps)
        try:
            for camera, path, file in zip(CAMERAS, paths, files, strict=True):
                self._streams[camera] = open_stream(path, options, file, camera)
                self._stack.callback(self._streams[camera].close)
        except BaseException:
            self.close()
            raise
        self._count_together()
        self._first: dict[CameraName, AnyImage] = {}
        self._shifts_ns = self._find_shifts()
        self._compare_lengths()

    @property
    def expected(self) -> int | None:
        """See Source."""
        counts = [stream.count for stream in self._streams.values()]
        return None if None in counts else min(count for count in counts if count is not None)

    @property
    def rate_hz(self) -> float | None:
        """See Source."""
        return min((stream.rate_hz for stream in self._streams.values() if stream.rate_hz), default=None)

    def frames(self) -> Iterator[tuple[CameraName, Frame]]:
        """See Source: by stamp, as nobody knows when they arrived."""
        streams = [self._stamped(camera) for camera in CAMERAS]
        for _, camera, frame in heapq.merge(*streams, key=lambda item: item[0]):
            yield camera, frame

    def close(self) -> None:
        """See Source."""
        self._stack.close()

    def _stamped(self, camera: CameraName) -> Iterator[tuple[int, CameraName, Frame]]:
        for stamp_ns, image in self._streams[camera].images():
            self._compare_colours(camera, image)
            try:
                frame = camera_frame(camera, stamp_ns + self._shifts_ns[camera], image)
            except IvfusionError as error:
                self.skipped[self.names[camera]] += 1
                self.skip_reasons.setdefault(self.names[camera], str(error))
                self._options.on_skip(f"{camera} frame at {stamp_ns / 1e9:.3f} s", error)
                continue
            yield frame.stamp_ns, camera, frame

    def _compare_colours(self, camera: CameraName, image: AnyImage) -> None:
        """Warn once of inputs that look swapped; a frame has the colours of its camera already."""
        if camera not in self._first:
            self._first[camera] = image
            if len(self._first) == len(CAMERAS) and (warning := swapped(**self._first)):
                log.warning("%s", warning)

    def _compare_lengths(self) -> None:
        """Warn of recordings of clearly different length: one of them may be another recording's."""
        lengths_s = [
            stream.count / stream.rate_hz if stream.count and stream.rate_hz else 0.0
            for stream in self._streams.values()
        ]
        apart_s = max(lengths_s) - min(lengths_s)
        if min(lengths_s) > 0 and apart_s > max(MAX_APART_S, MAX_APART * max(lengths_s)):
            log.warning(
                "thermal lasts %.1f s and RGB %.1f s: are they of one recording? What only one has is "
                "left out; cut the longer one, or give --thermal-stamps and --rgb-stamps",
                *lengths_s,
            )

    def _count_together(self) -> None:
        """Images of one name in two folders are of one moment, also where others are missing in one."""
        folders = [stream for stream in self._streams.values() if isinstance(stream, FolderStream)]
        if len(folders) < len(CAMERAS) or any(folder.has_clock for folder in folders):
            return
        thermal, rgb = (folder.names for folder in folders)
        shared = len({*thermal} & {*rgb})
        if shared >= MIN_SHARED * min(len(thermal), len(rgb)):
            together = sorted({*thermal, *rgb}, key=natural_order)
            for folder in folders:
                folder.count_by(together)
        elif len(thermal) != len(rgb):
            log.warning(
                "%s has %d images and %s %d, of which %d have a name of the other's: taken to be of equal "
                "moments in their order, which is wrong behind the first that is missing; give "
                "--thermal-stamps and --rgb-stamps, or equal names",
                self.names["thermal"], len(thermal), self.names["rgb"], len(rgb), shared,
            )  # fmt: skip

    def _find_shifts(self) -> dict[CameraName, int]:
        """What to add to the stamps of the camera whose time counts from nowhere, if only one's does."""
        shifts: dict[CameraName, int] = dict.fromkeys(CAMERAS, 0)
        without = [camera for camera in CAMERAS if not self._streams[camera].has_clock]
        if len(without) == 1:
            (camera,) = without
            (other,) = set(CAMERAS) - {camera}
            shifts[camera] = self._streams[other].first_ns - self._streams[camera].first_ns
            log.warning(
                "%s has no stamps and %s has: taken to begin at one moment; give --%s-stamps FILE",
                self.names[camera], self.names[other], camera,
            )  # fmt: skip
        return shifts
