"""Recordings on their way through a fleet's workers."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BackendError
from ivfusion_ros.fleet.work import Task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ivfusion_ros.fleet.disks import Disks

ATTEMPTS = 3
"""Of a recording, each on another worker where there is one, before it is listed as failed."""
MAX_LOST = 10
"""Workers in a row that end without a result: then it is not the recordings."""
LOOKED_AT = 100
"""Waiting tasks among which an actor finds one that it can take."""


@dataclass(eq=False)
class _Attempts:
    """tried: numbers of the actors that had a task."""

    task: Task
    tried: list[int] = field(default_factory=list)

    @property
    def bytes_to_copy(self) -> int:
        """To the machine that has it."""
        return self.task.recording.bytes_to_copy

    def failed(self, reason: object) -> dict[str, Any]:
        """A row."""
        recording = self.task.recording
        return {"recording": recording.url, "key": recording.key, "error": str(reason)}


@dataclass(eq=False)
class _Actor:
    """handle: Ray's. ahead: its next task, whose recording it copies while it works at one."""

    handle: Any
    number: int
    machine: str
    ahead: _Attempts | None = None

    def is_new_to(self, task: _Attempts) -> bool:
        """Whether it has not tried it."""
        return self.number not in task.tried


class Queue:
    """Tasks, which actors get one each when they are ready, and one to copy ahead.

    So an actor that there is no room for, since its node is gone, keeps no task waiting. A task is handed
    out when its machine's disk has room for the copy.
    """

    def __init__(
        self, ray: Any, start: Callable[[], Any], tasks: Iterable[Task], count: int, disks: Disks
    ) -> None:
        """start: an actor. count: of actors."""
        self._ray, self._start, self._disks = ray, start, disks
        self._waiting = deque(_Attempts(task) for task in tasks)
        self._numbers = itertools.count()
        self._starting: dict[Any, Any] = {}
        self._idle: list[_Actor] = []
        self._running: dict[Any, tuple[_Actor, _Attempts]] = {}
        self._lost = 0
        for _ in range(min(count, len(self._waiting))):
            self._start_one()

    def rows(self) -> Iterator[tuple[Task, dict[str, Any]]]:
        """Each task and its row, in the order in which they are done.

        Raises BackendError where workers cannot start.
        """
        while self._hand_out() or self._waiting:
            if self._idle and not self._running:
                yield self._without_room(self._waiting.popleft())
                continue
            done, _ = self._ray.wait([*self._running, *self._starting], num_returns=1)
            if done[0] in self._starting:
                self._welcome(done[0])
                continue
            actor, task = self._running.pop(done[0])
            row = self._result(done[0], actor, task)
            self._disks.give_back(actor.machine, task.bytes_to_copy)
            task.tried.append(actor.number)
            row["attempts"] = len(task.tried)
            if row["error"] and len(task.tried) < ATTEMPTS:
                self._waiting.append(task)
            else:
                yield task.task, row

    def _hand_out(self) -> bool:
        """Give tasks to idle actors, one that failed to another than before, if one will be free.

        Whether any actor works.
        """
        for actor in list(self._idle):
            if task := actor.ahead or self._take(actor, actor.is_new_to):
                self._give(actor, task)
        for actor in [] if self._running else list(self._idle):
            if task := self._take(actor, lambda _: True):
                self._give(actor, task)
        return bool(self._running)

    def _give(self, actor: _Actor, task: _Attempts) -> None:
        actor.ahead = None
        # The last ones are not kept for an actor that works, since others will be idle by then.
        if len(self._waiting) >= len(self._idle) + len(self._running) + len(self._starting):
            actor.ahead = self._take(
                actor, lambda next_: next_.bytes_to_copy > 0 and actor.is_new_to(next_)
            )
        self._idle.remove(actor)
        following = actor.ahead and actor.ahead.task.recording
        self._running[actor.handle.do.remote(task.task, following)] = actor, task

    def _take(self, actor: _Actor, fits: Callable[[_Attempts], bool]) -> _Attempts | None:
        """The first that waits, fits, and has room on the actor's disk."""
        for task in itertools.islice(self._waiting, LOOKED_AT):
            if fits(task) and self._disks.take(actor.machine, task.bytes_to_copy):
                self._waiting.remove(task)
                return task
        return None

    def _without_room(self, task: _Attempts) -> tuple[Task, dict[str, Any]]:
        """No machine has it, though none has another copy."""
        row = task.failed(
            f"no room on disk: its copy has {task.bytes_to_copy / 1e9:.3g} GB, those on a machine may "
            f"have {self._disks.largest / 1e9:.3g} GB in all; raise --disk-limit"
        )
        return task.task, row | {"attempts": len(task.tried)}

    def _result(self, reference: Any, actor: _Actor, task: _Attempts) -> dict[str, Any]:
        errors = self._ray.exceptions
        try:
            row: dict[str, Any] = self._ray.get(reference)
            self._lost = 0
        except (errors.RayActorError, errors.OutOfMemoryError) as error:
            if actor.ahead:
                self._disks.give_back(actor.machine, actor.ahead.bytes_to_copy)
                self._waiting.appendleft(actor.ahead)
            self._replace(error)
            return task.failed(f"a worker was lost: {error}")
        except errors.RayTaskError as error:
            # What nobody expected of a recording costs that recording.
            row = task.failed(error.cause or error)
        self._idle.append(actor)
        return row

    def _welcome(self, reference: Any) -> None:
        handle = self._starting.pop(reference)
        try:
            machine = self._ray.get(reference)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.OutOfMemoryError) as error:
            self._replace(error)
        else:
            self._disks.add(machine)
            self._idle.append(_Actor(handle, next(self._numbers), machine.name))

    def _replace(self, error: Exception) -> None:
        """Of an actor that was lost."""
        self._lost += 1
        if self._lost > MAX_LOST:
            raise BackendError(f"{self._lost} workers in a row were lost; the last: {error}") from error
        self._start_one()

    def _start_one(self) -> None:
        handle = self._start()
        self._starting[handle.machine.remote()] = handle
