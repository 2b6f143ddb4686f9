"""Workers on Ray: an actor each, which holds its networks; what is lost is given to another."""

from __future__ import annotations

import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BackendError
from ivfusion_ros.fleet.store import need
from ivfusion_ros.fleet.work import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.fleet.recordings import Recording

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
                self._ray.init(address=address, include_dashboard=False, log_to_driver=False)
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
        self._numbers = itertools.count()

    def fuse(self, tasks: Iterable[tuple[Recording, str]]) -> Iterator[dict[str, Any]]:
        """A row for each recording and the folder of its result, in the order in which they are done.

        Raises BackendError where workers cannot start.
        """
        ray = self._ray
        waiting = deque((recording, folder, list[int]()) for recording, folder in tasks)
        idle = {next(self._numbers): self._start() for _ in range(min(self.count, len(waiting)))}
        running: dict[Any, tuple[int, Any, tuple[Recording, str, list[int]]]] = {}
        lost = 0
        while waiting or running:
            while waiting and idle:
                task = waiting.popleft()
                number = next((number for number in idle if number not in task[2]), None)
                if number is None and running:
                    # Another worker is to try it: one will be free.
                    waiting.append(task)
                    break
                number = next(iter(idle)) if number is None else number
                actor = idle.pop(number)
                running[actor.fuse.remote(task[0], task[1])] = number, actor, task
            done, _ = ray.wait(list(running), num_returns=1)
            number, actor, task = running.pop(done[0])
            try:
                row = ray.get(done[0])
                idle[number] = actor
                lost = 0
            except (ray.exceptions.RayActorError, ray.exceptions.OutOfMemoryError) as error:
                row = {"recording": task[0].url, "key": task[0].key, "error": f"a worker was lost: {error}"}
                lost += 1
                if lost > MAX_LOST:
                    raise BackendError(f"{lost} workers in a row were lost; the last: {error}") from error
                idle[next(self._numbers)] = self._start()
            except ray.exceptions.RayTaskError as error:
                # What nobody expected of a recording costs that recording.
                row = {"recording": task[0].url, "key": task[0].key, "error": str(error.cause or error)}
                idle[number] = actor
            task[2].append(number)
            row["attempts"] = len(task[2])
            if row["error"] and len(task[2]) < ATTEMPTS:
                waiting.append(task)
            else:
                yield row

    def close(self) -> None:
        """Let go of the cluster; a local one ends."""
        if self._own:
            self._ray.shutdown()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> Any:
        actor = self._ray.remote(Worker).options(num_cpus=self._threads)
        return actor.remote(self._job, self._destination)
