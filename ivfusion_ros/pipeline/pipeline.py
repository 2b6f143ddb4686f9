"""Pipeline: the one place where the stages meet, for topics, bags and folders alike.

It has two halves, so that one frame is begun while the one before is still in work. On a CPU the first half
ends with the fused image, and the second looks for objects; on a GPU the first is all that comes before the
networks, and the second has both. Where several images are searched at once, either fuses: see `begin`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends.device import DeviceBackend
from ivfusion_ros.backends.ranges import ranged
from ivfusion_ros.config.pipeline import DeadlineConfig, PipelineConfig
from ivfusion_ros.detection.native import Views, with_native_boxes, with_temperatures
from ivfusion_ros.images.bars import Bars
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.measured import from_values, to_values
from ivfusion_ros.pipeline.blend import blend
from ivfusion_ros.pipeline.deadline import Deadline
from ivfusion_ros.pipeline.in_work import InWork
from ivfusion_ros.pipeline.mixups import MixUps
from ivfusion_ros.pipeline.stage_clock import StageClock
from ivfusion_ros.registration.registrar import Registered
from ivfusion_ros.types import (
    AnyImage,
    CameraName,
    Detections,
    FaultReport,
    Frame,
    FramePair,
    Frames,
    FusionResult,
    Image,
    Mode,
    Size,
)

if TYPE_CHECKING:
    from types import TracebackType

    from ivfusion_ros.detection import Detector
    from ivfusion_ros.detection.positions import Locator
    from ivfusion_ros.detection.tracking import ByteTracker
    from ivfusion_ros.images.rgb_input import RgbInput
    from ivfusion_ros.images.thermal import ThermalScaler
    from ivfusion_ros.images.thermal_input import ThermalInput
    from ivfusion_ros.pipeline.faults import FaultMonitor
    from ivfusion_ros.pipeline.fuser import Fuser
    from ivfusion_ros.registration.registrar import Registrar
    from ivfusion_ros.types import Floats32


def _nobody(_result: FusionResult) -> None:
    """Who wants to know of a fused image by default."""


@dataclass(frozen=True, eq=False)
class Fused:
    """What is ready for the detector: a result without detections, and how the cameras saw it."""

    result: FusionResult
    views: Views = field(repr=False)


@dataclass(frozen=True, eq=False)
class Looked:
    """What was found in a fused image, before it is told from what was found in others."""

    detections: Detections
    clock: StageClock


Rest = Callable[[], Fused]
"""What is left to do of a frame before it can be searched for objects, done once; see Pipeline.begin."""


@dataclass(frozen=True, eq=False)
class _Prepared:
    """What is ready for the fusion network: a pair in one view, judged and measured."""

    pair: FramePair
    seen: Registered
    faults: FaultReport
    measured: AnyImage | None
    clock: StageClock


class Pipeline:
    """Judge, scale, register, fuse, detect; close it when done.

    One thread at a time uses the first half and `reset`, one the second; `looks` may `look` and do a Rest.
    """

    def __init__(
        self,
        thermal_input: ThermalInput,
        rgb_input: RgbInput,
        faults: FaultMonitor,
        scaler: ThermalScaler,
        registrar: Registrar,
        fuser: Fuser,
        detector: Detector | None,
        *,
        strength: float,
        registered_unit: str,
        tracker: ByteTracker | None = None,
        locator: Locator | None = None,
        deadline: Deadline | None = None,
        fusion_model: str = "",
        looks: int = 1,
    ) -> None:
        """strength: as in blend. registered_unit: as in OutputsConfig. looks: as in build.Networks."""
        self.thermal_input = thermal_input
        self.rgb_input = rgb_input
        self.faults = faults
        self.bars = Bars()
        self.scaler = scaler
        self.registrar = registrar
        self.mixups = MixUps(calibrated=registrar.calibrated)
        self.fuser = fuser
        self.detector = detector
        self.strength = strength
        self.registered_unit = registered_unit
        self.tracker = tracker
        self.locator = locator
        self.fusion_model = fusion_model
        self.looks = looks
        self.measures: Callable[[], bool] = lambda: False
        """asked before each pair: whether somebody wants what the thermal camera measured"""
        self.detects: Callable[[], bool] = lambda: True
        """asked before each fused image is searched: whether somebody wants to know what is in it"""
        self.deadline = deadline or Deadline(DeadlineConfig())
        self.in_work = InWork()
        """which of the stages that can take long run now: register, fuse and detect"""
        backends = [fuser.backend, *([] if detector is None else [detector.backend])]
        self.on_gpu = any(isinstance(backend, DeviceBackend) for backend in backends)
        """whether a network runs on a GPU, which one thread owns, and where a fused image is handed on"""
        self._found: tuple[Detections, int] | None = None
        """what the detector found last, and the stamp of that image"""

    @property
    def overlaps(self) -> bool:
        """Whether there is a second half that may run in another thread than `begin`, at the same time."""
        return self.detector is not None or self.on_gpu

    def process(self, pair: FramePair) -> FusionResult:
        """One pair -> fused image and detections; raises what both halves raise."""
        return self.detect(self.fuse(pair))

    def begin(self, pair: FramePair, on_fused: Callable[[FusionResult], None] = _nobody) -> Rest:
        """The first half of a pair. The rest is for the thread of the second half, before `detect`.

        Where no GPU has a part in it, and one image is searched at a time, the rest is done already.
        on_fused: called with the result without detections as soon as there is one. Raises what `fuse`
        raises, and so does the rest.
        """
        prepared = self._prepare(pair)

        @cache
        def rest() -> Fused:
            fused = self._fuse(prepared)
            on_fused(fused.result)
            return fused

        if not self.on_gpu and self.looks == 1:
            rest()
        return rest

    def fuse(self, pair: FramePair) -> Fused:
        """One pair -> fused image with the reference's stamp, frame and geometry.

        Raises ImageError, ModelError or ConfigError for images that cannot be fused; the pipeline stays
        usable.
        """
        return self._fuse(self._prepare(pair))

    @ranged("prepare")
    def _prepare(self, pair: FramePair) -> _Prepared:
        clock = StageClock()
        pair = self._as_used(pair)
        self.mixups(pair)
        faults = self.faults.update(pair.thermal, pair.rgb, held=pair.held)
        clock.stage("faults")
        rgb = to_rgb(pair.rgb.image)
        window = self.bars(pair.thermal.image)
        thermal = self.scaler(pair.thermal.image, pair.thermal.stamp_ns, window)
        clock.stage("scale")
        sound = not faults.labels
        values = self._values(pair.thermal) if self.measures() else None
        with self.in_work("register"):
            seen = self.registrar(
                pair, thermal, rgb, sound=sound, stage=clock.stage, window=window, values=values
            )
        if sound and not pair.held:
            self.mixups.look(seen.thermal, seen.rgb, pair.rgb.stamp_ns)
        return _Prepared(pair, seen, faults, self._measured(seen.measured, pair.thermal), clock)

    @ranged("fuse")
    def _fuse(self, prepared: _Prepared) -> Fused:
        pair, seen, faults, clock = prepared.pair, prepared.seen, prepared.faults, prepared.clock
        clock.resume()
        reference = self.registrar.reference
        with self.in_work("fuse"):
            made = self.fuser(*seen.filled(), seen.thermal_pixel)
        fused = blend(made, seen, reference, faults, self.strength)
        clock.stage("fuse")
        result = replace(
            _result((fused, seen.thermal, seen.rgb), pair.frames, reference, clock),
            skew_ns=pair.skew_ns,
            held=pair.held,
            faults=faults,
            registration=seen.report,
            measured=prepared.measured,
        )
        return Fused(result, Views(pair.frames, result.size, seen.native_points, pair.depth))

    def rgb_only(self, frame: Frame, thermal_size: Size | None = None) -> Fused:
        """An RGB frame while the thermal camera is silent: its image in the reference's view.

        thermal_size: (width, height) of the thermal camera, None where it was never seen; matters only
        where that is the reference. Raises ImageError, ModelError or ConfigError.
        """
        clock = StageClock()
        frame = self.rgb_input(frame)
        rgb = to_rgb(frame.image)
        clock.stage("scale")
        rgb, native_points = self.registrar.alone("rgb", rgb, self.thermal_input.size(thermal_size))
        if native_points:
            clock.stage("register")
        frames: Frames = {"rgb": frame}
        black = np.zeros(rgb.shape[:2], np.uint8)
        result = _result((rgb, black, rgb), frames, "rgb", clock, "rgb_only")
        return Fused(result, Views(frames, result.size, native_points))

    def thermal_only(self, frame: Frame, rgb_size: Size | None) -> Fused:
        """A thermal frame while the RGB camera is silent: in the reference's view, with the thermal stamp.

        rgb_size: (width, height) of the RGB camera, None where it was never seen; matters only where that
        is the reference. Raises ImageError, ModelError or ConfigError.
        """
        clock = StageClock()
        frame = self.thermal_input(frame)
        window = self.bars(frame.image)
        thermal = self.scaler(frame.image, frame.stamp_ns, window)
        clock.stage("scale")
        thermal, native_points = self.registrar.alone("thermal", thermal, rgb_size)
        values = None
        if self.measures():
            values = self.registrar.measured(self._values(frame), thermal.shape[::-1], window=window)
        clock.stage("register")
        frames: Frames = {"thermal": frame}
        black = np.zeros((*thermal.shape, 3), np.uint8)
        result = _result((to_rgb(thermal), thermal, black), frames, "thermal", clock, "thermal_only")
        result = replace(result, measured=self._measured(values, frame))
        return Fused(result, Views(frames, result.size, native_points))

    def detect(self, fused: Fused) -> FusionResult:
        """Add objects, in the order in which images were fused. Raises ModelError or ConfigError."""
        return self.conclude(fused, self.look(fused))

    @ranged("detect")
    def look(self, fused: Fused) -> Looked | None:
        """Objects in one image: those found last, with their age, while the detector rests.

        None where nobody wants them. Raises ModelError or ConfigError.
        """
        if self.detector is None or not self.detects():
            return None
        clock, stamp_ns = StageClock(), fused.result.stamp_ns
        if self._found is not None and not self.deadline.detects:
            detections, last_ns = self._found
            detections = replace(detections, age_ns=max(1, stamp_ns - last_ns))
        else:
            with self.in_work("detect"):
                detections = self._detect(fused, self.detector)
        clock.stage("detect")
        return Looked(detections, clock)

    def conclude(self, fused: Fused, looked: Looked | None) -> FusionResult:
        """Add what `look` found, in the order in which images were fused. Raises ConfigError."""
        if looked is None:
            self._found = None
            return fused.result
        result, detections, clock = fused.result, looked.detections, looked.clock
        clock.resume()
        rested = detections.age_ns > 0
        if self.tracker is not None:
            detections = detections if rested else self.tracker(detections, result.stamp_ns, result.fused)
            clock.stage("track")
        if self.locator is not None and not rested:
            detections = self.locator(
                detections, result.size, result.frame_id, result.camera_info, fused.views.depth
            )
        if not rested:
            self._found = detections, result.stamp_ns
        timings_ms = {**result.timings_ms, **clock.timings_ms}
        self.deadline.update(sum(timings_ms.values()), None if rested else timings_ms["detect"])
        return replace(
            result,
            detections=detections,
            detector_stride=self.deadline.stride,
            timings_ms=timings_ms,
        )

    def _detect(self, fused: Fused, detector: Detector) -> Detections:
        """Objects in the fused image, with their boxes in the images of the cameras that sent one."""
        image = fused.result.fused
        found = detector(image, self.fuser.resident(image), fused.result.thermal)
        detections = with_native_boxes(found, fused.views)
        kelvin = self.scaler.kelvin if self._tells_kelvin else None
        return with_temperatures(detections, fused.views.frames, kelvin)

    @property
    def _tells_kelvin(self) -> bool:
        return self.scaler.is_radiometric or self.thermal_input.tells_kelvin

    def _values(self, thermal: Frame) -> Floats32:
        in_kelvin = self._tells_kelvin and self.registered_unit == "kelvin"
        return to_values(thermal.image, self.scaler.kelvin if in_kelvin else None)

    def _measured(self, values: Floats32 | None, thermal: Frame) -> AnyImage | None:
        if values is None:
            return None
        in_kelvin = self._tells_kelvin and self.registered_unit == "kelvin"
        return from_values(values, thermal.image, kelvin=in_kelvin)

    def _as_used(self, pair: FramePair) -> FramePair:
        """The scene of the thermal frame, and RGB of 8 bits; the pair itself where it is that."""
        thermal, rgb = self.thermal_input(pair.thermal), self.rgb_input(pair.rgb)
        same = thermal is pair.thermal and rgb is pair.rgb
        return pair if same else replace(pair, thermal=thermal, rgb=rgb)

    def check_config(self, config: PipelineConfig) -> None:
        """Raise ConfigError for live parameters that set_config would refuse; from any thread."""
        self.registrar.check_config(config.registration)
        if self.detector is not None:
            self.detector.check_config(config.detection)

    def set_config(self, config: PipelineConfig) -> None:
        """Take over the live parameters of a new configuration. Raises ConfigError, changing nothing."""
        self.check_config(config)
        if self.detector is not None:
            self.detector.set_config(config.detection)
        self.registrar.set_config(config.registration)
        self.thermal_input.set_config(config.thermal)
        self.rgb_input.set_config(config.images)
        self.scaler.set_config(config.thermal)
        self.faults.set_config(config.faults)
        self.strength = config.fusion.strength
        self.fuser.resolution = config.fusion.resolution
        self.registered_unit = config.outputs.registered_unit
        self.deadline.set_config(config.deadline)

    def reset(self) -> None:
        """Forget what was learned over time, after a jump back or a new bag."""
        self.faults.reset()
        self.registrar.reset()
        if self.tracker is not None:
            self.tracker.reset()
        self.deadline.reset()
        self.bars.reset()
        self.thermal_input.reset()
        self.scaler.reset()

    def close(self) -> None:
        """Release the backends, and end what runs in the background."""
        self.registrar.close()
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
    images: tuple[Image, Image, Image],
    frames: Frames,
    reference: CameraName,
    clock: StageClock,
    mode: Mode = "fused",
) -> FusionResult:
    """images: fused, thermal and RGB. reference: whose stamp, frame and intrinsics the result has."""
    frame = frames[reference]
    received = [frame.received_ns for frame in frames.values() if frame.received_ns is not None]
    return FusionResult(
        *images,
        stamp_ns=frame.stamp_ns,
        frame_id=frame.frame_id,
        camera_info=frame.camera_info,
        headers={camera: frame.header for camera, frame in frames.items()},
        received_ns=max(received, default=None),
        mode=mode,
        timings_ms=clock.timings_ms,
    )
