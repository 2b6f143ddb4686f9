"""How torch records for a GPU, and what its errors become, with a CUDA that computes on the CPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import gpu_measures

from ivfusion_ros.backends import load_backend
from ivfusion_ros.errors import DeviceLostError, ModelError
from ivfusion_ros.evaluation.speed.benchmark import sample_pair
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.graph import FusionGraph

if TYPE_CHECKING:
    from collections.abc import Iterator


class Cuda:
    """Stands for torch.cuda: tensors stay where they are, a replay does again what was recorded.

    seen: cuDNN's settings and the mode of errors at each capture. fails: what a replay raises.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[dict[str, Any]] = []
        self.fails: BaseException | None = None
        move, empty = torch.Tensor.to, torch.empty

        def stay(tensor: Any, *given: Any, **named: Any) -> Any:
            kept = [None if str(one) == "cuda" else one for one in given]
            return tensor.clone() if kept == [None] and not named else move(tensor, *kept, **named)

        monkeypatch.setattr(torch.Tensor, "to", stay)
        monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_, **__: module)
        monkeypatch.setattr(
            torch, "empty", lambda *given, pin_memory=False, **named: empty(*given, **named)
        )
        monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())
        stream = SimpleNamespace(synchronize=lambda: None)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "Stream", lambda: stream)
        monkeypatch.setattr(torch.cuda, "stream", lambda _: nullcontext())
        monkeypatch.setattr(torch.cuda, "CUDAGraph", self._recording)
        monkeypatch.setattr(torch.cuda, "graph", self._capture)

    @contextmanager
    def _capture(self, recording: Any, **options: Any) -> Iterator[None]:
        cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
        settings = {"benchmark": cudnn.benchmark, "tf32": (cudnn.allow_tf32, matmul.allow_tf32)}
        self.seen.append(options | settings)
        yield
        recording.recorded = self.last

    def _recording(self) -> SimpleNamespace:
        recording = SimpleNamespace()

        def replay() -> None:
            if self.fails is not None:
                raise self.fails
            network, inputs, output = recording.recorded
            with torch.inference_mode():
                output.copy_(network(*inputs))

        recording.replay = replay
        return recording

    def note(self, network: Any, inputs: Any, output: Any) -> None:
        if isinstance(network, FusionGraph):
            self.last = network, inputs, output


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cuda]:
    cuda = Cuda(monkeypatch)
    hook = torch.nn.modules.module.register_module_forward_hook(cuda.note)
    yield cuda
    hook.remove()


def images() -> dict[str, np.ndarray]:
    thermal, rgb = sample_pair((64, 48))
    return {"thermal": thermal[None], "rgb": rgb[None]}


def test_a_recording_is_of_its_thread_with_kernels_that_were_timed(gpu: Cuda) -> None:
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32
    backend = load_backend(resolve_model("mst"), "torch", precision="f32")
    assert "on cuda" in backend.description
    expected = load_backend(resolve_model("mst"), "onnxruntime").run(images())["fused"]
    for _ in range(2):
        fused = backend.run(images())["fused"]
        assert np.abs(fused.astype(int) - expected.astype(int)).max() <= 1
    (seen,) = gpu.seen
    # Other threads go on with CUDA meanwhile, and each run is as fast as cuDNN's best kernel, in f32.
    assert seen["capture_error_mode"] == "thread_local"
    assert seen["benchmark"] is True and seen["tf32"] == (False, False)
    assert (cudnn.benchmark, cudnn.allow_tf32, matmul.allow_tf32) == before


def test_the_script_for_a_gpu_times_graph_and_calls(gpu: Cuda, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append(1))
    backend = load_backend(resolve_model("mst"), "torch", precision="f32")
    times = gpu_measures._torch_times(backend, (64, 48), 2)
    assert times["graph_ms"] > 0 and times["eager_ms"] > 0
    # Before and after the runs of each: else the time would be that of handing them to the GPU.
    assert len(waits) == 4


def test_a_sticky_error_loses_the_gpu_and_another_one_does_not(gpu: Cuda) -> None:
    backend = load_backend(resolve_model("mst"), "torch", precision="f32")
    good = backend.run(images())["fused"]
    gpu.fails = RuntimeError("CUDA error: out of memory")
    with pytest.raises(ModelError, match=r"torch cannot run .*out of memory"):
        backend.run(images())
    gpu.fails = RuntimeError("CUDA error: an illegal memory access was encountered")
    gpu.fails.error_code = 700  # type: ignore[attr-defined]
    with pytest.raises(DeviceLostError, match=r"illegal memory access.* has to be started anew"):
        backend.run(images())
    gpu.fails = None
    assert np.array_equal(backend.run(images())["fused"], good)


def test_sizes_do_not_pile_up(gpu: Cuda) -> None:
    backend = load_backend(resolve_model("mst"), "torch", precision="f32")
    for width in (32, 40, 48, 56, 64, 32):
        thermal, rgb = sample_pair((width, 32))
        backend.run({"thermal": thermal[None], "rgb": rgb[None]})
    # Four are kept; the first size was given up, and recorded again.
    assert len(gpu.seen) == 6 and len(backend._recordings) == 4
