"""Training of the fusion networks; all but its config needs torch."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "config": (
            "AugmentConfig",
            "OptimizerConfig",
            "ScheduleConfig",
            "TrainConfig",
            "ValidationConfig",
            "load_train_config",
        ),
        "loss_config": (
            "DistillationConfig",
            "FeatureFusionLossConfig",
            "MdaLossConfig",
            "MultiScaleConfig",
            "ReconstructionLossConfig",
            "RefineFuseLossConfig",
            "SECTIONS_OF",
            "TermConfig",
        ),
        "train": ("Trainer",),
        "vgg": ("normalised_rgb", "vgg_convolutions"),
    },
)
