"""One replay over many recordings and machines: found, fused each once, tabled, and searched."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "clips": ("Clip", "cut"),
        "cluster": ("Replicas",),
        "expression": ("Condition", "parse"),
        "job": ("Job",),
        "mine": ("Miner",),
        "mine_settings": ("MineSettings",),
        "moments": ("MomentTable", "read_moments"),
        "page": ("fleet_page",),
        "recordings": ("Recording", "bring", "find_recordings"),
        "results": ("Results", "open_results"),
        "run": ("FLEET_TABLE", "Fleet"),
        "search": ("Span", "ask", "find", "unknown_classes"),
        "store": ("Store",),
        "table": ("read_rows", "write_rows"),
        "work": ("Worker",),
    },
)
