"""Training of the fusion networks; everything but the settings needs torch."""

from ivfusion_ros.faces import later

__getattr__, __all__ = later(
    __name__,
    {
        "config": (
            "AugmentConfig",
            "MAY_CHANGE",
            "OptimizerConfig",
            "ScheduleConfig",
            "TrainConfig",
            "ValidationConfig",
            "check_sections",
            "load_train_config",
            "settings",
        ),
        "data": ("read_luminance",),
        "loss_config": (
            "DetectionTermConfig",
            "DistillationConfig",
            "FeatureFusionLossConfig",
            "MdaLossConfig",
            "MultiScaleConfig",
            "ReconstructionLossConfig",
            "RefineFuseLossConfig",
            "SECTIONS_OF",
            "TermConfig",
            "TermsConfig",
        ),
        "optimizer": ("WeightAverage",),
        "prefetch": ("Prefetch",),
        "provenance": ("check_same_run", "differences", "file_identity", "files_identity", "versions"),
        "split": ("Split", "split_folders", "told"),
        "teacher": ("Teacher",),
        "trainer": ("Trainer",),
        "vgg": ("vgg_convolutions",),
    },
)
