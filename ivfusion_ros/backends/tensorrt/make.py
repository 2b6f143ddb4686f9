"""From an ONNX file to an engine that is known to compute the same: from the cache, or built and tested."""

from __future__ import annotations

import hashlib
import logging
import time
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from ivfusion_ros.backends.cuda import Gpu
from ivfusion_ros.backends.kept_folder import differences
from ivfusion_ros.backends.self_test import check_half, self_test
from ivfusion_ros.backends.tensorrt.build import build_plan
from ivfusion_ros.backends.tensorrt.cache import (
    EngineKey,
    EngineRecord,
    engine_folder,
    only_builder,
    plan_path,
    read_plan,
    read_records,
    runtime_cache_path,
    write_plan,
)
from ivfusion_ros.backends.tensorrt.library import Library
from ivfusion_ros.backends.tensorrt.session import Lane, Session
from ivfusion_ros.errors import BackendError, ModelError
from ivfusion_ros.graphs.byte_input import engine_graph
from ivfusion_ros.graphs.half import to_half
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata, read_model
from ivfusion_ros.models import file_sha256

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx

    from ivfusion_ros.backends.compare import Outcome, Run
    from ivfusion_ros.backends.tensors import Array
    from ivfusion_ros.types import Size

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Engine:
    """A plan, what is known of it, and where it is kept."""

    plan: bytes
    record: EngineRecord
    path: Path

    @property
    def kernels(self) -> Path:
        """File for what TensorRT for RTX compiles on first use."""
        return runtime_cache_path(self.path)


@dataclass(frozen=True)
class EngineBuilder:
    """What builds engines, and for which GPU; gpu is None on a machine without one (RTX only).

    workspace_mib: as in build_plan.
    """

    library: Library
    gpu: Gpu | None
    folder: Path
    workspace_mib: int = 0

    @classmethod
    def here(
        cls, library: Library, gpu: Gpu | None, folder: Path | None = None, workspace_mib: int = 0
    ) -> EngineBuilder:
        """The builder of this machine. Raises BackendError where it can build nothing."""
        if gpu is None and not library.is_rtx:
            raise BackendError(
                f"{library.title} builds engines only on the GPU that they are for, and there is none"
            )
        if gpu is not None and not library.supports(gpu.capability):
            raise BackendError(
                f"{library.title} does not run on {gpu.name} (compute capability "
                f"{_dotted(gpu.capability)}); run: pip install tensorrt"
            )
        return cls(library, gpu, folder or engine_folder(), workspace_mib)

    def key(self, model: Path, size: Size, half: bool) -> EngineKey:
        """What an engine of this builder depends on. Raises OSError."""
        return EngineKey(
            model_sha256=file_sha256(model),
            flavour=self.library.flavour,
            version=self.library.version,
            gpu=self.gpu.name if self.gpu else "none",
            capability=_dotted(self.gpu.capability) if self.gpu else "none",
            size=f"{size[0]}x{size[1]}",
            precision="f16" if half else "f32",
        )

    def kept_sizes(self, model: Path, *, half: bool) -> list[Size]:
        """(width, height) of the kept engines of a model that fit this machine, the newest first.

        half: of those in the precision that engine() gives for it. Raises OSError.
        """
        key, found = self.key(model, (0, 0), half), []
        for record in read_records(self.folder).values():
            if isinstance(record, EngineRecord) and not differences(
                replace(record.key, size=key.size), key
            ):
                width, _, height = record.key.size.partition("x")
                found.append((record.built, (int(width), int(height))))
        return [size for _, size in sorted(found, reverse=True)]

    def engine(self, model: Path, size: Size, *, half: bool, rebuild: bool = False) -> Engine:
        """The engine of a model for images of a size (width, height): kept from before, or built.

        half: in half precision, unless that fails its self-test. rebuild: build even if one is kept.
        Raises ModelError with the reason, BackendError where CUDA fails.
        """
        # Reading it also distinguishes missing from damaged files.
        if read_metadata(model).get(PRECISION_KEY) == "int8":
            raise ModelError(
                f"{model} is in int8, which is for CPUs; take the model in f32, in half precision for speed"
            )
        key = self.key(model, size, half)
        path = plan_path(self.folder, model, key)
        with only_builder(path):
            kept = "as requested" if rebuild else read_plan(path, key)
            if not isinstance(kept, str):
                return Engine(*kept, path)
            if kept:
                log.info("rebuilding %s: %s", path.name, kept)
            plan, record = self._build(model, key, size, half)
            _keep(path, plan, record)
            return Engine(plan, record, path)

    def _build(self, model: Path, key: EngineKey, size: Size, half: bool) -> tuple[bytes, EngineRecord]:
        log.info(
            "building %s at %s in %s by %s; kept in %s",
            model.name, key.size, key.precision, self.library.title, self.folder,
        )  # fmt: skip
        source = read_model(model)
        is_half = any(item.key == PRECISION_KEY for item in source.metadata_props)
        built, check, fallback = None, "", ""
        if half and not is_half:
            built, check = self._try_half(source, model.stem, size)
            if built is None:
                fallback = check
                log.warning("%s runs in f32: %s", model.name, fallback)
        runs_in = "f16" if is_half or built is not None else "f32"
        if built is None:
            built = self._plan(source, model.stem, size)
            outcome = self._on_gpu(built[0], source, size)
            check = outcome.text if outcome else "not run: there is no GPU"
            if outcome and not outcome.passed:
                found = f"the engine of {model} failed its self-test: {outcome.text}"
                raise ModelError(f"{found}; choose another backend for it")
        plan, seconds = built
        record = EngineRecord(
            key=key,
            model=model.name,
            runs_in=runs_in,
            fallback=fallback,
            check=check,
            plan_sha256=hashlib.sha256(plan).hexdigest(),
            plan_bytes=len(plan),
            build_seconds=round(seconds, 2),
            built=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )
        log.info("%s: %.1f MB in %.1f s, %s", model.name, len(plan) / 1e6, seconds, check)
        return plan, record

    def _try_half(
        self, source: onnx.ModelProto, title: str, size: Size
    ) -> tuple[tuple[bytes, float] | None, str]:
        """What _plan gives, and its self-test's figures; or None, and why it stays in f32."""
        try:
            half = to_half(source)
            on_cpu = check_half(source, half, size)
            if not on_cpu.passed:
                return None, _failed(on_cpu)
            built = self._plan(half, title, size)
            on_gpu = self._on_gpu(built[0], source, size)
        except ModelError as error:
            return None, str(error)
        if on_gpu is None:
            return built, f"on the CPU: {on_cpu.text}"
        return (built, on_gpu.text) if on_gpu.passed else (None, _failed(on_gpu))

    def _plan(self, model: onnx.ModelProto, title: str, size: Size) -> tuple[bytes, float]:
        """A plan, and the seconds it took."""
        gpu = self.gpu
        name = f"timing-{self.library.version}-{gpu.name.replace(' ', '_')}.cache" if gpu else ""
        writable = self.folder.is_dir()
        start = time.perf_counter()
        plan = build_plan(
            engine_graph(model, size),
            self.library,
            title=f"{title} {size[0]}x{size[1]}",
            workspace_mib=self.workspace_mib,
            timing_cache=self.folder / name if name and writable else None,
        )
        return plan, time.perf_counter() - start

    def _on_gpu(self, plan: bytes, source: onnx.ModelProto, size: Size) -> Outcome | None:
        """Self-test of the plan itself beside the model in ONNX Runtime; None without a GPU."""
        if self.gpu is None:
            return None
        lane = Lane()
        try:
            session = Session(plan, self.library, lane, unified=self.gpu.unified)
            try:
                return self_test(source, size, _runner(session))
            finally:
                session.close()
        finally:
            lane.free()


def _failed(half: Outcome) -> str:
    return f"half precision failed its self-test: {half.text}"


def _runner(session: Session) -> Run:
    def run(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
        session.launch(dict(inputs))
        return session.fetch()

    return run


def _keep(path: Path, plan: bytes, record: EngineRecord) -> None:
    try:
        write_plan(path, plan, record)
    except OSError as error:
        log.warning("the engine is not kept in %s: %s", path.parent, error.strerror)


def _dotted(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
