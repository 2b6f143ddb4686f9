"""Feature imitation: a student learns to see as a teacher does (FitNets, Romero et al. 2015).

The teacher is an ONNX export of YOLOv5 whose backbone and neck have the student's channels, for example one
of COCO's 80 classes; its head does not matter. Only its features teach: no weight of it is copied.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ivfusion_ros.backends.openvino_ import core
from ivfusion_ros.backends.silent_openvino import openvino
from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LAYERS = (2, 4, 6, 9, 13, 17, 20, 23)
"""C3 and SPPF blocks of YOLOv5 (6.0), by their number in the model: strides 4 to 32, backbone and neck."""


class FeatureTeacher:
    """The features of an ONNX YOLOv5. OpenVINO runs it: on a CPU twice as fast as torch."""

    def __init__(self, path: Path) -> None:
        """Raises ModelError where the file has no YOLOv5 blocks."""
        self._model = core().read_model(path)
        tensors = {
            name: output
            for operation in self._model.get_ops()
            for output in operation.outputs()
            for name in output.get_names()
        }
        last = {9: "cv2"}
        names = [f"/model.{layer}/{last.get(layer, 'cv3')}" for layer in LAYERS]
        found = [
            next((tensors[f"{name}/{end}"] for end in ("Mul_output_0", "act/Mul_output_0")
                  if f"{name}/{end}" in tensors), None)
            for name in names
        ]  # fmt: skip
        missing = [name for name, output in zip(names, found, strict=True) if output is None]
        if missing:
            raise ModelError(f"{path} has no {missing[0]}; a teacher of features must be a YOLOv5 in ONNX")
        self._features = openvino.Model(
            [output for output in found if output], self._model.get_parameters()
        )
        self._compiled: dict[tuple[int, ...], Any] = {}

    def __call__(self, images: Tensor) -> list[Tensor]:
        """Features of LAYERS, float32 (B, C, h, w), of (B, 3, H, W) images in [0, 1]."""
        shape = tuple(images.shape)
        if shape not in self._compiled:
            self._features.reshape(list(shape))
            self._compiled[shape] = core().compile_model(self._features, "CPU")
        result = self._compiled[shape](np.ascontiguousarray(images.float().cpu().numpy()))
        return [torch.from_numpy(result[index]).to(images.device) for index in range(len(LAYERS))]


class ImitationLoss:
    """A detector's loss, and the distance of its features to a teacher's.

    The distance is, per layer, the mean squared difference over the variance of the teacher's features: 0
    for a perfect copy. Their mean is weighted by what `weight` says at the time.

    While `forced` says so, each block is given the teacher's features of the layers before it, so that all
    of them, and the head, learn at once rather than one after the other (blockwise distillation, Li et al.
    2020).
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Callable[..., Any],
        teacher: FeatureTeacher,
        *,
        weight: Callable[[], float],
        forced: Callable[[], bool],
    ) -> None:
        self._loss, self._teacher, self._weight, self._forced = loss, teacher, weight, forced
        self._seen: dict[int, Tensor] = {}
        self._taught: dict[int, Tensor] = {}
        blocks = model.get_submodule("model")
        blocks.get_submodule("0").register_forward_pre_hook(self._teach)
        for layer in LAYERS:
            blocks.get_submodule(str(layer)).register_forward_hook(self._keep(layer))

    def _teach(self, _module: nn.Module, inputs: tuple[Tensor]) -> None:
        # A teacher knows colours alone.
        self._taught = dict(zip(LAYERS, self._teacher(inputs[0][:, :3]), strict=True))

    def _keep(self, layer: int) -> Callable[[nn.Module, Any, Tensor], Tensor | None]:
        def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
            self._seen[layer] = output
            if not self._forced():
                return None
            return self._taught[layer].to(output.dtype).contiguous(memory_format=torch.channels_last)

        return hook

    def __call__(self, predictions: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """As ultralytics' losses: terms times batch size, and their values to be logged."""
        terms, items = self._loss(predictions, batch)
        layers = [
            functional.mse_loss(self._seen[layer].float(), self._taught[layer]) / self._taught[layer].var()
            for layer in LAYERS
        ]
        distance = torch.stack(layers).mean()
        weighted = self._weight() * distance * len(batch["img"])
        return torch.cat([terms, weighted[None]]), {**items, "imitation": distance.detach()}
