"""VGG's convolutions with torchvision's ImageNet weights, for losses and encoders that build on them."""

from __future__ import annotations

import importlib

import torch
from torch import nn

from ivfusion_ros.errors import BackendError, ModelError

WEIGHTS = {16: "VGG16_Weights", 19: "VGG19_Weights"}
"""Depth and torchvision's name of its weights."""


def vgg_convolutions(depth: int) -> nn.Sequential:
    """The convolutional part of VGG-16 or VGG-19, frozen, in evaluation mode, on the CPU.

    depth: 16 or 19. torchvision downloads the weights (about 550 MB) on the first call and keeps them.
    Raises BackendError without torchvision, ModelError where the weights are neither at hand nor can be
    downloaded.
    """
    try:
        models = importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:  # RuntimeError: built for another torch
        raise BackendError(
            f"VGG-{depth} needs torchvision ({error}); install the torchvision that belongs to torch "
            f"{torch.__version__}, or train with --vgg none"
        ) from error
    weights = getattr(models, WEIGHTS[depth]).IMAGENET1K_V1
    try:
        network = getattr(models, f"vgg{depth}")(weights=weights)
    except (OSError, RuntimeError) as error:
        raise ModelError(
            f"no ImageNet weights of VGG-{depth}: tried {torch.hub.get_dir()}/checkpoints, then "
            f"{weights.url} ({error}); train once with a network connection, put that file into that "
            "folder, or work offline with --vgg none"
        ) from error
    features: nn.Sequential = network.features
    return features.eval().requires_grad_(False)
