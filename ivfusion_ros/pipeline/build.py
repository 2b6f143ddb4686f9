"""Configuration -> pipeline: what is loaded, and what `auto` stands for on this machine."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from ivfusion_ros.backends.backend import Backend, ParallelBackend
from ivfusion_ros.backends.choice import load_backend, measured_among, resolve_backend
from ivfusion_ros.backends.cpu import is_x86, usable_cores
from ivfusion_ros.backends.table import BACKENDS
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.positions import Locator
from ivfusion_ros.detection.tracking import ByteTracker
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.images.rgb_input import RgbInput
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.images.thermal_input import ThermalInput
from ivfusion_ros.models import read_models, resolve_model
from ivfusion_ros.pipeline.deadline import Deadline
from ivfusion_ros.pipeline.faults import FaultMonitor
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.pipeline.pipeline import Pipeline
from ivfusion_ros.registration.registrar import build_registrar

if TYPE_CHECKING:
    from pathlib import Path

    from ivfusion_ros.config.pipeline import (
        DetectionConfig,
        FusionConfig,
        PipelineConfig,
        RegistrationConfig,
    )
    from ivfusion_ros.models import ModelTask
    from ivfusion_ros.registration.online.leap import Matching

log = logging.getLogger(__name__)

_TWO_CORES = 2


class Networks(NamedTuple):
    """Loaded models, for several pipelines in turn: closing one of those closes them for all."""

    fusion: Backend
    fusion_model: str
    detection: Backend | None
    looks: int = 1
    """images that the detector may be given at once"""


def load_networks(config: PipelineConfig, *, recorded: bool = False) -> Networks:
    """The configured models, in the backends that run them. Raises ModelError or BackendError.

    recorded: the pairs come from a recording: how many are done in a second counts, not how soon each is.
    """
    fusion_model = fusion_model_name(config.fusion)
    fusion_path = resolve_model(fusion_model, "fusion")
    detection = _load_detection(config.detection)
    looks = _spread(config, detection) if recorded else 1
    fusion = load_backend(
        fusion_path,
        config.fusion.backend,
        precision=config.fusion.precision,
        threads=config.fusion.threads,
    )
    if looks > 1 and isinstance(fusion, ParallelBackend):
        fusion.spread(looks)
    return Networks(fusion, fusion_model, detection, looks)


def _spread(config: PipelineConfig, detection: Backend | None) -> int:
    """How many images are fused and searched at once: on two cores two, each network's on one core.

    Networks that share both cores wait for each other: from bag to bag that took 1.1 to 1.2 times as long
    in OpenVINO, 1.4 times in ONNX Runtime. On more cores it was not measured. A network whose threads were
    chosen, by the user or by measuring, keeps them.
    """
    chosen = config.fusion.threads or config.detection.threads or config.deadline.budget_ms
    chosen = chosen or any(measured_among(part.backend) for part in (config.fusion, config.detection))
    if chosen or usable_cores() != _TWO_CORES or detection is None:
        return 1
    alike = resolve_backend(config.fusion.backend) == detection.name
    if not alike or not isinstance(detection, ParallelBackend):
        return 1
    detection.spread(_TWO_CORES)
    return _TWO_CORES


def build_pipeline(
    config: PipelineConfig,
    networks: Networks | None = None,
    *,
    live: bool = False,
    recorded: bool = False,
) -> Pipeline:
    """Load calibration, and models where none are given.

    live: pairs come in their own time, so none waits for what runs in the background; else results do not
    depend on the machine's speed. recorded: as in load_networks. Raises ConfigError, ModelError,
    BackendError.
    """
    if config.pairing.hold_thermal_ms and config.registration.reference != "rgb":
        raise ConfigError(
            f"pairing.hold_thermal_ms is {config.pairing.hold_thermal_ms:g}, but registration.reference is "
            "thermal: results have the thermal images' stamps, so none can come between them; set it to 0, "
            "or the reference to rgb"
        )
    if networks is None:
        # What is wrong is told before the first of them is loaded, which takes seconds.
        model_files(config)
    registrar = build_registrar(config.registration, _matching(config.registration), live=live)
    fusion, fusion_model, detection, looks = networks or load_networks(config, recorded=recorded)
    detector = None if detection is None else Detector(detection, config.detection)
    if detector is not None:
        detector.follow(fusion)
    return Pipeline(
        ThermalInput(config.thermal),
        RgbInput(config.images),
        FaultMonitor(config.faults),
        ThermalScaler(config.thermal),
        registrar,
        Fuser(fusion, config.fusion.resolution),
        detector,
        strength=config.fusion.strength,
        registered_unit=config.outputs.registered_unit,
        tracker=None if config.tracking.tracker == "off" else ByteTracker(config.tracking),
        locator=build_locator(config),
        deadline=Deadline(config.deadline),
        fusion_model=fusion_model,
        looks=looks,
    )


def _matching(config: RegistrationConfig) -> Matching | None:
    if not config.refine.matcher:
        return None
    # It brings along the alignment of scenes, which takes a while to import and few need.
    from ivfusion_ros.calibrate.matcher import PairMatching, load_matcher

    # One thread: the others are the pairs'.
    return PairMatching(load_matcher(config.refine.matcher, threads=1), config.reference)


def build_locator(config: PipelineConfig) -> Locator | None:
    """What places objects, None where positions are off; says what it lacks. Raises ConfigError."""
    if config.positions.method == "off":
        return None
    if not config.detection.model:
        log.warning(
            "positions.method is %s, but no detector runs: there are no objects to place, and no "
            "detections_3d; give a detector with detection.model",
            config.positions.method,
        )
        return None
    if config.positions.method == "depth" and not config.registration.depth:
        raise ConfigError(
            "positions.method is depth, but registration.depth is false: no depth image is taken; set "
            "registration.depth, or positions.method to ground"
        )
    if config.positions.method == "auto" and not config.registration.depth:
        log.warning(
            "positions.method is auto, but registration.depth is false: no depth image is taken, and "
            "positions are by the ground alone; set registration.depth, or positions.method to ground"
        )
    return Locator(config.positions)


def model_names(config: PipelineConfig) -> dict[ModelTask, str]:
    """The configured models by what they are for, as far as there are any. Raises BackendError."""
    names: dict[ModelTask, str] = {
        "fusion": fusion_model_name(config.fusion),
        "detection": detection_model_name(config.detection),
        "matching": config.registration.refine.matcher,
    }
    return {task: name for task, name in names.items() if name}


def model_files(config: PipelineConfig) -> dict[ModelTask, Path]:
    """Their files. Raises ModelError for one that is not there, or for something else, BackendError."""
    return {task: resolve_model(name, task) for task, name in model_names(config).items()}


def fusion_model_name(config: FusionConfig) -> str:
    """The configured fusion model; for auto, what this machine runs at camera rate. Raises BackendError."""
    if config.model != "auto":
        return config.model
    backend = BACKENDS[resolve_backend(config.backend)]
    return "refinefuse_lite" if "cpu" in backend.devices else "refinefuse"


def detection_model_name(config: DetectionConfig) -> str:
    """The configured detection model; for auto, the fastest one here. Raises BackendError."""
    if config.model != "auto":
        return config.model
    name = "yolov5n_int8" if _gains_by_int8(config) else "yolov5n"
    if name not in read_models():
        log.warning("no detector ships with this version: fusion only (give one with detection.model)")
        return ""
    return name


def _gains_by_int8(config: DetectionConfig) -> bool:
    """Where int8 was measured to be faster: in OpenVINO on x86, with VNNI and without, and not on a GPU."""
    chosen = BACKENDS[resolve_backend(config.backend)]
    return config.precision == "auto" and chosen.int8 and is_x86()


def build_detector(config: DetectionConfig) -> Detector | None:
    """The configured detector, None for fusion only. Raises ConfigError, ModelError or BackendError."""
    backend = _load_detection(config)
    return None if backend is None else Detector(backend, config)


def _load_detection(config: DetectionConfig) -> Backend | None:
    name = detection_model_name(config)
    if not name:
        return None
    path = resolve_model(name, "detection")
    if path.suffix == ".pt":
        onnx = path.with_suffix(".onnx")
        raise ModelError(
            f"{path} is a checkpoint; run `ivfusion export --detector {path} {onnx}` and give {onnx}"
        )
    return load_backend(path, config.backend, precision=config.precision, threads=config.threads)
