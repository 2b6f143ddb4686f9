"""Settings of the kinds of stages that a recipe is made of; free of torch.

A setting that names an earlier stage takes what that stage made; it may name a file or a shipped model too.
"""

from __future__ import annotations

from dataclasses import dataclass

from ivfusion_ros.config.parameters import parameter
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.training.detector.config import DetectorConfig
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.training.matcher.config import MatcherConfig, SplitConfig


@dataclass(frozen=True)
class FusionStage(TrainConfig):
    """Training of a fusion network. teacher: also a stage of kind teacher_images or export."""

    init: str = parameter(
        "", "stage, checkpoint or ONNX file whose weights to begin with; empty: random ones"
    )


@dataclass(frozen=True)
class MeanStage:
    """The mean of two fusion networks' weights, as of one before and after it was trained on."""

    of: str = parameter("train", "stage of kind fusion, or checkpoint")
    other: str = parameter("", "likewise, or an ONNX file, of the same network")
    share: float = parameter(0.5, "of the other one", minimum=0.0, maximum=1.0)


@dataclass(frozen=True)
class PruneStage(SplitConfig):
    """A fusion network with fewer channels; which ones, some of the pairs to train on tell."""

    of: str = parameter("train", "stage of kind fusion or mean, checkpoint or ONNX file of ours")
    pairs: int = parameter(48, "to look at, evenly spread over those to train on", minimum=1)
    error: float = parameter(
        0.0002,
        "most of the variance of what is made of channels that go together which may be lost",
        minimum=0.0,
        maximum=1.0,
    )
    multiple: int = parameter(16, "of channels that stay, as a CPU computes them together", minimum=1)


@dataclass(frozen=True)
class TeacherImagesStage:
    """A model's fused images, for a later stage to learn from."""

    model: str = parameter("refinefuse", "fusion model: stage of kind export, name or ONNX file")
    learner: str = parameter("train", "stage of kind fusion whose pairs are fused")


@dataclass(frozen=True)
class DatasetStage:
    """A data set of images with boxes, as `ivfusion dataset` writes it."""

    images: tuple[str, ...] = parameter(
        ("rgb", "thermal"),
        "KIND or KIND:SHARE: thermal, rgb, fusion models by name, file or stage; +haze: in smoke",
    )
    teacher: str = parameter("", "ONNX detector of COCO's classes that tells touching objects apart")
    class_map: str = parameter(
        "", "YAML of `number: name` or `name: name`: what classes in box files are that COCO does not have"
    )
    backend: str = parameter("auto", "what runs the networks")


@dataclass(frozen=True)
class DetectorStage(DetectorConfig):
    """Training of a detector."""

    data: str = parameter("dataset", "stage of kind dataset, or folder of `ivfusion dataset`")
    init: str = parameter("", "stage or checkpoint whose weights to begin with; empty: random ones")


@dataclass(frozen=True)
class MatcherStage(MatcherConfig):
    """Training of a matcher."""


@dataclass(frozen=True)
class ExportStage:
    """A trained network as ONNX, in the run folder."""

    of: str = parameter("train", "stage of kind fusion, detector or matcher, or checkpoint")
    width: int = parameter(640, "of a detector's or matcher's input, pixels, a multiple of 32", minimum=32)
    height: int = parameter(480, "height of that input", minimum=32)
    half: bool = parameter(False, "in half precision, if it passes its self-test")

    def __post_init__(self) -> None:
        if self.width % 32 or self.height % 32:
            raise ConfigError(f"size is {self.width}x{self.height}, expected multiples of 32")


@dataclass(frozen=True)
class Int8Stage:
    """A detector in int8, in the run folder."""

    of: str = parameter("export", "detector: stage of kind export, name or ONNX file")
    images: str = parameter("dataset", "stage of kind dataset, or folder of images to calibrate on")


@dataclass(frozen=True)
class Int8FusionStage(SplitConfig):
    """A fusion network in int8, in the run folder, calibrated on some of the pairs to train on."""

    of: str = parameter("export", "fusion model: stage of kind export, name or ONNX file")


@dataclass(frozen=True)
class EvaluationStage:
    """Figures of a fusion model on held-out pairs and on the folders of --test, as `ivfusion eval`."""

    of: str = parameter("export", "fusion model: stage of kind export, name or ONNX file")
    learner: str = parameter("train", "stage of kind fusion or int8_fusion whose held-out pairs count")
    metrics: tuple[str, ...] = parameter(
        ("VIF", "AG", "SCD", "Qabf", "SF", "EN", "SSIM"), "metrics by their names in `ivfusion eval`"
    )
    backend: str = parameter("auto", "what runs the network")
    jobs: int = parameter(1, "processes that compute metrics", minimum=1)


@dataclass(frozen=True)
class DetectionEvaluationStage:
    """Average precision of a detector on held-out scenes, as `ivfusion eval-detection`."""

    of: str = parameter("export", "detector: stage of kind export or int8, name or ONNX file")
    data: str = parameter("dataset", "stage of kind dataset, or folder of `ivfusion dataset`")
    models: tuple[str, ...] = parameter(
        ("mst",), "fusion models whose images are compared with both cameras'"
    )
    classes: tuple[str, ...] = parameter((), "classes that count; none: all of the data set")
    limit: int = parameter(0, "largest number of scenes, evenly spread; 0: all", minimum=0)
    backend: str = parameter("auto", "what runs the networks")


@dataclass(frozen=True)
class MatcherEvaluationStage:
    """How far a matcher's places put held-out pairs that are warped at random, by themselves."""

    of: str = parameter("export", "matcher: stage of kind export, or ONNX file")
    learner: str = parameter("train", "stage of kind matcher whose held-out pairs count")
    limit: int = parameter(100, "largest number of pairs, evenly spread; 0: all", minimum=0)
    seed: int = parameter(1, "of the warps", minimum=0)
