"""A detector with anchors out of its ONNX file, whose convolutions hold the batch norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from ivfusion_ros.detection.class_names import names_from_metadata
from ivfusion_ros.errors import ModelError
from ivfusion_ros.graphs.onnx_file import read_metadata, read_model
from ivfusion_ros.networks.yolov5 import (
    FIRST_WEIGHT,
    RGB,
    RGB_AND_THERMAL,
    AnchorModel,
    batch_norms,
)

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

NETWORKS = {16: "yolov5n", 32: "yolov5s", 48: "yolov5m", 64: "yolov5l", 80: "yolov5x"}
"""By the channels that the first convolution gives."""


def folded_model(path: Path) -> AnchorModel:
    """The model of an ONNX file, whose norms change nothing.

    path: a detector with anchors in f32 or f16, as `ivfusion export --detector` writes it. Raises
    ModelError for one of another kind.
    """
    first = _weights(path).get(FIRST_WEIGHT)
    names = names_from_metadata(read_metadata(path))
    if (
        first is None
        or len(first) not in NETWORKS
        or first.shape[1] not in (RGB, RGB_AND_THERMAL)
        or not names
    ):
        raise _unfit(path)
    model = AnchorModel(NETWORKS[len(first)], names, first.shape[1])
    _fill(model, path)
    model.eval()
    return model


def _fill(model: AnchorModel, path: Path) -> None:
    given = _weights(path)
    own = {f"{name}.bias": norm.bias for name, norm in batch_norms(model)}
    own = {name.replace(".bn.", ".conv."): weight for name, weight in own.items()}
    own |= {name: weight for name, weight in model.named_parameters() if ".bn." not in name}
    missing = [name for name in own if name not in given]
    wrong = [name for name in own if name in given and given[name].shape != own[name].shape]
    if missing or wrong:
        counts = f"{len(missing)} weights are missing and {len(wrong)} have another shape"
        raise _unfit(path, f" ({counts}, for example {(missing + wrong)[0]})")
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(given[name])
        for _, norm in batch_norms(model):
            norm.weight.fill_(1)
            norm.running_mean.zero_()
            norm.running_var.fill_(1 - norm.eps)


def _unfit(path: Path, detail: str = "") -> ModelError:
    return ModelError(
        f"{path} holds no YOLOv5 with anchors and class names in f32 or f16{detail}, and weights are taken "
        "from no other ONNX file; give one that `ivfusion export --detector` wrote of a final.pt, or the "
        ".pt that this one was made of"
    )


def _weights(path: Path) -> dict[str, Tensor]:
    """Float32 by their names in the model; a graph of two images has it within another one."""
    tensors = read_model(path).graph.initializer
    return {
        tensor.name.replace("model.model.", "model."): torch.from_numpy(
            onnx.numpy_helper.to_array(tensor).astype(np.float32)
        )
        for tensor in tensors
        if tensor.data_type in (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    }
