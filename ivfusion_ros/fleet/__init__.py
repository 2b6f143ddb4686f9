"""One replay over many recordings and machines: found, fused each once, and tabled."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "cluster": ("Replicas",),
        "job": ("Job",),
        "recordings": ("Recording", "find_recordings"),
        "run": ("Fleet",),
        "store": ("Store",),
        "table": ("read_rows", "write_rows"),
        "work": ("Worker",),
    },
)
