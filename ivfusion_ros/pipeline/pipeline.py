"""Pipeline: the one place where the stages meet, for topics, bags and folders alike.

It has two halves, so that a CPU can fuse a frame while it still looks for objects in the one before: `fuse`
(or `rgb_only`, `thermal_only` where a camera is silent), then `detect`. See overlap.py.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.config.pipeline import (
    DeadlineConfig,
    PipelineConfig,
)
from ivfusion_ros.detection.native import Frames, Views, with_native_boxes, with_temperatures
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.pipeline.deadline import Deadline
from ivfusion_ros.pipeline.faults import FaultMonitor, FaultReport, gate
from ivfusion_ros.registration.scene.dense import Residual, dense_residual
from ivfusion_ros.types import (
    DepthImage,
    Detections,
    Frame,
    FramePair,
    FusionResult,
    Header,
    Image,
    Mode,
    Size,
)

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.detection import Detector
    from ivfusion_ros.detection.tracking import ByteTracker
    from ivfusion_ros.geometry.calibration import Calibration
    from ivfusion_ros.geometry.warp import Warp
    from ivfusion_ros.images.thermal import ThermalScaler
    from ivfusion_ros.pipeline.fuser import Fuser
    from ivfusion_ros.registration.online.refine import OnlineRefinement, Refinement

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


@dataclass(frozen=True, eq=False)
class Fused:
    """What is ready for the detector: a result without detections, and how the cameras saw it."""

    result: FusionResult
    views: Views


class Pipeline:
    """Judge, scale, register, fuse, detect; close it when done.

    One thread at a time uses the first half and `reset`, one the second half.
    """

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

    @property
    def detects_apart(self) -> bool:
        """Whether `detect` may run in another thread than `fuse`, at the same time.

        Not on a GPU, which one thread owns and where a fused image is handed on before the next one.
        """
        return self.detector is not None and not isinstance(self.detector.backend, DeviceBackend)

    def process(self, pair: FramePair) -> FusionResult:
        """One pair -> fused image and detections; raises what both halves raise."""
        return self.detect(self.fuse(pair))

    def fuse(self, pair: FramePair) -> Fused:
        """One pair -> fused image with the reference's stamp, frame and geometry.

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
        result = _result(fused, thermal, rgb, frames, reference, clock, pair.skew_ns, report)
        if self._dense_residual:
            result = replace(result, residual_share=0.0 if residual is None else residual.kept)
        if refinement is not None:
            confidence, drift_px = refinement.confidence, refinement.drift_px
            result = replace(result, registration_confidence=confidence, drift_px=drift_px)
        return Fused(result, self._views(result, frames, pair.depth, residual))

    def rgb_only(self, frame: Frame, thermal_size: Size | None = None) -> Fused:
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
        black = np.zeros(rgb.shape[:2], np.uint8)
        result = _result(rgb, black, rgb, frames, frame, clock, mode="rgb_only")
        return Fused(result, self._views(result, frames))

    def thermal_only(self, frame: Frame, rgb_size: Size | None) -> Fused:
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
        black = np.zeros((*thermal.shape, 3), np.uint8)
        result = _result(shown, thermal, black, frames, frame, clock, mode="thermal_only")
        return Fused(result, self._views(result, frames))

    def detect(self, fused: Fused) -> FusionResult:
        """Add objects, in the order in which images were fused.

        Those found last, with their age, while the detector rests. Raises ModelError or ConfigError.
        """
        if self.detector is None:
            return fused.result
        clock, result = StageClock(), fused.result
        if self._found is not None and not self.deadline.detects:
            detections, stamp_ns = self._found
            detections = replace(detections, age_ns=max(1, result.stamp_ns - stamp_ns))
        else:
            detections = self._detect(fused, self.detector)
        clock.stage("detect")
        rested = detections.age_ns > 0
        if self.tracker is not None:
            detections = detections if rested else self.tracker(detections, result.stamp_ns)
            clock.stage("track")
        if not rested:
            self._found = detections, result.stamp_ns
        timings_ms = result.timings_ms | clock.timings_ms
        self.deadline.update(sum(timings_ms.values()), None if rested else timings_ms["detect"])
        return replace(
            result,
            detections=detections,
            detector_stride=self.deadline.stride,
            timings_ms=timings_ms,
        )

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

    def _views(
        self,
        result: FusionResult,
        frames: Frames,
        depth: DepthImage | None = None,
        residual: Residual | None = None,
    ) -> Views:
        """What the detector's half needs of the warp, which goes on to the next pair."""
        reference = self.warp.reference
        size = (result.fused.shape[1], result.fused.shape[0])
        other = next((frame for camera, frame in frames.items() if camera != reference), None)
        to_other = None
        if other is not None and self.detector is not None:
            to_other = self.warp.point_map(other.size, size)
        return Views(frames, reference, size, to_other, depth, residual)

    def _detect(self, fused: Fused, detector: Detector) -> Detections:
        """Objects in the fused image, with their boxes in the images of the cameras that sent one."""
        image = fused.result.fused
        detections = with_native_boxes(detector(image, self.fuser.resident(image)), fused.views)
        return with_temperatures(detections, fused.views.frames, self.scaler)

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


def _result(
    fused: Image,
    thermal: Image,
    rgb: Image,
    frames: Frames,
    reference: Frame,
    clock: StageClock,
    skew_ns: int = 0,
    report: FaultReport = _SOUND,
    *,
    mode: Mode = "fused",
) -> FusionResult:
    headers = {camera: Header(frame.stamp_ns, frame.frame_id) for camera, frame in frames.items()}
    received = [frame.received_ns for frame in frames.values() if frame.received_ns is not None]
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
        received_ns=max(received, default=None),
        mode=mode,
        faults=report.labels,
        thermal_weight=report.thermal_weight,
        rgb_weight=report.rgb_weight,
        timings_ms=clock.timings_ms,
    )
