"""What a detector no longer sees in the fused image, as a term of a loss.

A frozen detector looks at both sources and at the fused image, all in grey. What it is sure of in either
source it should be as sure of in the fused image: its answers are compared cell by cell, so that neither
labels nor boxes are needed. Driving a fusion by a task behind it is known (Tang et al., SeAFusion, 2022);
the comparison with the better source is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ivfusion_ros.detection.classes import CLASS_NAMES
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks.yolov5 import BOX_VALUES, RGB
from ivfusion_ros.training.detector.anchors import read_detector

if TYPE_CHECKING:
    from ivfusion_ros.training.fusion.loss_config import DetectionTermConfig
    from ivfusion_ros.training.fusion.losses.base import Batch

_FEW_CELLS = 10
"""Sum of sureness below which a step's images, with nothing in them, say little."""
_MOST_LOST = 3.0
"""Of a cell's logarithm; further away a gradient would be of the noise of a sigmoid's end."""


class DetectionLost:
    """Called with a batch and its fused image: the mean logarithm of the sureness that is lost, a scalar.

    Weighted by how sure the detector is of the better source, 0 where it is below `sure_from`.
    """

    def __init__(self, config: DetectionTermConfig) -> None:
        """Raises ConfigError where no detector is named, ModelError for a file that does not fit."""
        try:
            path = resolve_model(config.detector, "detection")
        except ModelError as error:
            raise ConfigError(
                f"detection.detector is {config.detector!r}: {error}; with --set "
                "STAGE.terms.detection.detector=FILE (without STAGE. for one training alone) give a "
                "detector with anchors: a model that ships, an ONNX file, a final.pt, or COCO's YOLOv5n as "
                'safetensors (docs/training.md, "COCO\'s YOLOv5n")'
            ) from error
        model = read_detector(path, CLASS_NAMES, RGB)
        model.eval().requires_grad_(False)
        self._model = model.fuse(verbose=False).to(memory_format=torch.channels_last)
        # The head gives logits in training alone.
        self._model.model[-1].train()
        self._sure_from = config.sure_from

    def __call__(self, batch: Batch, fused: Tensor) -> Tensor:
        """fused: (B, 1, H, W) in [0, 1]; see the class."""
        self._model.to(fused.device)
        with torch.no_grad():
            thermal, visible = (self._surety(image) for image in (batch.thermal, batch.visible))
        lost, weight = fused.new_zeros(()), fused.new_tensor(float(_FEW_CELLS))
        for levels in zip(thermal, visible, self._surety(fused), strict=True):
            better = torch.maximum(levels[0], levels[1])
            # Of a cell that both classes fit the surer one, else a truck would have to be a car too.
            better = torch.where(better == better.amax(-1, keepdim=True), better, -torch.inf)
            sure = torch.where(better.exp() < self._sure_from, torch.zeros_like(better), better.exp())
            short = (better - levels[2]).clamp(0, _MOST_LOST)
            lost = lost + (sure * short).sum()
            weight = weight + sure.sum()
        return lost / weight

    def _surety(self, image: Tensor) -> list[Tensor]:
        """Logarithms of objectness times class score by stride, (B, 3, H, W, classes) float32."""
        colours = image.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(image.device.type, torch.bfloat16):
            answers: list[Tensor] = self._model(colours)
        return [
            logsigmoid(level[..., 4:5].float()) + logsigmoid(level[..., BOX_VALUES:].float())
            for level in answers
        ]
