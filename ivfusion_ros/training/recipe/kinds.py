"""What a stage of a recipe may be, what it takes from others and what it makes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
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
from ivfusion_ros.training.recipe.taken import DETECTION, FOLDER, FUSION, MATCHING, WEIGHTS, Taken

if TYPE_CHECKING:
    from ivfusion_ros.training.recipe.run import Context

Result = dict[str, Any]
"""What a stage made: weights, model, folder (of the run folder), figures, and more of its kind."""


@dataclass(frozen=True)
class Kind:
    """A kind of stage.

    config: its settings. module: of this room, with the function that runs it, which needs the libraries;
    extra: of this package, which has them. takes: what settings name. makes: keys of the result that later
    stages may take. learners: kinds of the stage that the setting `learner` names, if there is one.
    """

    config: type[Any]
    module: str
    function: str
    libraries: str
    takes: Mapping[str, Taken]
    makes: tuple[str, ...] = ()
    learners: tuple[str, ...] = ()
    extra: str = "train"

    def run(self, context: Context) -> Result:
        """Do a stage's work, from where it stopped. Raises BackendError where a library is missing."""
        return self.load()(context)

    def load(self) -> Callable[[Context], Result]:
        """What runs it. Raises BackendError where a library is missing."""
        try:
            module = importlib.import_module(f"ivfusion_ros.training.recipe.{self.module}")
        except ImportError as error:
            raise BackendError(
                f"training needs {self.libraries} ({error}); run: pip install {self.libraries}, or this "
                f"package[{self.extra}]"
            ) from error
        function: Callable[[Context], Result] = getattr(module, self.function)
        return function


_EXPORT = "torch onnx onnxscript"
_DETECTOR = "ultralytics openvino safetensors"

KINDS: dict[str, Kind] = {
    "teacher_images": Kind(
        TeacherImagesStage,
        "fusion_stages",
        "prepare_teacher",
        "torch",
        {"model": FUSION},
        makes=("model", "images"),
        learners=("fusion",),
    ),
    "fusion": Kind(
        FusionStage,
        "fusion_stages",
        "train",
        "torch",
        {"init": WEIGHTS, "teacher": FUSION},
        makes=("weights",),
    ),
    "mean": Kind(
        MeanStage,
        "fusion_stages",
        "take_mean",
        "torch",
        {"of": WEIGHTS, "other": WEIGHTS},
        makes=("weights",),
    ),
    "prune": Kind(
        PruneStage, "fusion_stages", "prune_channels", "torch onnx", {"of": WEIGHTS}, makes=("weights",)
    ),
    "export": Kind(ExportStage, "export_stages", "export", _EXPORT, {"of": WEIGHTS}, makes=("model",)),
    "evaluation": Kind(
        EvaluationStage,
        "fusion_stages",
        "evaluate",
        "torch",
        {"of": FUSION},
        learners=("fusion", "int8_fusion"),
    ),
    "dataset": Kind(
        DatasetStage,
        "detector_stages",
        "make_dataset",
        "onnxruntime",
        {"teacher": DETECTION},
        makes=("folder",),
    ),
    "detector": Kind(
        DetectorStage,
        "detector_training",
        "train",
        _DETECTOR,
        {"data": FOLDER, "init": WEIGHTS, "teacher": DETECTION, "memory": WEIGHTS},
        makes=("weights",),
        extra="train-detector",
    ),
    "matcher": Kind(MatcherStage, "matcher_stages", "train", "torch", {}, makes=("weights",)),
    "matcher_evaluation": Kind(
        MatcherEvaluationStage,
        "matcher_stages",
        "evaluate",
        "torch onnxruntime",
        {"of": MATCHING},
        learners=("matcher",),
    ),
    "int8_fusion": Kind(
        Int8FusionStage, "export_stages", "quantise_fusing", "torch onnx", {"of": FUSION}, makes=("model",)
    ),
    "int8": Kind(
        Int8Stage,
        "export_stages",
        "quantise",
        "onnx",
        {"of": DETECTION, "images": FOLDER},
        makes=("model",),
    ),
    "detection_evaluation": Kind(
        DetectionEvaluationStage,
        "detector_stages",
        "evaluate",
        "onnxruntime",
        {"of": DETECTION, "data": FOLDER},
    ),
}
