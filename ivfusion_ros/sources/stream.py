"""One camera's images with stamps: what two files or folders of a source are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.types import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.types import AnyImage, CameraName

START_NS = 1_000_000_000
"""Stamp at which time begins that counts from nowhere: the same input gives the same stamps; 0 is unset."""
MAX_STAMP_NS = 2**31 * 1_000_000_000
"""Beyond it a ROS stamp ends."""
MIN_RATE_HZ, MAX_RATE_HZ = 0.001, 10000.0


class CameraStream(Protocol):
    """Images of one camera in order, each with its stamp in ns.

    has_clock: stamps are times that somebody wrote down; else they count from START_NS. first_ns: the
    first one's stamp. count: of images, rate_hz: of them, None where not known.
    """

    has_clock: bool
    first_ns: int
    count: int | None
    rate_hz: float | None

    def images(self) -> Iterator[tuple[int, AnyImage]]:
        """All images that can be read. Raises IvfusionError."""

    def close(self) -> None:
        """Let go of the files."""


def camera_frame(camera: CameraName, stamp_ns: int, image: AnyImage) -> Frame:
    """A frame of a camera that has no topic: grey, or RGB, of all its bits. Raises ImageError."""
    if not 0 <= stamp_ns < MAX_STAMP_NS:
        raise ImageError(f"its time is {stamp_ns / 1e9} s, expected 0 to {MAX_STAMP_NS // 10**9}")
    # Colour of 16 bits is scaled where it is used.
    shaped = to_grey(image) if camera == "thermal" else image if image.ndim == 3 else to_rgb(image)
    return Frame(shaped, stamp_ns, f"{camera}_optical_frame")


def check_rate(rate_hz: float | None) -> None:
    """Raises ConfigError for a rate that no camera has."""
    if rate_hz is not None and not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ConfigError(
            f"--rate is {rate_hz}, expected a frame rate of {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz"
        )
