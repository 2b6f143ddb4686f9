"""Constants of the losses: a section for each, named in a training's settings; free of torch.

What the symbols stand for is said where they are used, in losses/.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ivfusion_ros.config.parameters import parameter


def _weight(default: float, description: str) -> float:
    value: float = parameter(default, f"weight of {description}", minimum=0.0)
    return value


def _level(default: float, description: str) -> float:
    """A value of images in [0, 1], or a difference of them."""
    value: float = parameter(default, description, minimum=-1.0, maximum=1.0)
    return value


def _structure_window() -> int:
    value: int = parameter(7, "pixels a side of SSIM's windows", minimum=3)
    return value


def _structure_floor() -> float:
    value: float = parameter(
        1e-5, "variance below which a region's structure counts for little", minimum=1e-12
    )
    return value


@dataclass(frozen=True)
class MultiScaleConfig:
    """Of MultiScaleLoss, which distillation builds on too."""

    levels: int = parameter(5, "of the target's Laplacian pyramid", minimum=1, maximum=8)
    energy_window: int = parameter(7, "pixels a side over which details' energies are compared", minimum=1)
    selectivity: float = parameter(
        2.0, "1: details weighted in proportion to energies; higher: closer to a choice", minimum=0.0
    )
    shared_detail: float = parameter(0.2, "of the weaker source's detail that is added", minimum=0.0)
    detail_gain: float = parameter(1.05, "of the target's details", minimum=0.0)
    thermal_level: str = parameter(
        "mean",
        "what thermal deviates from: the mean of its image, or the median of the crop, which a hot object "
        "hardly changes; with whole images",
        choices=("mean", "median"),
    )
    thermal_gain: float = parameter(0.55, "of the thermal base's deviation from that level", minimum=0.0)
    hot_from: float = _level(0.1, "excess over the thermal level from which the target is at least thermal")
    hot_full: float = _level(0.4, "excess at which it is so in full")
    salient_from: float = _level(0.0, "hot_from of salient labels")
    salient_full: float = _level(0.15, "hot_full of salient labels")
    night_full: float = _level(0.2, "visible mean up to which a scene is night: glare gives way to thermal")
    night_until: float = _level(0.35, "visible mean from which it is day")
    glare_from: float = _level(0.6, "visible value at which glare begins")
    glare_full: float = _level(0.95, "visible value that is glare in full")
    glare_removed: float = parameter(
        0.4, "of glare that gives way without a salient label, 1 with one", minimum=0.0, maximum=1.0
    )
    intensity_weight: float = _weight(1.0, "the distance to the target")
    texture_weight: float = _weight(5.0, "the distance of gradients to the target's")
    structure_weight: float = _weight(0.2, "1 - SSIM to each source")
    structure_window: int = _structure_window()
    structure_floor: float = _structure_floor()
    fidelity_weight: float = _weight(0.6, "1 - VIF to each source")
    fidelity_power: float = parameter(
        1.0,
        "of 1 - VIF: above 1 it counts for more of the source that shows less",
        minimum=1.0,
        maximum=8.0,
    )


@dataclass(frozen=True)
class DistillationConfig:
    """Of DistillationLoss, beside those of `multiscale`."""

    teacher_share: float = parameter(
        0.75, "of intensity and texture that aims at the teacher's image", minimum=0.0, maximum=1.0
    )
    teacher_intensity: float = _weight(3.0, "the teacher's intensity; of its texture it is the task's")
    temporal_weight: float = _weight(10.0, "flicker to the following frame")
    sensor_noise: float = parameter(
        1.5 / 255,
        "standard deviation of what is added to the following frame of both sources",
        minimum=0.0,
        maximum=1.0,
    )


@dataclass(frozen=True)
class RefineFuseLossConfig:
    """Of RefineFuse's own loss and of its ablation's."""

    texture_weight: float = _weight(5.0, "L_tex, the paper's lambda")
    contrast_window: int = parameter(9, "pixels a side over which contrasts are compared", minimum=3)
    contrast_sigma: float = parameter(1.5, "of the Gaussian over that window, pixels", minimum=0.1)


@dataclass(frozen=True)
class MdaLossConfig:
    """Of MDA's loss; L_sim has the weight 1."""

    intensity_weight: float = _weight(0.2, "L_int")
    feature_weight: float = _weight(1e-6, "L_feature")
    style_weight: float = _weight(1.0, "L_style")
    patch_weight: float = _weight(2.0, "L_patch")
    value_weight: float = _weight(20.0, "distances to thermal features within L_feature")
    patch_intensity: float = _weight(0.2, "squared errors within L_patch")
    patch_window: int = parameter(15, "pixels a side of L_patch's windows", minimum=3)
    deviation_weight: float = _weight(
        0.167, "deviations, beside entropies or means, in measures of intensity"
    )
    measure_scale: float = parameter(3000.0, "what measures are divided by before a softmax", minimum=1e-9)


@dataclass(frozen=True)
class ReconstructionLossConfig:
    """Of TransFusion's first stage; the squared error has the weight 1."""

    structure_weight: float = _weight(100.0, "1 - SSIM, the paper's lambda")
    structure_window: int = _structure_window()
    structure_floor: float = _structure_floor()


@dataclass(frozen=True)
class FeatureFusionLossConfig:
    """Of TransFusion's second stage; 1 - SSIM has the weight 1."""

    intensity_weight: float = _weight(100.0, "the squared distance to the brighter source")
    information_weight: float = _weight(100.0, "1 over the mutual information with the sources' features")
    structure_window: int = _structure_window()
    structure_floor: float = _structure_floor()
    bins: int = parameter(32, "bins of the histograms of mutual information", minimum=2, maximum=256)
    places: int = parameter(32, "most rows and columns at which features are compared", minimum=4)


@dataclass(frozen=True)
class TermConfig:
    """Of a term that is added to any loss."""

    weight: float = parameter(0.0, "weight of the term; 0: none", minimum=0.0)


@dataclass(frozen=True)
class DetectionTermConfig(TermConfig):
    """Of the term detection."""

    detector: str = parameter(
        "",
        "COCO's YOLOv5n (safetensors), a final.pt, its ONNX file or a model that ships; it is not trained",
    )
    sure_from: float = parameter(
        0.2, "score in the better source from which an answer counts", minimum=0.0, maximum=1.0
    )


@dataclass(frozen=True)
class TermsConfig:
    """Terms beside those of the loss, by their names in losses/terms.py."""

    structure: TermConfig = field(default_factory=TermConfig)
    fidelity: TermConfig = field(default_factory=TermConfig)
    invented_edges: TermConfig = field(default_factory=TermConfig)
    noise: TermConfig = field(default_factory=TermConfig)
    contrast: TermConfig = field(default_factory=TermConfig)
    edges: TermConfig = field(default_factory=TermConfig)
    light: TermConfig = field(default_factory=TermConfig)
    detection: DetectionTermConfig = field(default_factory=DetectionTermConfig)


@dataclass(frozen=True)
class LossSections:
    """All sections that stand in a training's settings."""

    terms: TermsConfig = field(default_factory=TermsConfig)
    multiscale: MultiScaleConfig = field(default_factory=MultiScaleConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    refinefuse_paper: RefineFuseLossConfig = field(default_factory=RefineFuseLossConfig)
    mda: MdaLossConfig = field(default_factory=MdaLossConfig)
    transfusion_reconstruction: ReconstructionLossConfig = field(default_factory=ReconstructionLossConfig)
    transfusion_fusion: FeatureFusionLossConfig = field(default_factory=FeatureFusionLossConfig)


SECTIONS_OF = {
    "multiscale": ("multiscale",),
    "distillation": ("multiscale", "distillation"),
    "refinefuse_paper": ("refinefuse_paper",),
    "refinefuse_table8_a": ("refinefuse_paper",),
    "refinefuse_table8_b": ("refinefuse_paper",),
    "refinefuse_table8_c": ("refinefuse_paper",),
    "mda": ("mda",),
    "transfusion_reconstruction": ("transfusion_reconstruction",),
    "transfusion_fusion": ("transfusion_fusion",),
}
"""Name of a loss and the sections that it reads."""
