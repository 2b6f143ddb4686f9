"""A pipeline for notebooks and scripts: pictures or pairs in, results that can be looked at out."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ivfusion_ros.api.pictures import Picture, as_image
from ivfusion_ros.api.result import Result
from ivfusion_ros.config.parameters import load_config, make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.pipeline import build_pipeline
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType


class Pipeline:
    """Fuses and detects, with models that are loaded once; close it when done, or use `with`.

    `fuse` takes two images that have nothing before or after them, a call the pairs of a recording in
    their order. One thread at a time.
    """

    def __init__(self, config: PipelineConfig | Mapping[str, Any] | None = None) -> None:
        """config: parameters by dotted names or nested, all others are the defaults of docs/parameters.md.

        Raises ConfigError, ModelError or BackendError.
        """
        if not isinstance(config, PipelineConfig):
            config = make_config(PipelineConfig, config or {})
        self.config = config
        self._stages = build_pipeline(config)

    @classmethod
    def from_yaml(cls, path: str | Path, changes: Mapping[str, Any] | None = None) -> Pipeline:
        """Of a YAML or ROS parameter file. changes: as config, taken over the file's. Raises as above."""
        if not isinstance(path, (str, Path)):
            raise ConfigError(f"the file is {path!r}, expected a path; Pipeline() has the defaults")
        return cls(load_config(PipelineConfig, path, changes))

    def fuse(self, thermal: Picture, rgb: Picture) -> Result:
        """Two registered images of one moment, of any sizes. Raises IvfusionError."""
        most = self.config.images.max_pixels
        pair = FramePair(Frame(as_image(thermal, "thermal", most), 0), Frame(as_image(rgb, "rgb", most), 0))
        self._stages.reset()
        return self(pair)

    def __call__(self, pair: FramePair) -> Result:
        """The next pair of a recording. Raises ImageError, ModelError or ConfigError."""
        return Result.of(self._stages.process(pair))

    def reset(self) -> None:
        """Forget what was learned over time, before another recording."""
        self._stages.reset()

    def close(self) -> None:
        """Release the models."""
        self._stages.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()


def fuse(thermal: Picture, rgb: Picture, config: Mapping[str, Any] | None = None) -> Result:
    """Two registered images of one moment, of any sizes; models stay loaded for the next call.

    thermal: (H, W) uint8, uint16, int16 or float32. rgb: (H, W, 3) uint8 or uint16 in RGB order. Either may
    be an image of Pillow or a path too. config: parameters by dotted names, see docs/parameters.md. Raises
    IvfusionError.
    """
    wanted = make_config(PipelineConfig, config or {})
    with _lock:
        if wanted not in _kept:
            while _kept:
                _kept.popitem()[1].close()
            _kept[wanted] = Pipeline(wanted)
        return _kept[wanted].fuse(thermal, rgb)


_lock = Lock()
_kept: dict[PipelineConfig, Pipeline] = {}
"""The last one alone: others would hold the memory of their models."""
