"""Graph -> plan, TensorRT's compiled form of a model, by one path for TensorRT 10.3 to 11 and for RTX."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.backends.progress import Progress
from ivfusion_ros.backends.tensorrt.cache import read_beside
from ivfusion_ros.backends.tensorrt.library import Library, make_logger, reason
from ivfusion_ros.errors import ModelError
from ivfusion_ros.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    import onnx


def build_plan(
    graph: onnx.ModelProto,
    library: Library,
    *,
    title: str,
    workspace_mib: int = 0,
    timing_cache: Path | None = None,
    tf32: bool = False,
) -> bytes:
    """Compile a graph of fixed sizes; a bar, the log and `under_way` say how far it is, by title.

    workspace_mib: most memory a layer may use for its work, 0 for TensorRT's own limit (all of the GPU's).
    timing_cache: file with measured times of kernels, read and written; builds after the first one are
    faster.
    tf32: let f32 products round their factors to 10 bits.
    Raises ModelError with the parser's or the builder's reason, KeyboardInterrupt after a Ctrl-C.
    """
    trt, logger = library.module, make_logger(library.module)
    builder = trt.Builder(logger)
    # Strongly typed: precisions are those of the graph, which is all that TensorRT 11 knows.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(graph, trt.OnnxParser(network, logger), library)
    config = builder.create_builder_config()
    _configure(config, library, workspace_mib, tf32)
    cache = None if library.is_rtx else _read_timing_cache(config, timing_cache)
    with Progress(f"building {title}") as progress, _progress(trt, title, progress) as monitor:
        config.progress_monitor = monitor
        plan = builder.build_serialized_network(network, config)
        if monitor.interrupted:
            raise KeyboardInterrupt
    if plan is None:
        raise ModelError(
            f"{library.title} cannot build {title}: {reason(logger)}; choose another backend for it"
        )
    if cache is not None and timing_cache is not None:
        write_whole(timing_cache, bytes(config.get_timing_cache().serialize()))
    return bytes(plan)


def _parse(graph: onnx.ModelProto, parser: Any, library: Library) -> None:
    if parser.parse(graph.SerializeToString()):
        return
    found = [parser.get_error(index) for index in range(parser.num_errors)]
    what = "; ".join(f"{_place(error)}: {_first_line(error.desc())}" for error in found[:3])
    what = what or "the parser gave no reason"
    raise ModelError(f"{library.title} cannot read the model: {what}; choose another backend for it")


def _place(error: Any) -> str:
    return f"{error.node_operator()} {error.node_name()}".strip() or "graph"


def _first_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    # The parser's own line only names the node again.
    return (lines[1] if len(lines) > 1 else lines[0]).split(" In checkType", 1)[0] if lines else ""


def _configure(config: Any, library: Library, workspace_mib: int, tf32: bool) -> None:
    trt = library.module
    if workspace_mib:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace_mib << 20)
    # Helper streams inside an engine would compete with the ones that copy, for graphs this small.
    config.max_aux_streams = 0
    (config.set_flag if tf32 else config.clear_flag)(trt.BuilderFlag.TF32)
    if library.is_rtx and hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        # Without it RTX allocates while it runs, which a CUDA graph cannot record.
        config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)


def _read_timing_cache(config: Any, path: Path | None) -> Any:
    if path is None:
        return None
    cache = config.create_timing_cache(read_beside(path))
    # One of another version or GPU, or a damaged one, is not taken; then the build starts a new one.
    if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
        cache = config.create_timing_cache(b"")
        config.set_timing_cache(cache, ignore_mismatch=False)
    return cache


def _progress(trt: Any, title: str, progress: Progress) -> Any:
    """A progress monitor with a bar, as a context manager; it tells progress too."""

    class _Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        """TensorRT calls it from several threads."""

        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.interrupted = False
            self._steps: dict[str, int] = {}
            self._lock = threading.Lock()
            self._shown = time.monotonic()
            self._bar = tqdm(
                total=1.0,
                desc=title,
                disable=None,
                bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}{postfix}",
            )

        def phase_start(self, name: str, parent: str | None, steps: int) -> None:
            with self._lock:
                self._steps[name] = max(steps, 1)
                if parent is None:
                    self._bar.reset(float(max(steps, 1)))

        def step_complete(self, name: str, step: int) -> bool:
            try:
                with self._lock:
                    first = next(iter(self._steps), None)
                    if name == first:
                        self._bar.n = step + 1
                        progress.tell(min(1.0, (step + 1) / self._steps[name]))
                    # Inner phases do not move the bar, and tqdm shows only what moves.
                    now = time.monotonic()
                    if not self._bar.disable and now - self._shown >= self._bar.mininterval:
                        self._shown = now
                        self._bar.set_postfix_str(name)
            # An exception must not cross TensorRT; a False stops the build.
            except KeyboardInterrupt:
                self.interrupted = True
            return not self.interrupted

        def phase_finish(self, name: str) -> None:
            with self._lock:
                self._steps.pop(name, None)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self._bar.close()

    return _Monitor()
