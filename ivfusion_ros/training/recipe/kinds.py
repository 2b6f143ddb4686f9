"""What a stage of a recipe may be."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BackendError
from ivfusion_ros.training.recipe.stages import (
    DatasetStage,
    DetectionEvaluationStage,
    DetectorStage,
    EvaluationStage,
    ExportStage,
    FusionStage,
    Int8FusionStage,
    Int8Stage,
    MatcherEvaluationStage,
    MatcherStage,
    MeanStage,
    PruneStage,
    TeacherImagesStage,
)

if TYPE_CHECKING:
    from ivfusion_ros.training.recipe.run import Context

Result = dict[str, Any]
"""What a stage made: weights, model, folder (of the run folder), figures, and more of its kind."""


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    config: its settings. module: of this room, with the function that runs it, which needs the libraries;
    extra: of this package, which has them. references: settings that may name an earlier stage.
    """

    config: type[Any]
    module: str
    function: str
    libraries: str
    references: tuple[str, ...]
    extra: str = "train"

    def run(self, context: Context) -> Result:
        """Do a stage's work, from where it stopped. Raises BackendError where a library is missing."""
        try:
            module = importlib.import_module(f"ivfusion_ros.training.recipe.{self.module}")
        except ImportError as error:
            raise BackendError(
                f"training needs {self.libraries} ({error}); run: pip install {self.libraries}, or this "
                f"package[{self.extra}]"
            ) from error
        result: Result = getattr(module, self.function)(context)
        return result


_FUSION = "torch onnx onnxscript"
_DETECTOR = "ultralytics openvino safetensors"

KINDS: dict[str, Kind] = {
    "teacher_images": Kind(TeacherImagesStage, "fusion_stages", "prepare_teacher", "torch", ("model",)),
    "fusion": Kind(FusionStage, "fusion_stages", "train", "torch", ("init", "teacher")),
    "mean": Kind(MeanStage, "fusion_stages", "take_mean", "torch", ("of", "other")),
    "prune": Kind(PruneStage, "fusion_stages", "prune_channels", "torch onnx", ("of",)),
    "export": Kind(ExportStage, "export_stages", "export", _FUSION, ("of",)),
    "evaluation": Kind(EvaluationStage, "fusion_stages", "evaluate", "torch", ("of", "learner")),
    "dataset": Kind(DatasetStage, "detector_stages", "make_dataset", "onnxruntime", ("teacher",)),
    "detector": Kind(
        DetectorStage,
        "detector_training",
        "train",
        _DETECTOR,
        ("data", "init", "teacher", "memory"),
        "train-detector",
    ),
    "matcher": Kind(MatcherStage, "matcher_stages", "train", "torch", ()),
    "matcher_evaluation": Kind(
        MatcherEvaluationStage, "matcher_stages", "evaluate", "torch onnxruntime", ("of", "learner")
    ),
    "int8_fusion": Kind(Int8FusionStage, "export_stages", "quantise_fusing", "torch onnx", ("of",)),
    "int8": Kind(Int8Stage, "export_stages", "quantise", "onnx", ("of", "images")),
    "detection_evaluation": Kind(
        DetectionEvaluationStage, "detector_stages", "evaluate", "onnxruntime", ("of", "data")
    ),
}
