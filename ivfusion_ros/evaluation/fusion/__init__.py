"""Judging fusion networks, and folders of fused images by other programs, with metrics and pictures."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "journal": ("Journal", "Subject"),
        "judge": ("Result",),
        "methods": (
            "FolderMethod",
            "Method",
            "NetworkMethod",
            "check_methods",
            "file_identity",
            "make_methods",
            "read_thermal",
        ),
        "names": ("FADED", "FAINT", "METRIC_NAMES", "SHEET_NAMES"),
        "pairs": ("Pair", "hour", "pair_files", "read_pairs"),
        "plots": ("COLOURS", "write_plot"),
        "report": ("figures", "page"),
        "scores": ("JUDGED_BY", "LOWER_IS_BETTER", "columns"),
        "sheet": ("write_sheet",),
        "tables": (
            "ALL",
            "Row",
            "finite",
            "image_rows",
            "mean_rows",
            "means",
            "metric_names",
            "to_csv",
            "to_markdown",
        ),
    },
)
