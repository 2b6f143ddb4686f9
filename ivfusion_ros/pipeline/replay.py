"""Frames in, results out, with everything counted: the loop that replay, demo and bench share."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.detection.ranges import by_method
from ivfusion_ros.geometry.tf import TransformTree, frames_problem, missing_base, missing_transform
from ivfusion_ros.pipeline.bumps import Bumps
from ivfusion_ros.pipeline.overlap import Overlap
from ivfusion_ros.pipeline.skips import Skips

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from concurrent.futures import Future

    from ivfusion_ros.geometry.rig import Extrinsics
    from ivfusion_ros.pipeline.pipeline import Pipeline, Rest
    from ivfusion_ros.sync.synchronizer import Synchronizer
    from ivfusion_ros.types import CameraName, Frame, FramePair, FusionResult

log = logging.getLogger(__name__)


class Replay:
    """Pairs frames and runs the pipeline over them; what happened is in `report()`.

    synchronizer: its depth takes the depth images. transforms: takes the transforms between frames, each
    before the frames that came after it; None: the calibration's extrinsics count. follows_cameras: whether
    the cameras' extrinsics are among them. base_frame: in which positions ask for the camera's pose, or ''.
    """

    def __init__(
        self,
        synchronizer: Synchronizer,
        pipeline: Pipeline,
        transforms: TransformTree | None = None,
        *,
        follows_cameras: bool = True,
        base_frame: str = "",
    ) -> None:
        self.synchronizer = synchronizer
        self.pipeline = pipeline
        self.transforms = transforms
        self.follows_cameras = follows_cameras
        self.base_frame = base_frame
        self._without_base = 0
        self._extrinsics: Extrinsics | None = None
        self._unlinked = 0
        self.skips = Skips()
        self._frames: Counter[str] = Counter()
        self._timings_ms: dict[str, list[float]] = {}
        self._skews_ms: list[float] = []
        self._detections: Counter[str] = Counter()
        self._placed: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._bumps = Bumps()
        self._rested = 0
        self._seconds = 0.0

    def results(self, frames: Iterable[tuple[CameraName, Frame]]) -> Iterator[FusionResult]:
        """A result per pair, in order of RGB stamps; a pair that cannot be fused is counted and skipped."""
        start = time.perf_counter()
        for result in self._process(self._pairs(frames)):
            self._count(result)
            yield result
            self._seconds = time.perf_counter() - start

    def _process(self, pairs: Iterable[FramePair]) -> Iterator[FusionResult]:
        """A pair's result comes when the next ones have been begun, and their second halves are in work."""
        with Overlap(self.pipeline) as overlap:
            coming: deque[tuple[FramePair, Future[FusionResult]]] = deque()
            for pair in pairs:
                rest = self._begin(pair, overlap)
                if rest is None:
                    continue
                coming.append((pair, overlap.submit(rest)))
                if len(coming) > overlap.most:
                    yield from self._detected(*coming.popleft())
            while coming:
                yield from self._detected(*coming.popleft())

    def _begin(self, pair: FramePair, overlap: Overlap) -> Rest | None:
        """None for a pair that cannot be fused, whatever is wrong with it: the others are not to pay."""
        try:
            if self.transforms is not None and self.follows_cameras:
                self._follow_transforms(self.transforms, pair)
            if self.transforms is not None and self.base_frame:
                self._follow_base(self.transforms, pair)
            rest = self.pipeline.begin(pair)
            if overlap.is_full:
                rest()
            return rest
        except Exception as error:  # noqa: BLE001
            self._skip(pair, error)
            return None

    def _detected(self, pair: FramePair, coming: Future[FusionResult]) -> Iterator[FusionResult]:
        """The result of a pair whose second half is in work; none where that failed."""
        try:
            result = coming.result()
        except Exception as error:  # noqa: BLE001
            self._skip(pair, error)
            return
        yield result

    def _skip(self, pair: FramePair, error: Exception) -> None:
        self.skips.add(error, thermal=pair.thermal.header, rgb=pair.rgb.header)

    def _pairs(self, frames: Iterable[tuple[CameraName, Frame]]) -> Iterator[FramePair]:
        for camera, frame in frames:
            self._frames[camera] += 1
            yield from self.synchronizer.add(camera, frame)
        yield from self.synchronizer.flush()

    def _follow_transforms(self, transforms: TransformTree, pair: FramePair) -> None:
        rgb_frame, thermal_frame = pair.rgb.frame_id, pair.thermal.frame_id
        problem = frames_problem(rgb_frame, thermal_frame)
        found = None if problem else transforms.lookup(rgb_frame, thermal_frame)
        if found is None:
            if not self._unlinked:
                log.warning("%s", missing_transform(rgb_frame, thermal_frame, "in the bag"))
            self._unlinked += 1
        elif found is not self._extrinsics:
            self._extrinsics = found
            self.pipeline.registrar.set_extrinsics(found)

    def _follow_base(self, transforms: TransformTree, pair: FramePair) -> None:
        """Tell the pipeline where the reference camera is on the robot."""
        camera = self.pipeline.registrar.reference
        frame_id = pair.frames[camera].frame_id
        found = transforms.lookup(self.base_frame, frame_id) if frame_id else None
        if found is None and not self._without_base:
            log.warning("%s", missing_base(self.base_frame, frame_id, "in the bag"))
        self._without_base += found is None
        if self.pipeline.locator is not None:
            self.pipeline.locator.set_base(found)

    def _count(self, result: FusionResult) -> None:
        self._skews_ms.append(result.skew_ns / 1e6)
        self._faults.update(result.faults.labels)
        self._bumps.add(result.registration)
        for stage, milliseconds in result.timings_ms.items():
            self._timings_ms.setdefault(stage, []).append(milliseconds)
        if result.detections is not None and result.detections.age_ns:
            self._rested += 1
        elif result.detections is not None:
            names = result.detections.class_names
            self._detections.update(names[class_id] for class_id in result.detections.class_ids)
            self._placed.update(result.detections.placed)

    def report(self) -> dict[str, Any]:
        """Frames, pairs, drops by reason, rate, stage times, skew, pairs by fault; JSON-ready, in ms."""
        pairs = len(self._skews_ms)
        total = [sum(stages) for stages in zip(*self._timings_ms.values(), strict=True)]
        skews = np.abs(self._skews_ms) if pairs else np.zeros(1)
        return {
            "frames": dict(self._frames),
            "pairs": pairs,
            **({"pairs_with_held_thermal": held} if (held := self.synchronizer.pairer.held) else {}),
            "drops": dict(sorted(self.synchronizer.pairer.drops.items())),
            **self.skips.report(),
            **self._missing(),
            "seconds": round(self._seconds, 3),
            "pairs_per_second": round(pairs / self._seconds, 2) if self._seconds else 0.0,
            "skew_ms": {"median": _rounded(np.median(skews)), "max": _rounded(skews.max())},
            "stages_ms": {name: summary(times) for name, times in self._timings_ms.items()},
            "pipeline_ms": summary(total),
            "faults": dict(self._faults.most_common()),
            **self._bumps.report(),
            "detections": dict(self._detections.most_common()),
            **self._positions(),
            "pairs_without_detection": self._rested,
        }

    def _positions(self) -> dict[str, dict[str, int]]:
        """Objects by how their positions are known, and by why they are not."""
        if self.pipeline.locator is None:
            return {}
        known, missing = by_method(self._placed)
        return {"positions": known, "without_position": missing}

    def _missing(self) -> dict[str, int]:
        """Pairs that lacked what was asked for."""
        depth = self.synchronizer.depth
        missing = {} if depth is None else {"pairs_without_depth": depth.missed}
        if self.transforms is not None and self.follows_cameras:
            missing["pairs_without_transform"] = self._unlinked
        if self.base_frame:
            missing["pairs_without_base"] = self._without_base
        return missing


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median and 95th percentile of times in ms; empty without any."""
    if not milliseconds:
        return {}
    return {
        "median": _rounded(np.median(milliseconds)),
        "p95": _rounded(np.percentile(milliseconds, 95)),
    }


def _rounded(value: Any) -> float:
    return round(float(value), 3)
