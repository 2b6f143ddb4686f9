"""Settings of a training run; free of torch, so that the command line can list them anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from ivfusion_ros.config.parameters import parameter


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training run."""

    network: str = parameter("refinefuse", "name of the network")
    loss: str = parameter("multiscale", "name of the loss")
    iterations: int = parameter(40000, "optimiser steps", minimum=1)
    batch: int = parameter(8, "crops per step", minimum=1)
    crop: int = parameter(256, "side of a crop, pixels; a multiple of the network's stride", minimum=32)
    learning_rate: float = parameter(1e-3, "peak of the one-cycle schedule (AdamW)", minimum=1e-8)
    weight_decay: float = parameter(1e-4, "of AdamW", minimum=0.0)
    gradient_limit: float = parameter(1.0, "largest gradient norm, longer ones are cut", minimum=1e-6)
    precision: str = parameter("bf16", "of the forward pass", choices=("bf16", "f32"))
    validation_fraction: float = parameter(
        0.08, "share of each folder held out, in whole runs of frame numbers", minimum=0.0, maximum=0.5
    )
    validate_every: int = parameter(500, "steps between validations and checkpoints", minimum=1)
    seed: int = parameter(0, "of weights, crops and held-out runs", minimum=0)
    vgg: str = parameter(
        "imagenet",
        "features of losses and start of encoders that build on VGG: imagenet (weights by torchvision, "
        "downloaded once) or none (what the loss or network does without)",
        choices=("imagenet", "none"),
    )
    teacher: str = parameter(
        "", "fusion model to learn from, a name or an ONNX file; its images are kept beside the run"
    )
    folder_limit: int = parameter(
        0, "most pairs of a folder to train on, evenly spread; 0: all of them", minimum=0
    )
    device: str = parameter("auto", "auto, cpu or cuda", choices=("auto", "cpu", "cuda"))
