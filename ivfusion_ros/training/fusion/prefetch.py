"""Work done ahead in background threads, handed out in order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

Item = TypeVar("Item")

_AHEAD = 2
"""Items ready or in work for each thread."""


class Prefetch(Generic[Item]):
    """make(start) to make(stop - 1), each made in one of `workers` threads ahead of time.

    What numpy and OpenCV do leaves the interpreter free. With 0 workers, each is made when it is asked for.
    An error is raised where its item would come.
    """

    def __init__(self, make: Callable[[int], Item], start: int, stop: int, workers: int) -> None:
        self._make, self._numbers, self._workers = make, iter(range(start, stop)), workers
        self._executor = ThreadPoolExecutor(workers, "prefetch") if workers else None
        self._coming: deque[Future[Item]] = deque()

    def __iter__(self) -> Iterator[Item]:
        if self._executor is None:
            yield from map(self._make, self._numbers)
            return
        for number in self._numbers:
            self._coming.append(self._executor.submit(self._make, number))
            if len(self._coming) > _AHEAD * self._workers:
                yield self._coming.popleft().result()
        while self._coming:
            yield self._coming.popleft().result()

    def __enter__(self) -> Prefetch[Item]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._executor is not None:
            self._executor.shutdown(cancel_futures=True)
