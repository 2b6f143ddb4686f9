"""What Python users import from the package's top: a pair, a recording or a pipeline, in one line each."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {"pipeline": ("Pipeline", "fuse"), "recording": ("Recording", "open"), "result": ("Result",)},
)
