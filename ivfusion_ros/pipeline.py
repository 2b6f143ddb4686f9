"""Pipeline: the one place where the stages meet, for topics, bags and folders alike."""

from __future__ import annotations

import logging
import time
from types import TracebackType

import numpy as np

from ivfusion_ros.backends import load_backend
from ivfusion_ros.config import DetectionConfig, PipelineConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.fuse import Fuser
from ivfusion_ros.images import to_rgb
from ivfusion_ros.models import read_models, resolve_model
from ivfusion_ros.registration.calibration import read_calibration
from ivfusion_ros.registration.warp import Warp
from ivfusion_ros.thermal import ThermalScaler
from ivfusion_ros.types import Frame, FramePair, FusionResult, Image, Mode

log = logging.getLogger(__name__)


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
    """Scale, register, fuse, detect. One thread uses it at a time; close it when done."""

    def __init__(self, scaler: ThermalScaler, warp: Warp, fuser: Fuser, detector: Detector | None) -> None:
        self.scaler = scaler
        self.warp = warp
        self.fuser = fuser
        self.detector = detector

    def process(self, pair: FramePair) -> FusionResult:
        """One pair -> fused image and detections, with the RGB camera's stamp, frame and geometry.

        Raises ImageError or ModelError for images that cannot be fused; the pipeline stays usable.
        """
        clock = StageClock()
        rgb = to_rgb(pair.rgb.image)
        grey = self.scaler(pair.thermal.image, pair.thermal.stamp_ns)
        clock.stage("scale")
        thermal = self.warp(grey, pair.rgb.size)
        clock.stage("register")
        fused = self.fuser(thermal, rgb)
        clock.stage("fuse")
        return self._result(fused, thermal, rgb, pair.rgb, clock, skew_ns=pair.skew_ns)

    def process_rgb(self, frame: Frame) -> FusionResult:
        """An RGB frame while the thermal camera is silent: its image as it is, and detections.

        Raises ImageError or ModelError.
        """
        clock = StageClock()
        rgb = to_rgb(frame.image)
        clock.stage("scale")
        return self._result(rgb, np.zeros(rgb.shape[:2], np.uint8), rgb, frame, clock, mode="rgb_only")

    def process_thermal(self, frame: Frame, rgb_size: tuple[int, int] | None) -> FusionResult:
        """A thermal frame while the RGB camera is silent: in the RGB view, with the thermal stamp.

        rgb_size: (width, height) of the RGB camera, None where it was never seen. Raises ImageError,
        ModelError or ConfigError.
        """
        clock = StageClock()
        grey = self.scaler(frame.image, frame.stamp_ns)
        clock.stage("scale")
        thermal = self.warp(grey, rgb_size or self.warp.usual_rgb_size(frame.size))
        clock.stage("register")
        black = np.zeros((*thermal.shape, 3), np.uint8)
        return self._result(to_rgb(thermal), thermal, black, frame, clock, mode="thermal_only")

    def _result(
        self,
        fused: Image,
        thermal: Image,
        rgb: Image,
        reference: Frame,
        clock: StageClock,
        *,
        skew_ns: int = 0,
        mode: Mode = "fused",
    ) -> FusionResult:
        detections = None
        if self.detector is not None:
            detections = self.detector(fused)
            clock.stage("detect")
        return FusionResult(
            fused=fused,
            thermal=thermal,
            rgb=rgb,
            stamp_ns=reference.stamp_ns,
            frame_id=reference.frame_id,
            camera_info=reference.camera_info,
            skew_ns=skew_ns,
            mode=mode,
            detections=detections,
            timings_ms=clock.timings_ms,
        )

    def set_config(self, config: PipelineConfig) -> None:
        """Take over the live parameters of a new configuration. Raises ConfigError, changing nothing."""
        if self.detector is not None:
            self.detector.set_config(config.detection)
        self.scaler.set_config(config.thermal)

    def reset(self) -> None:
        """Forget what was smoothed over time, after a jump back or a new bag."""
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
    calibration = None
    if config.registration.calibration:
        calibration = read_calibration(config.registration.calibration)
    fusion = load_backend(
        resolve_model(config.fusion.model),
        config.fusion.backend,
        precision=config.fusion.precision,
        threads=config.fusion.threads,
    )
    return Pipeline(
        ThermalScaler(config.thermal), Warp(calibration), Fuser(fusion), build_detector(config.detection)
    )


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
    backend = load_backend(
        resolve_model(name), config.backend, precision=config.precision, threads=config.threads
    )
    return Detector(backend, config)
