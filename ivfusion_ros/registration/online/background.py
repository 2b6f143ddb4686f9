"""One job at a time in a thread of its own, whose result counts from a given stamp on."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

THREAD_NAME = "matcher"


class Background(Generic[T]):
    """Takes a job where none is pending, and never makes its caller wait, or only for a result that is due.

    awaited: a result that is due is waited for, so that nothing depends on how long it took, as in a
    replay; else it counts as soon after that as it is there. Not for several threads.
    """

    def __init__(self, *, awaited: bool) -> None:
        self._awaited = awaited
        self._last: Future[T] | None = None
        self._due_ns: int | None = None
        """of the job whose result is wanted, None for none"""

    @property
    def free(self) -> bool:
        """Whether it takes a job."""
        if self._due_ns is not None:
            return False
        return self._awaited or self._last is None or self._last.done()

    def begin(self, job: Callable[[], T], due_ns: int) -> None:
        """Start a job whose result counts from a stamp on. Only where it is free."""
        # A job that was given up may still run; two at a time are more than what they use may stand.
        before, self._last, self._due_ns = self._last, Future(), due_ns
        # No daemon: a process that ends in the middle of a job would be aborted by what the job uses.
        threading.Thread(target=_run, args=(job, self._last, before), name=THREAD_NAME).start()

    def take(self, stamp_ns: int) -> tuple[T, ...]:
        """The result, once, if it counts at this stamp; else nothing. Raises what the job raised."""
        last = self._last
        if self._due_ns is None or last is None or stamp_ns < self._due_ns:
            return ()
        if not (self._awaited or last.done()):
            return ()
        self._due_ns = None
        return (last.result(),)

    def forget(self) -> None:
        """Give up the result of what is in work."""
        self._due_ns = None

    def close(self) -> None:
        """Wait until nothing is in work."""
        if self._last is not None:
            wait([self._last])


def _run(job: Callable[[], T], coming: Future[T], before: Future[T] | None) -> None:
    if before is not None:
        wait([before])
    try:
        coming.set_result(job())
    except BaseException as error:  # noqa: BLE001
        coming.set_exception(error)
