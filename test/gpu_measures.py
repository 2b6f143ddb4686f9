"""What test/gpu.sh measures beside the package's own commands. Each function gives what JSON can hold.

With cpu=True, the dry run, the same is done by the backends of a CPU: it shows that the script works, and
none of its figures says anything of a GPU.
"""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from ivfusion_ros.backends import BACKENDS, DeviceBackend, available_backends, backend_names, load_backend
from ivfusion_ros.backends.self_test import self_test
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.evaluation.speed.benchmark import PipelineRun, sample_pair
from ivfusion_ros.graphs.onnx_file import PRECISION_KEY, read_metadata, read_model
from ivfusion_ros.models import read_models, resolve_model
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.pipeline.overlap import Overlap

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ivfusion_ros.pipeline.pipeline import Fused, Looked, Rest
    from ivfusion_ros.types import FusionResult

FUSION = ("refinefuse", "refinefuse_lite", "mda", "transfusion", "mst")
MODEL = "refinefuse_lite"
READINGS = 10
_WARM_UPS = 5

Size = tuple[int, int]


def backends(*, cpu: bool = False) -> list[str]:
    """Backends that compute on this machine's GPU; of a CPU, those that `auto` may take there."""
    status = available_backends()
    usable = [name for name in backend_names("fusion") if status[name].usable]
    if cpu:
        return [name for name in usable if BACKENDS[name].auto and "cpu" in BACKENDS[name].devices]
    return [name for name in usable if "gpu" in BACKENDS[name].devices and on_gpu(name)]


def on_gpu(name: str) -> bool:
    """Whether a backend that can run on either does so here; torch's CPU builds find no GPU."""
    if BACKENDS[name].devices == ("gpu",):
        return True
    backend = load_backend(resolve_model("mst"), name)
    found = "cuda" in backend.description
    backend.close()
    return found


def gpu_bytes_in_use() -> int | None:
    """Of the whole GPU; None where CUDA cannot be asked."""
    try:
        from cuda.bindings import runtime

        status, free, total = runtime.cudaMemGetInfo()
    except (ImportError, OSError, RuntimeError):
        return None
    return None if int(status) else int(total) - int(free)


def memory(names: list[str], size: Size, frames: int) -> dict[str, Any]:
    """Readings over frames by backend: frames, seconds, MiB of the GPU, peak MiB of the process."""
    found = {}
    thermal, rgb = sample_pair(size)
    for name in names:
        fuser, begin_s, rows = Fuser(load_backend(resolve_model(MODEL), name)), time.monotonic(), []
        for count in tqdm(range(1, frames + 1), desc=name):
            fuser(thermal, rgb)
            if count in (10, 100) or count % max(1, frames // READINGS) == 0:
                used = gpu_bytes_in_use()
                rows.append(
                    {
                        "frames": count,
                        "seconds": round(time.monotonic() - begin_s, 2),
                        "gpu_mib": None if used is None else round(used / 2**20, 1),
                        "peak_process_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
                    }
                )
        fuser.backend.close()
        found[name] = rows
    return found


def parity(names: list[str], size: Size) -> dict[str, Any]:
    """Each shipped model on each backend beside ONNX Runtime on the CPU: what its self-test says."""
    found = {}
    floats = [
        name
        for name, row in read_models().items()
        if row.task != "matching" and PRECISION_KEY not in read_metadata(row.path)
    ]
    for model in floats:
        for name in names:
            for precision in BACKENDS[name].precisions:
                path = resolve_model(model)
                title = f"{model}: {name} {precision}"
                try:
                    found[title] = _parity(path, name, precision, size)
                except IvfusionError as error:
                    found[title] = {"passed": False, "text": str(error)}
    return {title: row for title, row in found.items() if row is not None}


def _parity(path: Path, name: str, precision: str, size: Size) -> dict[str, Any] | None:
    """None for a detector that reads floats, whose image is made on the CPU."""
    detects = read_models()[path.stem].task == "detection"
    if detects and ("detection" not in BACKENDS[name].tasks):
        return None
    backend = load_backend(path, name, precision=precision)
    try:
        if detects and not isinstance(backend, DeviceBackend):
            return None
        outcome = self_test(
            read_model(path),
            size,
            lambda inputs: backend.run(
                {key.removesuffix("/image"): image for key, image in inputs.items()}
            ),
        )
        return {"passed": outcome.passed, "text": outcome.text, "runs_in": backend.description}
    finally:
        backend.close()


def graphs(names: list[str], size: Size, runs: int) -> dict[str, Any]:
    """ms of a run on the GPU, without copies: as one CUDA graph, and call by call, in the same run.

    None where there is no graph, as on a CPU.
    """
    found = {}
    for name in names:
        for precision in ("auto", "f32"):
            for model in FUSION:
                if name in _TIMED:
                    backend = load_backend(resolve_model(model), name, precision=precision)
                    title = f"{model}: {backend.description}"
                    found[title] = _TIMED[name](backend, size, runs)
                    backend.close()
    return found


def _torch_times(backend: Any, size: Size, runs: int) -> dict[str, float | None]:
    import torch

    thermal, rgb = sample_pair(size)
    on_gpu = "cuda" in backend.description
    backend.run({"thermal": thermal[None], "rgb": rgb[None]})
    recording = next(iter(backend._recordings.values())) if on_gpu else None
    inputs = recording._inputs if recording else [torch.tensor(thermal[None]), torch.tensor(rgb[None])]
    wait = torch.cuda.synchronize if on_gpu else _nothing

    def eager() -> None:
        casts = torch.autocast("cuda", torch.float16, enabled=backend._half)
        with torch.inference_mode(), casts:
            backend._graph(*inputs)

    graph_ms = _per_run(recording._recording.replay, wait, runs) if recording else None
    return {"graph_ms": graph_ms, "eager_ms": _per_run(eager, wait, runs)}


def _tensorrt_times(backend: Any, size: Size, runs: int) -> dict[str, float | None]:
    thermal, rgb = sample_pair(size)
    for _ in range(_WARM_UPS):
        backend.run({"thermal": thermal[None], "rgb": rgb[None]})
    session = backend._sessions.load(size)
    execution, stream = session._execution, session._lane.compute
    recorded = execution._graph is not None
    graph_ms = _per_run(lambda: execution.run(stream), stream.synchronize, runs) if recorded else None
    eager_ms = _per_run(lambda: execution._enqueue(stream), stream.synchronize, runs)
    return {"graph_ms": graph_ms, "eager_ms": eager_ms}


_TIMED: dict[str, Callable[[Any, Size, int], dict[str, float | None]]] = {
    "torch": _torch_times,
    "tensorrt": _tensorrt_times,
}
"""Backends that run call by call as well as by a graph."""


def _nothing() -> None:
    """There is nothing to wait for."""


def _per_run(run: Callable[[], object], wait: Callable[[], object], runs: int) -> float:
    """ms a run, of many that are given without waiting in between."""
    for _ in range(_WARM_UPS):
        run()
    wait()
    begin_s = time.perf_counter()
    for _ in range(runs):
        run()
    wait()
    return round((time.perf_counter() - begin_s) / runs * 1e3, 4)


def timeline(model: str, detector: str, backend: str, size: Size, pairs: int) -> dict[str, Any]:
    """The halves of a pipeline in their two threads, pair by pair; and how much of one hides in the other.

    spans: [half, begin, end] in ms from the first. hidden: share of the shorter half's time that runs while
    the other one does; 1 where the rate is that of the longer half alone, 0 where one waits for the other.
    """
    run = PipelineRun(model, detector, (backend, "auto"), size, 0)
    spans: dict[str, list[tuple[float, float]]] = {"first": [], "second": []}
    begin_s = time.perf_counter()

    def now_ms() -> float:
        return round((time.perf_counter() - begin_s) * 1e3, 4)

    with run.pipeline as pipeline:
        for _ in range(_WARM_UPS):
            run()
        given = [run._next_pair() for _ in range(pairs)]
        conclude, begun_ms = pipeline.conclude, [0.0]

        def second(rest: Rest) -> Rest:
            def finish() -> Fused:
                begun_ms[0] = now_ms()
                return rest()

            return finish

        def concluded(fused: Fused, looked: Looked | None) -> FusionResult:
            result = conclude(fused, looked)
            spans["second"].append((begun_ms[0], now_ms()))
            return result

        pipeline.conclude = concluded  # type: ignore[method-assign]
        begin_s = time.perf_counter()
        with Overlap(pipeline) as overlap:
            for pair in given:
                from_ms = now_ms()
                rest = pipeline.begin(pair)
                spans["first"].append((from_ms, now_ms()))
                coming = overlap.submit(second(rest))
            coming.result()
        elapsed_ms = now_ms()
    totals = {half: sum(end - start for start, end in rows) for half, rows in spans.items()}
    both = sum(
        max(0.0, min(end, other_end) - max(start, other_start))
        for start, end in spans["first"]
        for other_start, other_end in spans["second"]
    )
    shorter = min(totals.values())
    return {
        "model": model,
        "detector": detector,
        "backend": pipeline.fuser.backend.description,
        "on_gpu": pipeline.on_gpu,
        "pairs": pairs,
        "pairs_per_second": round(1e3 * pairs / elapsed_ms, 1),
        **{f"{half}_half_ms": round(total / pairs, 3) for half, total in totals.items()},
        "hidden": round(both / shorter, 3) if shorter else 0.0,
        "spans": [[half, *span] for half, rows in spans.items() for span in rows],
    }
