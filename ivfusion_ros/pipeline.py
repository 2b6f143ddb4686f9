"""Pipeline: the one place where the stages meet, for topics, bags and folders alike."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from types import TracebackType
from typing import cast

import numpy as np

from ivfusion_ros.backends import load_backend, resolve_backend
from ivfusion_ros.config import (
    DeadlineConfig,
    DetectionConfig,
    FusionConfig,
    PipelineConfig,
    RegistrationConfig,
)
from ivfusion_ros.deadline import Deadline
from ivfusion_ros.detection import Detector
from ivfusion_ros.detection.native import Frames, with_native_boxes, with_temperatures
from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.faults import FaultMonitor, FaultReport, gate
from ivfusion_ros.fuse import Fuser
from ivfusion_ros.images import to_grey, to_rgb
from ivfusion_ros.models import read_models, resolve_model
from ivfusion_ros.registration.calibration import Calibration, read_calibration
from ivfusion_ros.registration.dense import Residual, dense_residual
from ivfusion_ros.registration.refine import OnlineRefinement, Refinement
from ivfusion_ros.registration.rig import CameraName, Extrinsics
from ivfusion_ros.registration.warp import Warp
from ivfusion_ros.thermal import ThermalScaler
from ivfusion_ros.tracking import ByteTracker
from ivfusion_ros.types import DepthImage, Detections, Frame, FramePair, FusionResult, Header, Image, Mode

log = logging.getLogger(__name__)

_SOUND = FaultReport()


class StageClock:
    """Wall time per stage, in milliseconds, in the order in which stages end."""

    def __init__(self) -> None:
        self.timings_ms: dict[str, float] = {}
        self._last = time.perf_counter()

    def stage(self, name: str) -> None:
        """Book the time since the last call on `name`."""
        now = time.perf_counter()
        self.timings_ms[name] = (now - self._last) * 1e3
        self._last = now


class Pipeline:
    """Judge, scale, register, fuse, detect. One thread uses it at a time; close it when done."""

    def __init__(
        self,
        faults: FaultMonitor,
        scaler: ThermalScaler,
        warp: Warp,
        fuser: Fuser,
        detector: Detector | None,
        refinement: OnlineRefinement | None = None,
        *,
        dense_residual: bool = False,
        tracker: ByteTracker | None = None,
        deadline: Deadline | None = None,
        fusion_model: str = "",
    ) -> None:
        """fusion_model: its name, for people."""
        self.faults = faults
        self.scaler = scaler
        self.warp = warp
        self.fuser = fuser
        self.detector = detector
        self.refinement = refinement
        self.tracker = tracker
        self.fusion_model = fusion_model
        self.deadline = deadline or Deadline(DeadlineConfig())
        self._found: tuple[Detections, int] | None = None
        """what the detector found last, and the stamp of that image"""
        self._dense_residual = dense_residual
        self._reference_size = (0, 0)

    def process(self, pair: FramePair) -> FusionResult:
        """One pair -> fused image and detections, with the reference's stamp, frame and geometry.

        Raises ImageError, ModelError or ConfigError for images that cannot be fused; the pipeline stays
        usable.
        """
        clock = StageClock()
        report = self.faults.update(pair.thermal, pair.rgb)
        clock.stage("faults")
        self.warp.set_camera_infos(pair.thermal.camera_info, pair.rgb.camera_info)
        rgb = to_rgb(pair.rgb.image)
        thermal = self.scaler(pair.thermal.image, pair.thermal.stamp_ns)
        clock.stage("scale")
        if self.warp.reference == "rgb":
            reference = pair.rgb
            thermal = self.warp(thermal, reference.size, pair.depth)
        else:
            reference = pair.thermal
            rgb = self.warp(rgb, reference.size, pair.depth)
        clock.stage("register")
        refinement = self._refine(thermal, rgb, pair, report, clock)
        thermal, rgb, residual = self._reduce_parallax(thermal, rgb, report, clock)
        fused = gate(self.fuser(thermal, rgb), thermal, rgb, report)
        clock.stage("fuse")
        frames: Frames = {"thermal": pair.thermal, "rgb": pair.rgb}
        detections = self._detect(fused, frames, clock, pair.depth, residual)
        result = _result(fused, thermal, rgb, frames, reference, detections, clock, pair.skew_ns, report)
        if self._dense_residual:
            result = replace(result, residual_share=0.0 if residual is None else residual.kept)
        if refinement is not None:
            confidence, drift_px = refinement.confidence, refinement.drift_px
            result = replace(result, registration_confidence=confidence, drift_px=drift_px)
        return self._meet_deadline(result)

    def process_rgb(self, frame: Frame, thermal_size: tuple[int, int] | None = None) -> FusionResult:
        """An RGB frame while the thermal camera is silent: its image in the reference's view.

        thermal_size: (width, height) of the thermal camera, None where it was never seen; matters only
        where that is the reference. Raises ImageError, ModelError or ConfigError.
        """
        clock = StageClock()
        rgb = to_rgb(frame.image)
        clock.stage("scale")
        if self.warp.reference == "thermal":
            rgb = self.warp(rgb, thermal_size or self.warp.usual_size(frame.size))
            clock.stage("register")
        frames: Frames = {"rgb": frame}
        detections = self._detect(rgb, frames, clock)
        black = np.zeros(rgb.shape[:2], np.uint8)
        result = _result(rgb, black, rgb, frames, frame, detections, clock, mode="rgb_only")
        return self._meet_deadline(result)

    def process_thermal(self, frame: Frame, rgb_size: tuple[int, int] | None) -> FusionResult:
        """A thermal frame while the RGB camera is silent: in the reference's view, with the thermal stamp.

        rgb_size: (width, height) of the RGB camera, None where it was never seen; matters only where that
        is the reference. Raises ImageError, ModelError or ConfigError.
        """
        clock = StageClock()
        thermal = self.scaler(frame.image, frame.stamp_ns)
        clock.stage("scale")
        if self.warp.reference == "rgb":
            thermal = self.warp(thermal, rgb_size or self.warp.usual_size(frame.size))
        clock.stage("register")
        shown = to_rgb(thermal)
        frames: Frames = {"thermal": frame}
        detections = self._detect(shown, frames, clock)
        black = np.zeros((*thermal.shape, 3), np.uint8)
        result = _result(shown, thermal, black, frames, frame, detections, clock, mode="thermal_only")
        return self._meet_deadline(result)

    def _refine(
        self, thermal: Image, rgb: Image, pair: FramePair, report: FaultReport, clock: StageClock
    ) -> Refinement | None:
        """Learn from a registered pair for the next ones, where refinement is on."""
        if self.refinement is None:
            return None
        at_rgb = self.warp.reference == "rgb"
        warped, reference = (thermal, rgb) if at_rgb else (rgb, thermal)
        other, own = (pair.thermal, pair.rgb) if at_rgb else (pair.rgb, pair.thermal)
        before = self.refinement.correction
        self._reference_size = own.size
        refinement = self.refinement.update(
            warped,
            reference,
            own.stamp_ns,
            valid=self.warp.shown(other.size, own.size),
            frozen=bool(report.labels),
        )
        if self.refinement.correction is not before:
            self.warp.set_correction(self.refinement.correction)
        clock.stage("refine")
        return refinement

    def _reduce_parallax(
        self, thermal: Image, rgb: Image, report: FaultReport, clock: StageClock
    ) -> tuple[Image, Image, Residual | None]:
        """The registered images with the warped one moved by the residual, None where nothing is moved."""
        if not self._dense_residual:
            return thermal, rgb, None
        grey, residual = np.asarray(to_grey(rgb), np.uint8), None
        if not report.labels:
            at_rgb = self.warp.reference == "rgb"
            found = dense_residual(*((thermal, grey) if at_rgb else (grey, thermal)))
            if found.kept > 0:
                residual = found
                thermal, rgb = (found.apply(thermal), rgb) if at_rgb else (thermal, found.apply(rgb))
        clock.stage("residual")
        return thermal, rgb, residual

    def _detect(
        self,
        fused: Image,
        frames: Frames,
        clock: StageClock,
        depth: DepthImage | None = None,
        residual: Residual | None = None,
    ) -> Detections | None:
        """Objects in the fused image, with their boxes in the images of the cameras that sent one.

        Those found last, with their age, while the detector rests.
        """
        if self.detector is None:
            return None
        newest = frames.get(self.warp.reference) or next(iter(frames.values()))
        if self._found is not None and not self.deadline.detects:
            detections, stamp_ns = self._found
            for stage in ("detect", "track") if self.tracker is not None else ("detect",):
                clock.stage(stage)
            return replace(detections, age_ns=max(1, newest.stamp_ns - stamp_ns))
        size = (fused.shape[1], fused.shape[0])
        found = self.detector(fused, self.fuser.resident(fused))
        detections = with_native_boxes(found, frames, self.warp, size, depth, residual)
        detections = with_temperatures(detections, frames, self.scaler)
        clock.stage("detect")
        if self.tracker is not None:
            detections = self.tracker(detections, newest.stamp_ns)
            clock.stage("track")
        self._found = detections, newest.stamp_ns
        return detections

    def _meet_deadline(self, result: FusionResult) -> FusionResult:
        """Let the deadline learn what this result took, and note how often the detector runs."""
        if result.detections is None:
            return result
        detect_ms = None if result.detections.age_ns else result.timings_ms["detect"]
        self.deadline.update(sum(result.timings_ms.values()), detect_ms)
        return replace(result, detector_stride=self.deadline.stride)

    def accepted_calibration(self) -> Calibration:
        """The calibration with what the refinement has learned so far. Raises ConfigError."""
        if self.refinement is None:
            raise ConfigError("nothing is learned while registration.refine.model is off")
        correction = self.refinement.correction
        if correction is None:
            raise ConfigError("no correction was found so far: there is nothing to write")
        return self.warp.accepted(correction, self._reference_size)

    def set_config(self, config: PipelineConfig) -> None:
        """Take over the live parameters of a new configuration. Raises ConfigError, changing nothing."""
        self.warp.check_plane_distance(config.registration.plane_distance_m)
        if self.detector is not None:
            self.detector.set_config(config.detection)
        self.warp.set_plane_distance(config.registration.plane_distance_m)
        self.scaler.set_config(config.thermal)
        self.faults.set_config(config.faults)
        self.deadline.set_config(config.deadline)

    def reset(self) -> None:
        """Forget what was learned over time, after a jump back or a new bag."""
        self.faults.reset()
        if self.refinement is not None:
            self.refinement.reset()
            self.warp.set_correction(None)
        if self.tracker is not None:
            self.tracker.reset()
        self.deadline.reset()
        self.scaler.reset()

    def close(self) -> None:
        """Release the backends."""
        self.fuser.backend.close()
        if self.detector is not None:
            self.detector.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def build_pipeline(config: PipelineConfig) -> Pipeline:
    """Load models and calibration. Raises ConfigError, ModelError or BackendError."""
    warp = build_warp(config.registration)
    fusion_model = fusion_model_name(config.fusion)
    fusion = load_backend(
        resolve_model(fusion_model),
        config.fusion.backend,
        precision=config.fusion.precision,
        threads=config.fusion.threads,
    )
    detector = build_detector(config.detection)
    if detector is not None:
        detector.follow(fusion)
    refine = config.registration.refine
    refinement = None if refine.model == "off" else OnlineRefinement(refine)
    scaler = ThermalScaler(config.thermal)
    return Pipeline(
        FaultMonitor(config.faults),
        scaler,
        warp,
        Fuser(fusion),
        detector,
        refinement,
        dense_residual=config.registration.residual == "dense",
        tracker=None if config.tracking.tracker == "off" else ByteTracker(config.tracking),
        deadline=Deadline(config.deadline),
        fusion_model=fusion_model,
    )


def fusion_model_name(config: FusionConfig) -> str:
    """The configured fusion model; for auto, what this machine runs at camera rate. Raises BackendError."""
    if config.model != "auto":
        return config.model
    on_gpu = resolve_backend(config.backend, config.precision) == "tensorrt"
    return "refinefuse" if on_gpu else "refinefuse_lite"


def build_warp(config: RegistrationConfig) -> Warp:
    """The configured registration. Raises ConfigError."""
    calibration = read_calibration(config.calibration) if config.calibration else None
    warp = Warp(calibration, cast(CameraName, config.reference), config.plane_distance_m)
    rig = None if calibration is None else calibration.rig
    if rig is None and (config.depth or config.extrinsics == "tf"):
        asked = "registration.depth is true" if config.depth else "registration.extrinsics is tf"
        found = f"{config.calibration} has no rig" if config.calibration else "there is no calibration"
        raise ConfigError(
            f"{asked}, but {found}: set registration.calibration to a file with a rig (`ivfusion calibrate "
            "--board`; one with thermal_size, rgb_size and `rig: {}` takes the intrinsics from camera_info)"
        )
    if rig is not None and config.extrinsics == "tf":
        # Until a transform is there: the file's, or else as if both cameras stood in one place.
        warp.set_extrinsics(rig.rgb_from_thermal or Extrinsics(np.eye(3), np.zeros(3)))
    return warp


def build_detector(config: DetectionConfig) -> Detector | None:
    """The configured detector, None for fusion only. Raises ConfigError, ModelError or BackendError."""
    name = config.model
    if name == "auto":
        shipped = [entry.name for entry in read_models().values() if entry.task == "detection"]
        name = shipped[0] if shipped else ""
        if not name:
            log.warning("no detector ships with this version: fusion only (give one with detection.model)")
    if not name:
        return None
    path = resolve_model(name)
    if path.suffix == ".pt":
        onnx = path.with_suffix(".onnx")
        raise ModelError(
            f"{path} is a checkpoint; run `ivfusion export --detector {path} {onnx}` and give {onnx}"
        )
    backend = load_backend(path, config.backend, precision=config.precision, threads=config.threads)
    return Detector(backend, config)


def _result(
    fused: Image,
    thermal: Image,
    rgb: Image,
    frames: Frames,
    reference: Frame,
    detections: Detections | None,
    clock: StageClock,
    skew_ns: int = 0,
    report: FaultReport = _SOUND,
    *,
    mode: Mode = "fused",
) -> FusionResult:
    headers = {camera: Header(frame.stamp_ns, frame.frame_id) for camera, frame in frames.items()}
    return FusionResult(
        fused=fused,
        thermal=thermal,
        rgb=rgb,
        stamp_ns=reference.stamp_ns,
        frame_id=reference.frame_id,
        camera_info=reference.camera_info,
        thermal_header=headers.get("thermal"),
        rgb_header=headers.get("rgb"),
        skew_ns=skew_ns,
        mode=mode,
        detections=detections,
        faults=report.labels,
        thermal_weight=report.thermal_weight,
        rgb_weight=report.rgb_weight,
        timings_ms=clock.timings_ms,
    )
