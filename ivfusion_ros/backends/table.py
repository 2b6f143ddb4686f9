"""The backends, one row each: what is known of them before anything of theirs is imported.

To add one: write a class with the members of Backend and the constructor
`(model_path: Path, *, precision: str, threads: int)`, and give it a row in BACKENDS.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from ivfusion_ros.graphs.task import Task

Device = Literal["cpu", "gpu"]
"""gpu: an NVIDIA GPU."""


class BackendRow(NamedTuple):
    """What commands and `auto` know of a backend. Functions and classes are named "module:name"."""

    runs: str
    """the class that runs a model"""
    install: str
    """the command that installs it"""
    library: str = ""
    """Python module whose __version__ is shown; empty for none"""
    probe: str = ""
    """function for the version where more than an import decides; raises BackendError, saying what to do"""
    tasks: tuple[Task, ...] = ("fusion", "detection")
    any_graph: bool = True
    """whether it runs every ONNX file of its tasks, or only this project's networks"""
    devices: tuple[Device, ...] = ("cpu",)
    """what it computes on, by what the machine has"""
    precisions: tuple[str, ...] = ("auto",)
    """those that bench times; f32 among them where auto usually computes in less"""
    warm_ups: int = 2
    """untimed runs of a benchmark: more where engines are built and CUDA graphs recorded"""
    auto: bool = False
    """whether `auto` may choose it; among those of a device the earlier row goes first"""
    int8: bool = False
    """whether it gains by models in int8, for which auto takes it first"""


CHOSEN_HERE = ("auto", "measured")
"""Names that stand for one of BACKENDS, which choice.py chooses."""

BACKENDS: dict[str, BackendRow] = {
    "openvino": BackendRow(
        runs="ivfusion_ros.backends.openvino_:OpenVinoBackend",
        install="pip install openvino",
        library="openvino",
        precisions=("auto", "f32"),
        auto=True,
        int8=True,
    ),
    "onnxruntime": BackendRow(
        runs="ivfusion_ros.backends.onnxruntime_:OnnxRuntimeBackend",
        install="pip install onnxruntime",
        library="onnxruntime",
        auto=True,
    ),
    "torch": BackendRow(
        runs="ivfusion_ros.backends.torch_:TorchBackend",
        install="pip install torch onnx",
        library="torch",
        tasks=("fusion",),
        any_graph=False,
        devices=("cpu", "gpu"),
    ),
    "tensorrt": BackendRow(
        runs="ivfusion_ros.backends.tensorrt.backend:TensorRtBackend",
        install="pip install cuda-bindings onnx, with tensorrt_rtx_cu13 (RTX GPU) or tensorrt (other GPU)",
        probe="ivfusion_ros.backends.tensorrt.backend:usable_version",
        devices=("gpu",),
        precisions=("auto", "f32"),
        warm_ups=5,
        auto=True,
    ),
    "onnxruntime_tensorrt": BackendRow(
        runs="ivfusion_ros.backends.onnxruntime_gpu.backend:TensorRtProviderBackend",
        install="pip uninstall onnxruntime; pip install onnxruntime-gpu tensorrt cuda-bindings onnx",
        probe="ivfusion_ros.backends.onnxruntime_gpu.backend:usable_tensorrt",
        devices=("gpu",),
        precisions=("auto", "f32"),
        warm_ups=5,
    ),
    "onnxruntime_rtx": BackendRow(
        runs="ivfusion_ros.backends.onnxruntime_gpu.backend:RtxProviderBackend",
        install="pip install onnxruntime-ep-nv-tensorrt-rtx-cu13 cuda-bindings onnx",
        probe="ivfusion_ros.backends.onnxruntime_gpu.backend:usable_rtx",
        devices=("gpu",),
        precisions=("auto", "f32"),
        warm_ups=5,
    ),
}
"""Backend name -> its row."""


def backend_names(*tasks: Task) -> tuple[str, ...]:
    """The names in BACKENDS of those that run all of these tasks."""
    return tuple(name for name, row in BACKENDS.items() if set(tasks) <= set(row.tasks))
