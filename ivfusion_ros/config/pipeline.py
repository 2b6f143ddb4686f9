"""Configuration: one frozen dataclass per stage, one field per parameter.

`config/fusion.yaml` is a ROS parameter file that `load_config` reads as it is, so a robot and a desk
replay share it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ivfusion_ros.config.parameters import parameter
from ivfusion_ros.errors import ConfigError

_THREADS = (
    "all cores, or as many as are fastest where that is measured; `ivfusion replay` on two: each network "
    "one, where that is faster and nothing is measured"
)


@dataclass(frozen=True)
class ImagesConfig:
    """What is read of image files and of compressed messages."""

    max_megapixels: float = parameter(
        100.0,
        "largest image that is decoded, million pixels; a damaged one may declare any size",
        minimum=0.01,
        maximum=10000.0,
    )

    colour_bits: int = parameter(
        16,
        "bits that RGB images of 16 use; 12 for a camera that leaves the upper four empty, and looks dark",
        minimum=8,
        maximum=16,
        live=True,
    )

    @property
    def max_pixels(self) -> int:
        """max_megapixels in pixels."""
        return round(self.max_megapixels * 1e6)


@dataclass(frozen=True)
class PairingConfig:
    """Which thermal and RGB frames belong together."""

    max_skew_ms: float = parameter(
        25.0, "largest time difference within a pair, ms", minimum=0.0, maximum=1000.0, live=True
    )
    thermal_time_offset_ms: float = parameter(
        0.0,
        "added to thermal stamps before pairing, ms: the constant offset between the clocks",
        # As far as the stamps of ROS reach: a camera may count from its start, the other one from 1970.
        minimum=-5e12,
        maximum=5e12,
        live=True,
    )
    hold_thermal_ms: float = parameter(
        0.0,
        "up to this age the last thermal image serves further RGB images, so that a slow thermal camera "
        "does not limit the rate; its age is in the status; 0: each serves one, ms",
        minimum=0.0,
        maximum=10000.0,
    )
    queue_size: int = parameter(
        30,
        "frames kept per camera while waiting for a partner; a replay keeps more, up to 30 s or 512 MiB",
        minimum=1,
        maximum=1000,
    )
    reset_after_ms: float = parameter(
        500.0,
        "a stamp further back than this is a restart (looped bag, clock reset), not a late frame, ms",
        minimum=1.0,
        maximum=60000.0,
    )


_WHOLE_RANGE = 0.0, 65535.0
"""Of 16 bits: as counts all there are, as kelvin none that anybody sets."""


@dataclass(frozen=True)
class ThermalConfig:
    """What of the thermal images is a scene, what its counts mean, and how they become 8 bit grey."""

    crop: tuple[int, ...] = parameter(
        (),
        "the part of the images that shows the scene: x, y, width and height, pixels; leaves out rows of "
        "telemetry, borders, and one half of a double frame; a calibration is of this part; empty: all",
        minimum=0,
        maximum=65535,
    )
    encoding: str = parameter(
        "",
        "what the pixels of raw images really are, where the driver names another encoding of as many "
        "bytes: mono16 for YUYV that holds counts; empty: as the driver says",
    )
    byte_order: str = parameter(
        "as_sent",
        "of the two bytes of a count; swapped: the other way round than the driver says",
        choices=("as_sent", "swapped"),
        live=True,
    )
    float_unit: str = parameter(
        "auto",
        "of floats (32FC1, 64FC1, TIFF); kelvin and celsius become counts of kelvin_per_count and "
        "kelvin_offset, normalised is 0 to 1 for the full range; auto: guessed at the first image, said",
        choices=("auto", "counts", "kelvin", "celsius", "normalised"),
        live=True,
    )
    scaling: str = parameter(
        "percentile",
        "percentile: stretch between smoothed percentiles; fixed: between range_min and range_max in "
        "counts; radiometric: counts to kelvin by kelvin_per_count and kelvin_offset, then between "
        "range_min and range_max in kelvin, or where these are not set by percentiles. Percentile applies "
        "to 16-bit input, and to 8-bit input as stretch_8bit_below says",
        choices=("percentile", "fixed", "radiometric"),
        live=True,
    )
    percentile_low: float = parameter(
        0.5, "share of the coldest pixels mapped to black, %", minimum=0.0, maximum=49.0, live=True
    )
    percentile_high: float = parameter(
        99.5, "percentile mapped to white, %", minimum=51.0, maximum=100.0, live=True
    )
    smoothing_s: float = parameter(
        0.7, "time constant of the stretch; 0 follows each frame, s", minimum=0.0, maximum=60.0, live=True
    )
    min_span: float = parameter(
        64.0,
        "smallest span of the stretch in counts, so that a flat scene's noise is not blown up",
        minimum=1.0,
        maximum=65535.0,
        live=True,
    )
    # A third of the range. Of 1035 thermal images of MSRS one uses less, of 221 of RoadScene, 140 of M3SVD
    # and 800 of HIT-UAV none.
    stretch_8bit_below: int = parameter(
        80,
        "an 8-bit image that uses fewer grey levels than this is stretched between its percentiles too, "
        "until it uses half as many more; else 8 bits pass as they are; 0: always",
        minimum=0,
        maximum=256,
        live=True,
    )
    range_min: float = parameter(
        _WHOLE_RANGE[0],
        "black, in counts (fixed) or kelvin (radiometric)",
        minimum=-32768.0,
        maximum=65535.0,
        live=True,
    )
    range_max: float = parameter(
        _WHOLE_RANGE[1],
        "white, in counts (fixed) or kelvin (radiometric)",
        minimum=-32768.0,
        maximum=65535.0,
        live=True,
    )
    kelvin_per_count: float = parameter(
        0.01, "radiometric scale, K per count", minimum=1e-6, maximum=100.0, live=True
    )
    kelvin_offset: float = parameter(
        0.0, "radiometric offset, K", minimum=-1000.0, maximum=1000.0, live=True
    )
    polarity: str = parameter(
        "white_hot",
        "white_hot: hot is bright in the input; black_hot: hot is dark",
        choices=("white_hot", "black_hot"),
        live=True,
    )

    @property
    def has_range(self) -> bool:
        """Whether black and white are set."""
        return (self.range_min, self.range_max) != _WHOLE_RANGE

    def __post_init__(self) -> None:
        if self.crop and (len(self.crop) != 4 or 0 in self.crop[2:]):
            raise ConfigError(
                f"thermal.crop is {list(self.crop)}, expected [x, y, width, height], pixels, or [] for all"
            )
        if self.range_max <= self.range_min:
            raise ConfigError(
                f"thermal.range_max is {self.range_max}, must be above thermal.range_min, {self.range_min}"
            )


@dataclass(frozen=True)
class RefinementConfig:
    """A correction of the calibration that follows what the images show."""

    model: str = parameter(
        "off",
        "what is tracked on top of the calibration",
        choices=("off", "shift", "affine", "homography"),
    )
    max_rate_px_s: float = parameter(
        2.0,
        "fastest change of the correction, px/s of the reference image; a camera that was bumped further "
        "than 4 s at this rate, and stays there for 1.5 s, is followed at once, which the log says",
        minimum=0.01,
        maximum=100.0,
    )
    max_px: float = parameter(
        24.0, "largest correction, px of the reference image", minimum=0.5, maximum=1000.0
    )
    min_confidence: float = parameter(
        0.5, "below this the correction stays as it is", minimum=0.0, maximum=1.0
    )
    smoothing_s: float = parameter(
        0.5, "time constant over which frames are averaged, s", minimum=0.05, maximum=60.0
    )
    matcher: str = parameter(
        "",
        "matcher, or an ONNX file (docs/calibration.md, Matchers), that is asked in a thread of its own "
        "for a place further away or turned, while the refinement finds none itself; empty: none",
    )
    matcher_period_s: float = parameter(
        1.0,
        "at least so long lies between two questions to the matcher, and each answer counts that much "
        "later; two in a row that agree are followed, s",
        minimum=0.1,
        maximum=60.0,
    )

    def __post_init__(self) -> None:
        if self.matcher and self.model == "off":
            raise ConfigError(
                f"registration.refine.matcher is {self.matcher}, but registration.refine.model is off, so "
                "nothing would ask it: set the model to shift, affine or homography"
            )


@dataclass(frozen=True)
class RegistrationConfig:
    """How one camera's pixels reach the other's view."""

    calibration: str = parameter(
        "", "calibration YAML; empty: the images are registered, only scaled to the reference's size"
    )
    reference: str = parameter(
        "rgb",
        "the camera whose view, stamp and frame the output has; the other one's image is warped",
        choices=("rgb", "thermal"),
    )
    plane_distance_m: float = parameter(
        0.0,
        "distance at which both images are aligned, for a calibration with a rig; 0: the calibration's, m",
        minimum=0.0,
        maximum=100000.0,
        live=True,
    )
    residual: str = parameter(
        "off",
        "dense: a smooth displacement found in each pair on top of the calibration and its refinement, "
        "for objects nearer than the calibration's distance; kept only where it fits better, takes about "
        "10 ms",
        choices=("off", "dense"),
    )
    upsampling: str = parameter(
        "smooth",
        "what a thermal image whose pixels are more than 2.5 times as large as those of the RGB reference "
        "goes through; smooth: bicubic such that the mean over each thermal pixel is what was measured; "
        "off: bilinear",
        choices=("smooth", "off"),
        live=True,
    )
    extrinsics: str = parameter(
        "calibration",
        "pose of the thermal camera relative to the RGB camera, for a calibration with a rig; "
        "calibration: from its file; tf: from the transform between the frame_ids of both cameras' "
        "images (/tf_static, /tf), and from the file until there is one",
        choices=("calibration", "tf"),
    )
    depth: bool = parameter(
        False,
        "register every pixel at its own distance, by the depth images on depth/image_raw (of a bag: "
        "--depth-topic): 32FC1 in metres or 16UC1 in millimetres, in the view of the reference camera; "
        "for a calibration with a rig",
    )
    depth_max_skew_ms: float = parameter(
        100.0,
        "largest time difference between a depth image and the reference camera's image, ms; a pair "
        "without such a depth image is registered at plane_distance_m and counted",
        minimum=0.0,
        maximum=10000.0,
        live=True,
    )
    refine: RefinementConfig = field(default_factory=RefinementConfig)


@dataclass(frozen=True)
class FaultConfig:
    """When a camera's images are of no use, and how they leave the fused image."""

    gate: bool = parameter(
        True, "fade a faulty camera out of the fused image; false: only report the fault", live=True
    )
    fade_s: float = parameter(
        0.3,
        "time for fading a camera out completely or in again, s",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    hold_s: float = parameter(
        0.25,
        "how long an image must stay bad (dark, saturated, flat) to be a fault; it ends after twice that "
        "time of good images, s",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    frozen_after_ms: float = parameter(
        120.0,
        "the same image for longer than this is a freeze, ms: more than a slow camera takes between two "
        "images if its driver repeats them",
        minimum=10.0,
        maximum=10000.0,
        live=True,
    )
    shutter_ms: float = parameter(
        1500.0,
        "up to this duration a frozen thermal image counts as a shutter event (FFC), ms",
        minimum=0.0,
        maximum=60000.0,
        live=True,
    )
    least_contrast: float = parameter(
        1.0,
        "structure of the image in units of its noise (standard deviations) below which it is a fault: "
        "pure noise has 0.3, real scenes more than 3",
        minimum=0.0,
        maximum=10.0,
        live=True,
    )
    largest_clipped: float = parameter(
        0.5, "share of RGB pixels at the upper end that is a fault", minimum=0.05, maximum=1.0, live=True
    )


@dataclass(frozen=True)
class FusionConfig:
    """The fusion network and what runs it."""

    model: str = parameter(
        "auto",
        "name in models/models.yaml or path of an ONNX file; auto: refinefuse with TensorRT, "
        "refinefuse_lite on a CPU",
    )
    backend: str = parameter(
        "auto",
        "name of a backend (`ivfusion doctor` lists them); auto takes TensorRT where there is a GPU for "
        "it, else the fastest one installed; measured: the same, but without a GPU the backend and the "
        "number of threads that are fastest on this CPU, measured at the first start with a model and "
        "remembered (auto does so too on other CPUs than x86)",
    )
    precision: str = parameter(
        "auto",
        "auto: the backend's fastest (half on a GPU, bf16 where the CPU has it); f32: reference arithmetic",
        choices=("auto", "f32"),
    )
    threads: int = parameter(0, f"CPU threads of the backend; 0: {_THREADS}", minimum=0, maximum=256)
    expected_size: str = parameter(
        "",
        "size of the images, WxH of both cameras or as in 640x512,1280x720 of thermal and RGB, for which a "
        "node makes itself ready at configure; empty: as camera_info says where it is published then",
    )
    resolution: str = parameter(
        "full",
        "at which the network sees images that are finer than the thermal camera's; full: at their own; "
        "thermal: reduced to about the thermal camera's, no further than to 640 pixels along the longer "
        "side, and what comes out is brought to every pixel of the full images by a guided filter, which "
        "keeps the detail of RGB and takes a fraction of the time and memory (docs/large-images.md)",
        choices=("full", "thermal"),
        live=True,
    )
    strength: float = parameter(
        1.0,
        "how much of the fusion is shown: 0 is the reference camera's image, 1 the network's",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )


@dataclass(frozen=True)
class DetectionConfig:
    """The YOLOv5 detector on the fused image."""

    model: str = parameter(
        "auto",
        "name in models/models.yaml or path of an ONNX file; auto: yolov5n_int8 in OpenVINO on x86, "
        "else yolov5n; empty: fusion only",
    )
    backend: str = parameter("auto", "as fusion.backend, without torch")
    precision: str = parameter("auto", "as fusion.precision", choices=("auto", "f32"))
    threads: int = parameter(0, f"CPU threads of the backend; 0: {_THREADS}", minimum=0, maximum=256)
    confidence: float = parameter(
        -1.0,
        "lowest score that is reported, of all classes; below 0: what the model recommends, of each class "
        "where it does, measured at 0.1 false alarms per image, or 0.25 where it does not say",
        minimum=-1.0,
        maximum=1.0,
        live=True,
    )
    # On every tenth scene of MSRS the shipped detector finds 202 of 410 objects, none twice. With 0.7 it
    # finds 210 and 23 of them twice, which a tracker takes for two; no scene shows more than 13 objects.
    iou: float = parameter(
        0.45,
        "overlap (IoU) from which two boxes of a class are one object; ultralytics takes 0.7, which "
        "separates more of a crowd and finds more objects twice",
        minimum=0.0,
        maximum=1.0,
        live=True,
    )
    max_detections: int = parameter(
        100,
        "largest number of objects reported per image, as COCO counts them; ultralytics takes 300",
        minimum=1,
        maximum=10000,
        live=True,
    )
    classes: tuple[str, ...] = parameter((), "class names to report; empty: all", live=True)
    tiles: int = parameter(
        1,
        "for objects too small for the network's input: the image is looked at whole and in so many "
        "overlapping tiles along its longer side, each of which takes the time of one; 1: off",
        minimum=1,
        maximum=8,
        live=True,
    )
    class_names: str = parameter(
        "", "YAML with `names:` for a model whose metadata has none (list or id: name)"
    )
    message_layout: str = parameter(
        "vision_msgs",
        "of the detections' messages; vision_msgs: class_id is label_info's key, id that of a track, and "
        "temperatures have a topic of their own; names: as up to 0.1, class names as class_id, the place "
        "in the list as id, kelvin as scores; the next release drops it",
        choices=("vision_msgs", "names"),
    )


@dataclass(frozen=True)
class TrackingConfig:
    """Identities of detected objects over time."""

    tracker: str = parameter(
        "off",
        "bytetrack: objects keep their id from frame to frame; off: they have none",
        choices=("off", "bytetrack"),
    )
    start_confidence: float = parameter(
        0.5,
        "score from which an object starts a track; one below, down to detection.confidence, only "
        "continues one",
        minimum=0.0,
        maximum=1.0,
    )
    iou: float = parameter(
        0.15,
        "smallest overlap (IoU) of an object with the predicted box of its track",
        minimum=0.0,
        maximum=1.0,
    )
    camera_motion: bool = parameter(
        True,
        "expect tracks where the camera's own motion, measured between successive images, moves them in "
        "the picture (half a millisecond)",
    )
    lost_after_s: float = parameter(
        1.5, "a track without an object for longer than this ends, s", minimum=0.0, maximum=60.0
    )


_LOWEST_CAMERA_M = 0.05
"""Lower, no lens has room above the ground: it is a slip, or another unit."""


@dataclass(frozen=True)
class PositionsConfig:
    """Where detected objects are in space, on detections_3d."""

    method: str = parameter(
        "off",
        "depth: by the depth images of registration.depth; ground: by the ground that objects stand on; "
        "auto: by depth, on the ground where that knows nothing; off: no detections_3d",
        choices=("off", "depth", "ground", "auto"),
    )
    frame: str = parameter(
        "camera",
        "of detections_3d; camera: the reference camera's; base: base_frame, by TF",
        choices=("camera", "base"),
    )
    base_frame: str = parameter(
        "base_link", "frame of the robot, z up; without camera_height_m its z = 0 is the ground"
    )
    camera_height_m: float = parameter(
        0.0,
        "height of the reference camera above the ground, at least 0.05; 0: by TF, with the tilt, m",
        minimum=0.0,
        maximum=1000.0,
    )
    camera_tilt_deg: float = parameter(
        0.0, "by which the reference camera looks down, degrees", minimum=-89.0, maximum=90.0
    )
    camera_roll_deg: float = parameter(
        0.0, "by which the reference camera is turned clockwise, degrees", minimum=-180.0, maximum=180.0
    )
    tilt_error_deg: float = parameter(
        0.5,
        "standard deviation of the tilt: how much the vehicle nods and the road is no plane, degrees",
        minimum=0.0,
        maximum=45.0,
    )

    def __post_init__(self) -> None:
        if 0 < self.camera_height_m < _LOWEST_CAMERA_M:
            raise ConfigError(
                f"positions.camera_height_m is {self.camera_height_m:g}, expected metres, at least "
                f"{_LOWEST_CAMERA_M:g}, or 0 for the height by TF"
            )

    @property
    def needs_base(self) -> bool:
        """Whether the pose of the reference camera in base_frame is asked for."""
        by_ground = self.method in ("ground", "auto") and not self.camera_height_m
        return self.method != "off" and (self.frame == "base" or by_ground)


@dataclass(frozen=True)
class DeadlineConfig:
    """What gives way when the machine is too slow."""

    budget_ms: float = parameter(
        0.0,
        "time that a pair may usually take in the pipeline, ms; above it the detector skips every "
        "second frame, then three of four; 0: never",
        minimum=0.0,
        maximum=10000.0,
        live=True,
    )
    patience_s: float = parameter(
        1.0,
        "how long the budget must be missed, or kept with room to spare, before that changes, s",
        minimum=0.1,
        maximum=60.0,
        live=True,
    )


@dataclass(frozen=True)
class OutputsConfig:
    """What images look like that are published and written."""

    jpeg_quality: int = parameter(
        90,
        "of the JPEG in compressed colour images",
        minimum=1,
        maximum=100,
        live=True,
    )
    registered_unit: str = parameter(
        "kelvin",
        "of thermal/image_registered, what the thermal camera measures in the reference's pixels; kelvin: "
        "32FC1 where it tells temperatures (floats, or thermal.scaling radiometric), else counts; counts: "
        "of the type that it sends",
        choices=("kelvin", "counts"),
        live=True,
    )


@dataclass(frozen=True)
class PipelineConfig:
    """Everything that decides what comes out for given frames."""

    pairing: PairingConfig = field(default_factory=PairingConfig)
    thermal: ThermalConfig = field(default_factory=ThermalConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    faults: FaultConfig = field(default_factory=FaultConfig)
    fusion: FusionConfig = field(default_factory=FusionConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    positions: PositionsConfig = field(default_factory=PositionsConfig)
    deadline: DeadlineConfig = field(default_factory=DeadlineConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    outputs: OutputsConfig = field(default_factory=OutputsConfig)
