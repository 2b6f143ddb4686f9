"""TensorRT engines: an ONNX model compiled for one GPU and one image size, and kept."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "cache": (
            "EngineKey",
            "EngineRecord",
            "FOLDER_VARIABLE",
            "differences",
            "distrust",
            "engine_folder",
            "fitness",
            "only_builder",
            "read_records",
        ),
        "library": ("Library", "installation", "load_library"),
        "make": ("EngineBuilder",),
    },
)
