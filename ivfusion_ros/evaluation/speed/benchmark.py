"""Timing of alternatives side by side in one run: on a noisy machine only ratios can be trusted."""

from __future__ import annotations

import itertools
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.backends.layers import Layer, ProfilingBackend
from ivfusion_ros.backends.table import BACKENDS
from ivfusion_ros.bags.messages import make, serialize
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import DetectionConfig, PipelineConfig, RefinementConfig, ThermalConfig
from ivfusion_ros.detection import Detector
from ivfusion_ros.geometry.calibration import Calibration
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.encodings import decode_image
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.messages.images import make_image
from ivfusion_ros.models import resolve_model
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.pipeline.overlap import Overlap
from ivfusion_ros.registration.luminance import luminance
from ivfusion_ros.registration.online import OnlineRefinement
from ivfusion_ros.registration.scene import dense_residual
from ivfusion_ros.types import Frame, FramePair, Header, Image, Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ivfusion_ros.backends.backend import Backend
    from ivfusion_ros.backends.tensors import Array

_LEAST_LEARNED_PX = 64
"""Wide and high: smaller images have nothing that online refinement could follow."""


class Network(NamedTuple):
    """What runs a network, and inputs as they come in use."""

    backend: Backend
    inputs: Mapping[str, Array]


Times = dict[str, list[float]]
"""milliseconds of each run, by name"""


def alternate(
    candidates: Mapping[str, Callable[[], object]], rounds: Iterable[int], warm_up: int = 2
) -> Times:
    """Run all candidates in turn, round after round, so that noise hits them alike."""
    times: Times = {name: [] for name in candidates}
    for _ in range(warm_up):
        for run in candidates.values():
            run()
    for _ in rounds:
        for name, run in candidates.items():
            start = time.perf_counter()
            run()
            times[name].append((time.perf_counter() - start) * 1e3)
    return times


def sample_pair(size: Size) -> tuple[Image, Image]:
    """A textured thermal (H, W) and RGB (H, W, 3) image, uint8, of (width, height), always the same."""
    random = np.random.default_rng(0)
    width, height = size
    noise = random.integers(0, 64, (height, width, 3), np.uint8)
    slope = np.linspace(0, 180, width, dtype=np.uint8)[None, :, None]
    rgb = np.asarray(slope + noise, np.uint8)
    return np.ascontiguousarray(rgb[::-1, :, 1]), rgb


def fusion_fusers(
    models: Iterable[str], backends: Iterable[tuple[str, str]], threads: int
) -> dict[str, Fuser]:
    """A fuser per model and (backend, precision), by what is said of it."""
    fusers: dict[str, Fuser] = {}
    for model in models:
        for backend, precision in backends:
            loaded = load_backend(
                resolve_model(model, "fusion"), backend, precision=precision, threads=threads
            )
            fusers[f"{model}: {loaded.description}"] = Fuser(loaded)
    return fusers


def fusion_candidates(fusers: Mapping[str, Fuser], size: Size) -> dict[str, Callable[[], object]]:
    """A call of each that fuses one pair."""
    thermal, rgb = sample_pair(size)
    return {name: partial(fuser, thermal, rgb) for name, fuser in fusers.items()}


def fusion_networks(fusers: Mapping[str, Fuser], size: Size) -> dict[str, Network]:
    """Those of the fusers, by their names."""
    thermal, rgb = sample_pair(size)
    inputs = {"thermal": thermal[None], "rgb": rgb[None]}
    return {name: Network(fuser.backend, inputs) for name, fuser in fusers.items()}


def detector_networks(
    model: str, backends: Iterable[tuple[str, str]], size: Size, threads: int
) -> dict[str, Network]:
    """A detector's in each (backend, precision) that runs detectors, by what is said of it."""
    networks = {}
    for backend, precision in backends:
        if "detection" in BACKENDS[backend].tasks:
            loaded = load_backend(
                resolve_model(model, "detection"), backend, precision=precision, threads=threads
            )
            networks[f"{model}: {loaded.description}"] = Network(loaded, _detector_inputs(loaded, size))
    return networks


def _detector_inputs(backend: Backend, size: Size) -> dict[str, Array]:
    """What a detector gives its network of an image."""
    detector = Detector(backend, DetectionConfig())
    seen: dict[str, Array] = {}
    run = backend.run

    def watched(inputs: Mapping[str, Array]) -> dict[str, Array]:
        seen.update({name: array.copy() for name, array in inputs.items()})
        return run(inputs)

    backend.run = watched  # type: ignore[method-assign]
    grey, rgb = sample_pair(size)
    detector(rgb, thermal=grey)
    backend.run = run  # type: ignore[method-assign]
    return seen


def layers(network: Network, runs: int) -> list[Layer]:
    """Of a network, in the mean of so many runs; none where its backend tells none."""
    if not isinstance(network.backend, ProfilingBackend):
        return []
    return network.backend.profile(network.inputs, runs)


class PipelineRun:
    """Pairs of frames through a whole pipeline, from host memory to host memory.

    backend: of both networks, or of fusion alone where it runs no detectors: then auto runs the detector.
    stages_ms: times of each stage of every run, by name.
    """

    _FRAME_NS = 33_000_000

    def __init__(
        self, model: str, detector: str, backend: tuple[str, str], size: Size, threads: int
    ) -> None:
        name, precision = backend
        settings: dict[str, object] = {"fusion.model": model, "detection.model": detector}
        for stage in ("fusion", "detection"):
            if stage in BACKENDS[name].tasks:
                settings |= {f"{stage}.backend": name, f"{stage}.precision": precision}
            settings[f"{stage}.threads"] = threads
        self.pipeline = build_pipeline(make_config(PipelineConfig, settings))
        self.stages_ms: Times = {}
        self._images = sample_pair(size)
        self._count = 0

    def __call__(self) -> None:
        """Process the next pair."""
        for stage, milliseconds in self.pipeline.process(self._next_pair()).timings_ms.items():
            self.stages_ms.setdefault(stage, []).append(milliseconds)

    def pairs_per_second(self, pairs: int) -> float:
        """The rate that is kept up, one pair being begun while the one before is finished."""
        start = time.perf_counter()
        with Overlap(self.pipeline) as overlap:
            for _ in range(pairs):
                coming = overlap.submit(self.pipeline.begin(self._next_pair()))
            coming.result()
        return pairs / (time.perf_counter() - start)

    def _next_pair(self) -> FramePair:
        """No image is like the one before, which would count as a frozen camera."""
        self._count += 1
        thermal, rgb = (np.roll(image, 8 * self._count, 1) for image in self._images)
        counts = np.asarray(thermal.astype(np.uint16) * 16 + 29000, np.uint16)
        stamp_ns = self._count * self._FRAME_NS
        return FramePair(Frame(counts, stamp_ns), Frame(rgb, stamp_ns))


def stage_candidates(size: Size) -> dict[str, Callable[[], object]]:
    """Every step around the networks, each on the output of the one before."""
    grey, rgb = sample_pair(size)
    width, height = size
    counts = (grey.astype(np.uint16) * 16 + 29000).astype("<u2")
    raw_thermal, raw_rgb = counts.tobytes(), rgb.tobytes()
    scaler = ThermalScaler(ThermalConfig())
    shift = np.array([[1.01, 0.01, 3.0], [-0.01, 1.02, -2.0], [0.0, 0.0, 1.0]])
    warp = Warp(Calibration(size, size, rgb_from_thermal=shift))
    header = Header(0, "rgb_optical_frame")

    def decode(data: bytes, encoding: str, step: int) -> object:
        return decode_image(
            data, encoding=encoding, width=width, height=height, step=step, is_bigendian=False
        )

    return {
        "decode mono16": lambda: decode(raw_thermal, "mono16", 2 * width),
        "decode bgr8": lambda: decode(raw_rgb, "bgr8", 3 * width),
        "thermal scaling": lambda: scaler(counts, 0),
        "warp": lambda: warp(grey, size),
        **_learning(grey, rgb),
        "serialise fused image": lambda: serialize(make_image(make, header, rgb)),
    }


def _learning(grey: Image, rgb: Image) -> dict[str, Callable[[], object]]:
    """What registration learns from a pair; none for images smaller than it takes."""
    if min(grey.shape) < _LEAST_LEARNED_PX:
        return {}
    refinement = OnlineRefinement(RefinementConfig("shift"))
    # An image like the one before would be left out as a frozen camera's.
    pairs = itertools.cycle([(np.roll(grey, by, 1), np.roll(rgb, by, 1)) for by in (0, 8)])
    stamps = itertools.count(0, 33_000_000)
    return {
        "online refinement": lambda: refinement.update(*next(pairs), next(stamps)),
        "dense residual": lambda: dense_residual(grey, luminance(rgb)),
    }


def detection_overhead(model: str, size: Size, threads: int) -> dict[str, Callable[[], object]]:
    """The detector around its network: letterbox, decode and NMS of a recorded output."""
    grey, rgb = sample_pair(size)
    backend = load_backend(resolve_model(model, "detection"), threads=threads)
    detector = Detector(backend, DetectionConfig())
    recorded: dict[tuple[int, ...], dict[str, np.ndarray]] = {}
    network = backend.run

    def replayed(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        shape = next(iter(inputs.values())).shape
        if shape not in recorded:
            recorded[shape] = network(inputs)
        return recorded[shape]

    backend.run = replayed  # type: ignore[method-assign]
    return {"detector without its network": lambda: detector(rgb, thermal=grey)}
