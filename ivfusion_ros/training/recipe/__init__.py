"""Recipes: stages from pairs on disk to a model and its figures, in one run folder."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "names": ("check_names", "check_test"),
        "recipe": ("Recipe", "is_recipe", "read_recipe", "single", "with_epochs"),
        "run": ("Inputs", "began_as_toy", "run_recipe"),
        "stages": ("DetectorStage", "FusionStage"),
        "toy": ("write_toy_data",),
    },
)
