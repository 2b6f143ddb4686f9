"""TensorRT engines: an ONNX model compiled for one GPU and one image size, and kept."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "cache": ("FOLDER_VARIABLE", "engine_folder", "fitness", "read_records"),
        "library": ("Library", "load_library"),
        "make": ("EngineBuilder",),
    },
)
