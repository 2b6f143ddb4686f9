"""Room for copies of recordings on the disks of a fleet's machines."""

from __future__ import annotations

import shutil
import socket
import tempfile
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    """free: bytes in its temporary folder."""

    name: str
    free: int


def this_machine() -> Machine:
    """Where this process runs."""
    return Machine(socket.gethostname(), shutil.disk_usage(tempfile.gettempdir()).free)


class Disks:
    """What is copied to each machine, kept under a limit in bytes.

    Without one, under half of what was free there at first: the other half is for results on their way.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._limits: dict[str, int] = {}
        self._taken: Counter[str] = Counter()

    def add(self, machine: Machine) -> None:
        """Another replica runs there."""
        self._limits.setdefault(machine.name, machine.free // 2 if self._limit is None else self._limit)

    def take(self, machine: str, size: int) -> bool:
        """Whether there is room for so many bytes, which then are taken."""
        if size and self._taken[machine] + size > self._limits[machine]:
            return False
        self._taken[machine] += size
        return True

    def give_back(self, machine: str, size: int) -> None:
        """What `take` took."""
        self._taken[machine] -= size

    @property
    def largest(self) -> int:
        """The highest limit of all machines."""
        return max(self._limits.values(), default=0)
