"""A model's sessions by image size: engines from the cache or built, the last few kept on the GPU."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import TYPE_CHECKING

from ivfusion_ros.backends.tensorrt.session import Lane, Session
from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.backends.tensorrt.make import Engine, EngineBuilder
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)

_MAX_SIZES = 4
"""Image sizes whose engines are kept on the GPU: a robot has one, a folder of mixed sizes must not fill
it."""


class Sessions:
    """Sessions of one model on one lane. Close them when done."""

    def __init__(
        self, model: Path, builder: EngineBuilder, *, half: bool, lane: Lane | None = None
    ) -> None:
        """Load nothing yet. lane: of another model that these follow; by default one of their own."""
        self._model, self._builder, self._half = model, builder, half
        self._owns_lane = lane is None
        self.lane = lane or Lane()
        self._by_size: OrderedDict[Size, Session] = OrderedDict()

    def loaded(self, size: Size) -> Session | None:
        """The session for images of this size, None where there is none yet."""
        return self._by_size.get(size)

    def load(self, size: Size) -> Session:
        """The session for images of this size, whose engine may have to be built first.

        Raises ModelError with the reason, BackendError where CUDA fails.
        """
        if size in self._by_size:
            self._by_size.move_to_end(size)
            return self._by_size[size]
        if len(self._by_size) == _MAX_SIZES:
            self._by_size.popitem(last=False)[1].close()
        self._by_size[size] = self._make(size)
        return self._by_size[size]

    def close(self) -> None:
        """Free everything on the GPU, the lane too if it is their own."""
        for session in self._by_size.values():
            session.close()
        self._by_size.clear()
        if self._owns_lane:
            self.lane.free()

    def _make(self, size: Size) -> Session:
        """A session of the cached engine; one that TensorRT refuses all the same is built again, once."""
        engine = self._engine(size)
        try:
            return self._start(engine)
        except ModelError as error:
            log.warning("rebuilding %s: %s", engine.path.name, error)
        return self._start(self._engine(size, rebuild=True))

    def _engine(self, size: Size, rebuild: bool = False) -> Engine:
        engine = self._builder.engine(self._model, size, half=self._half, rebuild=rebuild)
        if engine.record.fallback:
            log.warning(
                "%s runs in %s: %s", self._model.name, engine.record.runs_in, engine.record.fallback
            )
        return engine

    def _start(self, engine: Engine) -> Session:
        builder = self._builder
        unified = builder.gpu is not None and builder.gpu.unified
        return Session(engine.plan, builder.library, self.lane, engine.kernels, unified=unified)
