"""What each subcommand of `ivfusion` can be asked, declared without the libraries that its work needs."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "calibrate_import": ("UNITS_M",),
        "doctor": ("PARAMETERS_OF",),
        "export": ("DETECTOR_SIZE",),
        "outputs": ("STDOUT", "output_file", "output_folder", "refuse_existing", "refuse_input"),
        "pipeline": ("SECTIONS", "TASKS", "add_pipeline_options"),
        "train": ("outside_sections",),
    },
)
