"""Every method on every pair: networks run in this process, metrics in others, one journal keeps all."""

from __future__ import annotations

import logging
import math
import multiprocessing
import os
import signal
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
from tqdm import tqdm

from ivfusion_ros import __version__
from ivfusion_ros.errors import IvfusionError
from ivfusion_ros.evaluation.fusion.journal import Journal, Subject
from ivfusion_ros.evaluation.fusion.methods import Method, file_identity
from ivfusion_ros.evaluation.fusion.names import PEOPLE
from ivfusion_ros.evaluation.fusion.scores import Shot, columns, score
from ivfusion_ros.pipeline.skips import reason_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ivfusion_ros.evaluation.fusion.pairs import Pair

log = logging.getLogger(__name__)

NICENESS = 5
"""Of the workers: a network waits for none of them, and they take what it leaves of the processor."""


@dataclass(frozen=True)
class Result:
    """One fused image; either its scores by metric, or why there are none.

    people: how many the scores of people are of.
    """

    data: str
    pair: str
    method: str
    scores: dict[str, float]
    reason: str = ""
    people: int = 0


def judge(
    pairs: Sequence[Pair], methods: Sequence[Method], metrics: Sequence[str], journal: Journal, jobs: int
) -> list[Result]:
    """Score all methods on all pairs, in this order; what the journal has is not done again.

    jobs: worker processes; with 1 the metrics run in this process. An image that cannot be read, fused or
    compared gives a Result with a reason. Raises IvfusionError where a worker dies.
    """
    executor = _Here() if jobs == 1 else _workers(jobs)
    bar = tqdm(total=len(pairs) * len(methods), unit="image", desc="scored")
    # Enough in flight that no worker waits, and few enough that a stopped run loses little.
    run = _Run(metrics, journal, executor, 1 if jobs == 1 else 2 * jobs, bar)
    try:
        for pair in pairs:
            for method in methods:
                run.start(pair, method)
        run.collect(0)
    except BrokenProcessPool as error:
        raise IvfusionError(
            "a scoring process was killed, most likely for lack of memory; run again with fewer --jobs, "
            "it continues where this one stopped"
        ) from error
    finally:
        executor.shutdown(cancel_futures=True)
        bar.close()
    return [run.results[pair, method.label] for pair in pairs for method in methods]


class _Run:
    """The images in flight and the results so far."""

    def __init__(
        self, metrics: Sequence[str], journal: Journal, executor: Executor, most: int, bar: tqdm[Any]
    ) -> None:
        self.results: dict[tuple[Pair, str], Result] = {}
        self._metrics = metrics
        self._journal = journal
        self._executor = executor
        self._most = most
        self._bar = bar
        self._flying: dict[Future[dict[str, float]], tuple[Pair, Subject]] = {}

    def start(self, pair: Pair, method: Method) -> None:
        """Fuse a pair and send it to be scored, once there is room."""
        self.collect(self._most - 1)
        try:
            subject = Subject(pair.data, pair.stem, method.label, _identity(pair, method))
            known = self._journal.find(subject, columns(self._metrics))
            if known is not None:
                self._finish(pair, method.label, known)
                return
            before = _shot(pair.previous, method) if pair.previous else None
            shot = Shot(pair.thermal, pair.rgb, method.fused(pair), pair.people)
        except Exception as error:  # noqa: BLE001
            self._finish(pair, method.label, {}, reason_of(error))
            return
        future = self._executor.submit(score, shot, self._metrics, before)
        self._flying[future] = pair, subject

    def collect(self, most: int) -> None:
        """Take results until at most so many images are in flight."""
        while len(self._flying) > most:
            done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
            for future in done:
                pair, subject = self._flying.pop(future)
                try:
                    scores = future.result()
                except BrokenProcessPool:
                    raise
                except Exception as error:  # noqa: BLE001
                    self._finish(pair, subject.method, {}, reason_of(error))
                    continue
                self._journal.add(subject, scores)
                self._finish(pair, subject.method, scores)

    def _finish(self, pair: Pair, method: str, scores: dict[str, float], reason: str = "") -> None:
        # A metric that this image has nothing for is NaN in the journal and absent from the result.
        told = {name: value for name, value in scores.items() if math.isfinite(value)}
        people = int(told.pop(PEOPLE, 0))
        reason = reason or ("" if told else _nothing(self._metrics))
        self.results[pair, method] = Result(pair.data, pair.stem, method, told, reason, people)
        self._bar.update()
        if reason:
            log.warning("%s, %s of %s is skipped: %s", method, pair.stem, pair.data, reason)


def _nothing(metrics: Sequence[str]) -> str:
    """Why there is no score: which metrics were asked for, and what they look at beside the images."""
    beside = f"; {PEOPLE} are read from labels/ or boxes/ beside the images" if PEOPLE in metrics else ""
    return f"it has nothing that {', '.join(metrics)} could be computed of{beside}"


def _identity(pair: Pair, method: Method) -> str:
    """Everything that the scores of a pair depend on."""
    parts = [__version__, file_identity(pair.thermal), file_identity(pair.rgb), method.identity(pair)]
    if pair.people is not None:
        parts.append(file_identity(pair.people))
    if pair.previous is not None:
        try:
            parts.append(_identity(pair.previous, method))
        except IvfusionError:
            parts.append("no predecessor")
    return "; ".join(parts)


def _shot(pair: Pair, method: Method) -> Shot | None:
    """A predecessor; None where there is no fused image of it."""
    try:
        return Shot(pair.thermal, pair.rgb, method.fused(pair))
    except IvfusionError:
        return None


def _workers(jobs: int) -> ProcessPoolExecutor:
    # A fork would copy the locks of the networks' threads.
    return ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=_start_worker)


def _start_worker() -> None:
    # Only the first process answers Ctrl-C.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    if hasattr(os, "nice"):
        os.nice(NICENESS)


class _Here(Executor):
    """Runs at once in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future
