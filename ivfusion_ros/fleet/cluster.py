"""Workers on Ray: an actor each, which holds its networks; what is lost is given to another."""

from __future__ import annotations

import itertools
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BackendError
from ivfusion_ros.fleet.store import need
from ivfusion_ros.fleet.work import Task, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ivfusion_ros.fleet.job import Job

ATTEMPTS = 3
"""Of a recording, each on another worker where there is one, before it is listed as failed."""
MAX_LOST = 10
"""Workers in a row that end without a result: then it is not the recordings."""


class Replicas:
    """Actors of a Ray cluster, as many as its CPUs hold, that fuse recordings; use `with`."""

    def __init__(
        self, job: Job, destination: str, address: str | None = None, threads: int = 1, count: int = 0
    ) -> None:
        """address: of a cluster, None for one on this machine. threads: CPUs of a replica.

        count: of replicas, 0 for as many as there is room for. Raises DataError without Ray, BackendError
        where the cluster cannot be reached or has no room.
        """
        self._ray = need("ray")
        self._job, self._destination, self._threads = job, destination, threads
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                # Without an address, Ray would take any cluster that was started on this machine.
                self._ray.init(address=address or "local", include_dashboard=False, log_to_driver=False)
            except (ConnectionError, ValueError, RuntimeError) as error:
                raise BackendError(f"there is no Ray at {address or 'this machine'}: {error}") from error
        cpus = int(self._ray.cluster_resources().get("CPU", 0))
        self.count = count or cpus // threads
        if not 0 < self.count * threads <= cpus:
            self.close()
            raise BackendError(
                f"{self.count or 'no'} replicas of {threads} CPUs do not fit into a cluster of {cpus}; "
                "lower --replicas or --threads"
            )

    def do(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, dict[str, Any]]]:
        """Each task and its row, in the order in which they are done.

        Raises BackendError where workers cannot start.
        """
        waiting = [_Attempts(task) for task in tasks]
        actor = self._ray.remote(Worker).options(num_cpus=self._threads)
        work = _Work(self._ray, lambda: actor.remote(self._job, self._destination), waiting, self.count)
        yield from work.rows()

    def close(self) -> None:
        """Let go of the cluster; a local one ends."""
        if self._own:
            self._ray.shutdown()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(eq=False)
class _Attempts:
    """tried: numbers of the actors that had a task."""

    task: Task
    tried: list[int] = field(default_factory=list)

    def failed(self, reason: object) -> dict[str, Any]:
        """A row."""
        recording = self.task.recording
        return {"recording": recording.url, "key": recording.key, "error": str(reason)}


class _Work:
    """Tasks on their way through actors, which get one each when they are ready.

    So an actor that there is no room for, since its node is gone, keeps no task waiting.
    """

    def __init__(self, ray: Any, start: Callable[[], Any], tasks: Sequence[_Attempts], count: int) -> None:
        self._ray, self._start = ray, start
        self._waiting = deque(tasks)
        self._numbers = itertools.count()
        self._starting: dict[Any, Any] = {}
        self._idle: dict[int, Any] = {}
        self._running: dict[Any, tuple[int, Any, _Attempts]] = {}
        self._lost = 0
        for _ in range(min(count, len(tasks))):
            self._start_one()

    def rows(self) -> Iterator[tuple[Task, dict[str, Any]]]:
        """As Replicas.do."""
        while self._waiting or self._running:
            self._hand_out()
            done, _ = self._ray.wait([*self._running, *self._starting], num_returns=1)
            if done[0] in self._starting:
                self._welcome(done[0])
                continue
            number, actor, task = self._running.pop(done[0])
            row = self._result(done[0], number, actor, task)
            task.tried.append(number)
            row["attempts"] = len(task.tried)
            if row["error"] and len(task.tried) < ATTEMPTS:
                self._waiting.append(task)
            else:
                yield task.task, row

    def _hand_out(self) -> None:
        """Give tasks to idle actors, one that failed to another than before, if one will be free."""
        for _ in range(len(self._waiting)):
            if not self._idle:
                return
            task = self._waiting.popleft()
            number = next((number for number in self._idle if number not in task.tried), None)
            if number is None and self._running:
                self._waiting.append(task)
                continue
            number = next(iter(self._idle)) if number is None else number
            actor = self._idle.pop(number)
            self._running[actor.do.remote(task.task)] = number, actor, task

    def _result(self, reference: Any, number: int, actor: Any, task: _Attempts) -> dict[str, Any]:
        errors = self._ray.exceptions
        try:
            row: dict[str, Any] = self._ray.get(reference)
            self._lost = 0
        except (errors.RayActorError, errors.OutOfMemoryError) as error:
            self._replace(error)
            return task.failed(f"a worker was lost: {error}")
        except errors.RayTaskError as error:
            # What nobody expected of a recording costs that recording.
            row = task.failed(error.cause or error)
        self._idle[number] = actor
        return row

    def _welcome(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except (self._ray.exceptions.RayActorError, self._ray.exceptions.OutOfMemoryError) as error:
            self._replace(error)
        else:
            self._idle[next(self._numbers)] = actor

    def _replace(self, error: Exception) -> None:
        """Of an actor that was lost."""
        self._lost += 1
        if self._lost > MAX_LOST:
            raise BackendError(f"{self._lost} workers in a row were lost; the last: {error}") from error
        self._start_one()

    def _start_one(self) -> None:
        actor = self._start()
        self._starting[actor.__ray_ready__.remote()] = actor
