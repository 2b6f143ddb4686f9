"""Workers on Ray: an actor each, which holds its networks; what is lost is given to another."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import BackendError
from ivfusion_ros.fleet.disks import Disks
from ivfusion_ros.fleet.queue import Queue
from ivfusion_ros.fleet.store import need
from ivfusion_ros.fleet.work import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ivfusion_ros.fleet.job import Job
    from ivfusion_ros.fleet.work import Task


class Replicas:
    """Actors of a Ray cluster, as many as its CPUs hold, that fuse recordings; use `with`."""

    def __init__(
        self,
        job: Job,
        destination: str,
        address: str | None = None,
        threads: int = 1,
        count: int = 0,
        disk_limit: int | None = None,
    ) -> None:
        """address: of a cluster, None for one on this machine. threads: CPUs of a replica.

        count: of replicas, 0 for as many as there is room for. disk_limit: see Disks. Raises DataError
        without Ray, BackendError where the cluster cannot be reached or has no room.
        """
        self._ray = need("ray")
        self._job, self._destination, self._threads = job, destination, threads
        self._disk_limit = disk_limit
        self._own = not self._ray.is_initialized()
        if self._own:
            try:
                # Without an address, Ray would take any cluster that was started on this machine.
                self._ray.init(
                    address=address or "local",
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                )
            # Ray raises plain Exceptions too, as where a busy machine does not start it in time.
            except Exception as error:
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
        actor = self._ray.remote(Worker).options(num_cpus=self._threads)
        queue = Queue(
            self._ray,
            lambda: actor.remote(self._job, self._destination),
            tasks,
            self.count,
            Disks(self._disk_limit),
        )
        yield from queue.rows()

    def close(self) -> None:
        """Let go of the cluster; a local one ends."""
        if self._own:
            self._ray.shutdown()

    def __enter__(self) -> Replicas:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
