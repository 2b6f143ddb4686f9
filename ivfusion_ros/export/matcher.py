"""A trained matcher -> ONNX, by the contract of calibrate/matcher.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import torch

from ivfusion_ros.calibrate.matcher import INPUTS, OUTPUTS
from ivfusion_ros.errors import ModelError
from ivfusion_ros.export.fusion import OPSET, quiet, strip_traces
from ivfusion_ros.files import whole_files
from ivfusion_ros.networks.matcher import Matcher, MatcherGraph

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.types import Floats, Size

_NEAR_PX = 0.05
_SHARE = 0.02
"""Of the places that may differ by more: where two are equally good, rounding decides."""


def export_matcher(network: Matcher, size: Size, path: Path) -> None:
    """Write it for images of a size, (width, height), and check it; the file appears only when it is whole.

    Raises ModelError for weights that are not finite, and where ONNX Runtime finds other places than torch.
    """
    if not all(bool(torch.isfinite(weight).all()) for weight in network.state_dict().values()):
        raise ModelError("the matcher has weights that are not finite; train it again at a lower rate")
    graph = MatcherGraph(network, size).eval()
    images = tuple(torch.rand(1, 1, size[1], size[0]) for _ in INPUTS)
    with quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph,
            images,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(INPUTS),
            output_names=list(OUTPUTS),
            verbose=False,
        )
        wanted = graph(*images)[0].numpy()
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    strip_traces(model)
    with whole_files(path) as staged:
        onnx.save(model, staged)
        onnx.checker.check_model(staged, full_check=True)
        _check(staged, {name: image.numpy() for name, image in zip(INPUTS, images, strict=True)}, wanted)


def _check(path: Path, images: dict[str, Floats], wanted: Floats) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = session.run(OUTPUTS[:1], images)[0]
    apart = float((np.abs(found - wanted).max(1) > _NEAR_PX).mean())
    if not apart <= _SHARE:
        raise ModelError(
            f"ONNX Runtime finds {apart:.0%} of the places more than {_NEAR_PX} px from torch's, expected "
            f"at most {_SHARE:.0%}; the network uses an operation that does not export"
        )
