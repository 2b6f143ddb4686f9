"""The fastest of some backends and numbers of threads for a model, by running them here.

Two at a time are loaded, for a network can take a gigabyte: the fastest so far and the next one, which take
turns, so that a machine that slows down does so for both. A network is measured alone, as if nothing else
took the cores, and without what is done to images before and after it.
"""

from __future__ import annotations

import logging
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ivfusion_ros.backends.backend import PixelBackend
from ivfusion_ros.backends.progress import Progress
from ivfusion_ros.errors import IvfusionError, ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ivfusion_ros.backends.backend import Backend
    from ivfusion_ros.backends.tensors import Array, TensorInfo

log = logging.getLogger(__name__)

WARM_UPS = 2
"""Runs of each before it is timed: the first may compile the model."""

ROUNDS, ROUNDS_S = 20, 2.0
"""Two take turns until one of both is reached; at least once."""

NEAR = 1.05
"""Times of up to so many times the least count as equal."""

_FREE_SIDES = 480, 640
"""Height and width where a network takes any."""


class Candidate(NamedTuple):
    """A way to run a model. threads: 0 for as many as the backend takes."""

    backend: str
    threads: int

    def __str__(self) -> str:
        if not self.threads:
            return self.backend
        return f"{self.backend} with {self.threads} thread{'s' if self.threads > 1 else ''}"


Times = dict[Candidate, float]
"""Milliseconds of a run."""


def candidates(backends: Sequence[str], cores: int, threads: int) -> list[Candidate]:
    """The backends with all cores, half of them, a quarter ... and one; or with so many threads."""
    counts = [threads]
    if not threads:
        counts = [cores >> halvings for halvings in range(cores.bit_length())]
    return [Candidate(backend, count) for count in counts for backend in backends]


def fastest(times_ms: Times) -> Candidate:
    """Of those that are about as fast as the fastest, the one that leaves most cores to others."""
    near = NEAR * min(times_ms.values())
    return min(
        (candidate for candidate, time_ms in times_ms.items() if time_ms <= near),
        key=lambda candidate: (candidate.threads, times_ms[candidate]),
    )


def measure(title: str, tried: Sequence[Candidate], load: Callable[[Candidate], Backend]) -> Times:
    """Least times of those that run; all are closed again.

    title: the model's name, for the log. What does not load or run raises nothing, but a line in the log.
    """
    ratios: Times = {}
    best: _Racer | None = None
    with Progress(f"measuring {title}") as progress:
        for place, candidate in enumerate(tried):
            progress.tell(place / len(tried))
            try:
                racer = _Racer(candidate, load)
            except IvfusionError as error:
                log.warning("%s: %s is left out: %s", title, candidate, error)
                continue
            if best is None:
                best, ratios[candidate] = racer, 1.0
                log.info(
                    "%s: measuring which backend is fastest on this CPU, once; about %.0f s",
                    title, max(1.0, racer.seconds_of_others(len(tried) - place - 1)),
                )  # fmt: skip
                continue
            best = _faster(best, racer, ratios, title)
    if best is None:
        return {}
    best.backend.close()
    unit_ms = best.least_ms / ratios[best.candidate]
    return {candidate: ratio * unit_ms for candidate, ratio in ratios.items()}


def _faster(best: _Racer, other: _Racer, ratios: Times, title: str) -> _Racer:
    """The faster of two, the other one closed; its time relative to the first of all goes into ratios."""
    try:
        ratios[other.candidate] = ratios[best.candidate] * _ratio(best, other)
    except IvfusionError as error:
        log.warning("%s: %s is left out: %s", title, other.candidate, error)
        other.backend.close()
        return best
    slower, faster = (best, other) if ratios[other.candidate] < ratios[best.candidate] else (other, best)
    slower.backend.close()
    return faster


def _ratio(best: _Racer, other: _Racer) -> float:
    """The other's least time in terms of the best one's, of rounds in turn."""
    least_s = {best: float("inf"), other: float("inf")}
    end_s = perf_counter() + ROUNDS_S
    for _ in range(ROUNDS):
        for racer in least_s:
            least_s[racer] = min(least_s[racer], racer.run_s())
        if perf_counter() >= end_s:
            break
    return least_s[other] / least_s[best]


class _Racer:
    """A candidate that is loaded and warm, with inputs of the model's own size."""

    def __init__(self, candidate: Candidate, load: Callable[[Candidate], Backend]) -> None:
        """Raises ModelError or BackendError where it does not load or run."""
        start_s = perf_counter()
        self.candidate, self.backend = candidate, load(candidate)
        self.least_ms = float("inf")
        try:
            self._inputs = sample_inputs(self.backend)
            for _ in range(WARM_UPS):
                self.run_s()
        except IvfusionError:
            self.backend.close()
            raise
        self._prepared_s = perf_counter() - start_s

    def run_s(self) -> float:
        """Seconds of a run."""
        start_s = perf_counter()
        self.backend.run(self._inputs)
        elapsed_s = perf_counter() - start_s
        self.least_ms = min(self.least_ms, elapsed_s * 1e3)
        return elapsed_s

    def seconds_of_others(self, count: int) -> float:
        """What it takes to measure so many others beside this one, were they like it."""
        turn_s = 2 * self.least_ms / 1e3
        return count * (self._prepared_s + min(ROUNDS * turn_s, ROUNDS_S + turn_s))


def sample_inputs(backend: Backend) -> dict[str, Array]:
    """Noise of a network's own size, always the same; 640x480 where it takes any. Raises ModelError.

    Pixels where the backend takes them, as a detector gives them.
    """
    random = np.random.default_rng(0)
    samples = {}
    for name, info in backend.inputs.items():
        shape, dtype = _shape(name, info), info.dtype
        if isinstance(backend, PixelBackend) and backend.takes_pixels(name):
            batch, channels, height, width = shape
            shape, dtype = (batch, height, width, channels), np.dtype(np.uint8)
        highest = 255 if np.issubdtype(dtype, np.integer) else 1
        samples[name] = (highest * random.random(shape, np.float32)).astype(dtype)
    return samples


def _shape(name: str, info: TensorInfo) -> tuple[int, ...]:
    if info.shape is None:
        raise ModelError(f"input {name} is {info}, for which there is no sample")
    free = iter(_FREE_SIDES)
    first, *others = info.shape
    return (first or 1, *(next(free, 1) if side is None else side for side in others))
