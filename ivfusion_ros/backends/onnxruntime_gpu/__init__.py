"""ONNX Runtime on an NVIDIA GPU, by its TensorRT providers: a second road to what tensorrt/ does itself."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {"backend": ("ProviderBackend",), "providers": ("Provider", "RtxProvider", "TensorRtProvider")},
)
