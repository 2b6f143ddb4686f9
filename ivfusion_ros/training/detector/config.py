"""Settings of a detector's training; free of torch, so that the command line can list them anywhere."""

from __future__ import annotations

from dataclasses import dataclass

from ivfusion_ros.config.parameters import parameter


@dataclass(frozen=True)
class DetectorConfig:
    """Settings of one training run of a detector."""

    detector: str = parameter("yolov5n", "ultralytics' name of the network, for example yolov5n or yolov5s")
    head: str = parameter(
        "anchor_free",
        "anchor_free: ultralytics' head; anchors: that of YOLOv5's release, which takes COCO's weights",
        choices=("anchor_free", "anchors"),
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
    image_size: int = parameter(640, "long side of the images, pixels, before crops", minimum=64)
    crop_width: int = parameter(
        0, "width of the crops that are trained on, a multiple of 32; 0: image_size", minimum=0
    )
    crop_height: int = parameter(0, "height of these crops; 0: image_size", minimum=0)
    smallest_scale: float = parameter(0.5, "lower end of the random scale", minimum=0.05, maximum=4.0)
    largest_scale: float = parameter(1.5, "upper end of the random scale", minimum=0.05, maximum=4.0)
    mosaic: float = parameter(
        1.0, "share of the samples that show four scenes; none in the last 15 %", minimum=0.0, maximum=1.0
    )
    learning_rate: float = parameter(2e-3, "peak, after which a cosine falls to a hundredth", minimum=1e-8)
    weight_decay: float = parameter(5e-4, "weight decay of AdamW", minimum=0.0)
    teacher: str = parameter("", "ONNX of a YOLOv5 of the same size, which to imitate; empty: none")
    imitation: float = parameter(
        2.0, "weight of the distance to the teacher's features, at the start of the run", minimum=0.0
    )
    forced: float = parameter(
        0.3,
        "share of the run in which each block is given the teacher's features",
        minimum=0.0,
        maximum=1.0,
    )
    precision: str = parameter("bf16", "precision of the forward pass", choices=("bf16", "f32"))
    validate: bool = parameter(
        True, "evaluate on held-out images after each epoch and keep the best epoch; else the last"
    )
    workers: int = parameter(8, "processes that prepare images", minimum=0)
    seed: int = parameter(0, "random seed of weights and crops", minimum=0)
    device: str = parameter("auto", "auto, cpu or cuda", choices=("auto", "cpu", "cuda"))
