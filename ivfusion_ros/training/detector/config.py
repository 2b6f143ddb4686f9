"""Settings of a detector's training; free of torch, so that the command line can list them anywhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from ivfusion_ros.config.parameters import parameter
from ivfusion_ros.errors import ConfigError

_STRIDES = (8, 16, 32)


def _share(default: float, description: str) -> float:
    value: float = parameter(default, f"share of the samples {description}", minimum=0.0, maximum=1.0)
    return value


@dataclass(frozen=True)
class CameraConfig:
    """What is done to samples as night, fusion, cold on hot and cheap cameras give them."""

    inverted: float = _share(0.12, "that are inverted")
    gamma: float = _share(0.5, "with another gamma")
    lowest_gamma: float = parameter(0.5, "lower end of the gamma", minimum=0.05, maximum=20.0)
    highest_gamma: float = parameter(1.8, "upper end of the gamma", minimum=0.05, maximum=20.0)
    grey: float = _share(0.15, "without colour")
    blur: float = _share(0.15, "that are blurred")
    least_blur: float = parameter(0.5, "lower end of the blur's deviation, pixels", minimum=0.1)
    most_blur: float = parameter(1.5, "upper end of the blur's deviation, pixels", minimum=0.1)
    noise: float = _share(0.25, "with noise")
    least_noise: float = parameter(2.0, "lower end of the noise's deviation, grey levels", minimum=0.0)
    most_noise: float = parameter(12.0, "upper end of the noise's deviation, grey levels", minimum=0.0)


@dataclass(frozen=True)
class PasteConfig:
    """Objects of other cameras that are pasted into samples."""

    objects: str = parameter(
        "", "folder of CLASS.zip with cut-outs as thermal/NAME and rgb/NAME; empty: none are pasted"
    )
    share: float = _share(0.3, "into which objects are pasted")
    most: int = parameter(3, "most objects pasted into a sample", minimum=1, maximum=20)
    beside: float = parameter(
        0.0,
        "share of what is pasted that stands beside an object of its class and may hide half of it",
        minimum=0.0,
        maximum=1.0,
    )
    smallest_scale: float = parameter(0.4, "lower end of their scale", minimum=0.05, maximum=10.0)
    largest_scale: float = parameter(2.0, "upper end of their scale", minimum=0.05, maximum=10.0)


@dataclass(frozen=True)
class AnchorLossConfig:
    """Constants of the loss of head anchors, see AnchorLoss."""

    box_weight: float = parameter(0.05, "weight of 1 - complete IoU", minimum=0.0)
    object_weight: float = parameter(0.7, "weight of the objectness", minimum=0.0)
    class_weight: float = parameter(0.3, "weight of the classes", minimum=0.0)
    level_balance: tuple[float, ...] = parameter(
        (4.0, 1.0, 0.4),
        "weights of the objectness at strides 8, 16, 32: large objects are rarer",
        minimum=0.0,
    )
    max_ratio: float = parameter(4.0, "largest ratio of an object's side to its anchor's", minimum=1.0)

    def __post_init__(self) -> None:
        if len(self.level_balance) != len(_STRIDES):
            raise ConfigError(
                f"anchors.level_balance has {len(self.level_balance)} weights, expected "
                f"{len(_STRIDES)}, for strides {', '.join(map(str, _STRIDES))}"
            )


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, how long it is trained, and what of its start is kept."""

    detector: str = parameter("yolov5n", "ultralytics' name of the network, for example yolov5n or yolov5s")
    head: str = parameter(
        "anchor_free",
        "anchor_free: ultralytics' head; anchors: that of YOLOv5's release, which takes COCO's weights",
        choices=("anchor_free", "anchors"),
    )
    channels: str = parameter(
        "rgb",
        "rgb: the detector takes one image; rgb+thermal: the registered thermal image beside it too, an "
        "experiment; head anchors, without validate",
        choices=("rgb", "rgb+thermal"),
    )
    kept: float = parameter(
        0.0,
        "share of the starting weights in the result, which is their weighted mean with the trained ones: "
        "keeps what training forgets (Wortsman et al., Robust fine-tuning, 2022); head anchors only",
        minimum=0.0,
        maximum=1.0,
    )
    epochs: int = parameter(100, "passes over the scenes, each in one of its kinds of images", minimum=1)
    hours: float = parameter(
        0.0, "length of the run, schedule included; 0: by epochs", minimum=0.0, maximum=1000.0
    )
    batch: int = parameter(16, "images per step", minimum=1)


@dataclass(frozen=True)
class SampleConfig:
    """What is cut out of the scenes' images, and changed in it."""

    image_size: int = parameter(640, "long side of the images, pixels, before crops", minimum=64)
    crop_width: int = parameter(
        0, "width of the crops that are trained on, a multiple of 32; 0: image_size", minimum=0
    )
    crop_height: int = parameter(0, "height of these crops; 0: image_size", minimum=0)
    smallest_scale: float = parameter(0.5, "lower end of the random scale", minimum=0.05, maximum=4.0)
    largest_scale: float = parameter(1.5, "upper end of the random scale", minimum=0.05, maximum=4.0)
    mosaic: float = parameter(1.0, "share of the samples that show four scenes", minimum=0.0, maximum=1.0)
    without_mosaic: float = parameter(
        0.15, "share of the run, at its end, whose samples show one scene each", minimum=0.0, maximum=1.0
    )
    translation: float = parameter(
        0.4, "largest shift of a sample, as a share of its side", minimum=0.0, maximum=0.9
    )
    mirrored: float = _share(0.5, "that are mirrored")
    # Colours of a fused image are the RGB camera's, where it saw any; its brightness is anything.
    hue: float = parameter(0.01, "largest change of the hue, as a share", minimum=0.0, maximum=1.0)
    saturation: float = parameter(
        0.5, "largest change of the saturation, as a share", minimum=0.0, maximum=1.0
    )
    brightness: float = parameter(
        0.5, "largest change of the brightness, as a share", minimum=0.0, maximum=1.0
    )
    camera: CameraConfig = field(default_factory=CameraConfig)
    paste: PasteConfig = field(default_factory=PasteConfig)


@dataclass(frozen=True)
class LearningConfig:
    """The optimiser, its schedule, and the weights of the loss."""

    optimizer: str = parameter("adamw", "algorithm that changes the weights", choices=("adamw", "sgd"))
    learning_rate: float = parameter(2e-3, "peak, after which a cosine falls to final_rate", minimum=1e-8)
    final_rate: float = parameter(
        0.01, "last learning rate, as a share of the peak", minimum=0.0, maximum=1.0
    )
    warm_up: int = parameter(50, "steps in which the rate rises from 0 in a line", minimum=0)
    momentum: float = parameter(
        0.937, "momentum of SGD; AdamW's beta of the mean gradient", minimum=0.0, maximum=0.9999
    )
    weight_decay: float = parameter(5e-4, "weight decay of the optimiser", minimum=0.0)
    box_weight: float = parameter(7.5, "weight of 1 - complete IoU, of head anchor_free", minimum=0.0)
    class_weight: float = parameter(0.5, "weight of the classes, of head anchor_free", minimum=0.0)
    distribution_weight: float = parameter(
        1.5, "weight of the distribution of box edges, of head anchor_free", minimum=0.0
    )
    anchors: AnchorLossConfig = field(default_factory=AnchorLossConfig)


@dataclass(frozen=True)
class ImitationConfig:
    """The features of a teacher that are imitated."""

    teacher: str = parameter("", "ONNX of a YOLOv5 of the same size, which to imitate; empty: none")
    imitation: float = parameter(
        2.0, "weight of the distance to the teacher's features, at the start of the run", minimum=0.0
    )
    final_imitation: float = parameter(
        0.1, "what of that weight is left at the end of the run", minimum=0.0, maximum=1.0
    )
    forced: float = parameter(
        0.3,
        "share of the run in which each block is given the teacher's features",
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class MemoryConfig:
    """What was known before."""

    memory: str = parameter(
        "",
        "COCO's YOLOv5 (safetensors), a final.pt, its ONNX file or a model that ships, whose answers are "
        "learned where labels say nothing; head anchors only; empty: none",
    )


@dataclass(frozen=True)
class DetectorConfig(MemoryConfig, ImitationConfig, LearningConfig, SampleConfig, NetworkConfig):
    """Settings of one training run of a detector."""

    precision: str = parameter("bf16", "precision of the forward pass", choices=("bf16", "f32"))
    validate: bool = parameter(
        True, "evaluate on held-out images after each epoch and keep the best epoch; else the last"
    )
    save_every: int = parameter(100, "steps between states to continue from, within an epoch", minimum=1)
    workers: int = parameter(8, "processes that prepare images", minimum=0)
    seed: int = parameter(0, "random seed of weights and crops", minimum=0)
    device: str = parameter("auto", "auto, cpu or cuda", choices=("auto", "cpu", "cuda"))
