"""Two cameras that send now, as pairs: the newest first, since an old one is of no use to anybody."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.sources.camera import LiveCamera, check_place
from ivfusion_ros.sync.synchronizer import Synchronizer
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from ivfusion_ros.config.pipeline import PipelineConfig
    from ivfusion_ros.types import CameraName, Frame, FramePair


class LivePairs:
    """Reads two cameras and holds the newest pair; to be used in a `with` block.

    cameras: both by name. synchronizer: counts pairs and drops. superseded: pairs that were replaced by a
    newer one before anybody took them.
    """

    def __init__(
        self,
        config: PipelineConfig,
        places: Mapping[CameraName, str],
        options: Mapping[CameraName, Mapping[str, str]],
    ) -> None:
        """Raises ConfigError for a place that can never be a camera."""
        for camera, where in places.items():
            try:
                check_place(where)
            except ImageError as error:
                raise ConfigError(f"{camera} camera {where}: {error}") from error
        self.synchronizer = Synchronizer(config)
        self.superseded = 0
        self.cameras: dict[CameraName, LiveCamera] = {}
        self._config, self._places, self._options = config, places, options
        self._changed = threading.Condition()
        self._newest: FramePair | None = None

    def __enter__(self) -> LivePairs:
        for camera in CAMERAS:
            self.cameras[camera] = LiveCamera(
                camera,
                self._places[camera],
                self._add,
                self._options.get(camera),
                self._config.images.max_pixels,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # All are asked before one is waited for.
        for camera in self.cameras.values():
            camera.ask_to_stop()
        for camera in self.cameras.values():
            camera.stop()

    def take(self, timeout_s: float) -> FramePair | None:
        """The newest pair that nobody took yet; None where none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None, timeout_s)
            pair, self._newest = self._newest, None
            return pair

    def trouble(self) -> str:
        """What is wrong with the cameras now, for people; '' while both send."""
        said = [
            f"{name} camera {camera.where}: {camera.trouble}"
            for name, camera in self.cameras.items()
            if camera.trouble
        ]
        return "; ".join(said)

    def _add(self, camera: CameraName, frame: Frame) -> None:
        with self._changed:
            pairs = self.synchronizer.add(camera, frame)
            if not pairs:
                return
            self.superseded += len(pairs) - 1 + (self._newest is not None)
            self._newest = pairs[-1]
            self._changed.notify()


def parse_options(texts: list[str], name: str) -> dict[str, str]:
    """FFmpeg's options from NAME=VALUE. Raises ConfigError; name: of the option that has them."""
    parsed = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ConfigError(f"{name} is {text!r}, expected NAME=VALUE such as input_format=gray16le")
        parsed[key] = value
    return parsed
