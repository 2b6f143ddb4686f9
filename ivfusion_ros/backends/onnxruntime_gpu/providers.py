"""ONNX Runtime's two providers of TensorRT: what they need, their options, a session by each.

TensorrtExecutionProvider is part of onnxruntime-gpu and loads the machine's TensorRT. That for RTX GPUs is
a plugin for any ONNX Runtime from 1.24 on, and brings its own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

import onnxruntime

from ivfusion_ros.errors import BackendError, ModelError

if TYPE_CHECKING:
    from pathlib import Path

Options = dict[str, str]


class Provider(Protocol):
    """One of ONNX Runtime's providers."""

    backend: str
    """key in BACKENDS"""
    title: str
    """for people"""
    execution_provider: str
    """as ONNX Runtime names it"""

    def version(self) -> str:
        """Of what computes, with ONNX Runtime's. Raises BackendError where it cannot run, saying why."""

    def options(self, folder: Path, *, half: bool) -> Options:
        """Of a session whose engines are kept in this folder. half: the graph has halves."""

    def choose(self, session: onnxruntime.SessionOptions, options: Options) -> list[Any]:
        """Set it in a session's options, or give what InferenceSession takes as providers."""


class TensorRtProvider:
    """The provider of onnxruntime-gpu, on any GPU that its TensorRT serves."""

    backend = "onnxruntime_tensorrt"
    title = "ONNX Runtime's TensorRT"
    execution_provider = "TensorrtExecutionProvider"

    def version(self) -> str:
        """See Provider.version."""
        available = onnxruntime.get_available_providers()
        if self.execution_provider not in available:
            raise BackendError(
                f"this ONNX Runtime {onnxruntime.__version__} has no {self.execution_provider}, only "
                f"{', '.join(available)}; run: pip uninstall onnxruntime, then pip install onnxruntime-gpu "
                "tensorrt (on a Jetson: the onnxruntime-gpu that is built for its JetPack)"
            )
        return f"{onnxruntime.__version__}, TensorRT {_installed('tensorrt')}"

    def options(self, folder: Path, *, half: bool) -> Options:
        """See Provider.options."""
        return {
            "device_id": "0",
            "trt_engine_cache_enable": "1",
            "trt_engine_cache_path": str(folder),
            "trt_timing_cache_enable": "1",
            "trt_timing_cache_path": str(folder),
            # The graph says what is half; TensorRT before 11 wants to be told that there is any.
            "trt_fp16_enable": str(int(half)),
        }

    def choose(self, session: onnxruntime.SessionOptions, options: Options) -> list[Any]:  # noqa: ARG002 (the other one uses it)
        """See Provider.choose."""
        return [(self.execution_provider, options), "CPUExecutionProvider"]


class RtxProvider:
    """The plugin for RTX GPUs, from the RTX 30 series on."""

    backend = "onnxruntime_rtx"
    title = "ONNX Runtime's TensorRT for RTX"
    execution_provider = "NvTensorRTRTXExecutionProvider"
    _plugin = "onnxruntime_ep_nv_tensorrt_rtx"

    def version(self) -> str:
        """See Provider.version."""
        plugin = _registered(self._plugin)
        if not self._devices():
            raise BackendError(f"{self.title} finds no RTX GPU here")
        return f"{onnxruntime.__version__}, plugin {plugin.__version__}"

    def options(self, folder: Path, *, half: bool) -> Options:  # noqa: ARG002 (the graph's types decide)
        """See Provider.options."""
        return {"nv_runtime_cache_path": str(folder)}

    def choose(self, session: onnxruntime.SessionOptions, options: Options) -> list[Any]:
        """See Provider.choose."""
        session.add_provider_for_devices(self._devices()[:1], options)
        return []

    def _devices(self) -> list[Any]:
        found = onnxruntime.get_ep_devices()
        return [device for device in found if device.ep_name == self.execution_provider]


@cache
def _registered(name: str) -> Any:
    """A plugin that ONNX Runtime knows from now on. Raises BackendError."""
    install = "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13, beside ONNX Runtime 1.24 or newer"
    try:
        plugin = importlib.import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        raise BackendError(
            f"the plugin of TensorRT for RTX is missing ({error}); run: {install}"
        ) from error
    register = getattr(onnxruntime, "register_execution_provider_library", None)
    if register is None:
        raise BackendError(f"ONNX Runtime {onnxruntime.__version__} takes no plugins; run: {install}")
    try:
        register(plugin.get_ep_name(), plugin.get_library_path())
    # ONNX Runtime's errors share no base class but Exception.
    except Exception as error:
        raise BackendError(
            f"ONNX Runtime cannot load {plugin.get_library_path()}: {_reason(error)}; "
            "is there an NVIDIA driver?"
        ) from error
    return plugin


def start(provider: Provider, graph: bytes, folder: Path, *, half: bool) -> onnxruntime.InferenceSession:
    """A session on the GPU, and never one that fell back to the CPU. Raises ModelError, BackendError."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    chosen = provider.choose(options, provider.options(folder, half=half))
    try:
        session = onnxruntime.InferenceSession(graph, options, **({"providers": chosen} if chosen else {}))
    # ONNX Runtime's errors share no base class but Exception.
    except Exception as error:
        raise ModelError(f"{provider.title} cannot load the model: {_reason(error)}") from error
    used = session.get_providers()
    if provider.execution_provider not in used:
        raise BackendError(
            f"ONNX Runtime fell back to {', '.join(used)}: {provider.execution_provider} does not load, "
            "mostly for want of a library that it needs (TensorRT, CUDA, cuDNN of its versions); choose "
            "another backend"
        )
    session.disable_fallback()
    return session


def _installed(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of the system"


def _reason(error: Exception) -> str:
    """The library's message without its codes, first line only."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].split(" : ", 3)[-1].strip()
