"""A network in f32 (ONNX) -> the same in int8, as suits its task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.export.int8 import quantise_detector
from ivfusion_ros.export.int8_fusion import quantise_fusion
from ivfusion_ros.graphs.onnx_file import read_model
from ivfusion_ros.graphs.task import task_of
from ivfusion_ros.sources.published import pairs_to_learn_from

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.backends.compare import Outcome


def quantise_file(source: Path, path: Path, folder: Path) -> Outcome:
    """Write the network in `source` to `path` in int8; returns its self-test.

    folder: images such as a detector will see, or pairs such as a fusion network will. The file appears
    only when it is whole and has passed. Raises ModelError, DataError, ImageError, BackendError (no ONNX
    Runtime).
    """
    # What is no ONNX file at all is refused by the detector's, with advice.
    if source.suffix == ".onnx" and task_of(read_model(source)) == "fusion":
        return quantise_fusion(source, path, pairs_to_learn_from(folder))
    return quantise_detector(source, path, folder)
