"""A folder in the user's cache: where it is, who can have written in it, and who makes what it lacks."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class KeptFolder:
    """content: what is kept there, for people, which names the folder too. makes: what a start does for it.

    variable: the environment variable that names another folder.
    """

    content: str
    variable: str
    makes: str

    def path(self) -> Path:
        """The folder in the environment variable, else one below the user's cache folder.

        Raises ConfigError for a user without a home.
        """
        named, cache = os.environ.get(self.variable), os.environ.get("XDG_CACHE_HOME")
        try:
            if named:
                return Path(named).expanduser()
            return (Path(cache) if cache else Path.home() / ".cache") / "ivfusion_ros" / self.content
        except RuntimeError as error:
            raise ConfigError(
                f"there is no folder for {self.content} ({error}): name one in {self.variable}"
            ) from error

    def distrust_file(self, path: Path) -> str:
        """Why somebody but the user and root may have written a file, empty where nobody can have."""
        return self.distrust(path.parent, Path.stat) or self.distrust(path, Path.lstat)

    def distrust(self, place: Path, status_of: Callable[[Path], os.stat_result]) -> str:
        """As distrust_file, for one folder or file alone."""
        try:
            status = status_of(place)
        except OSError as error:
            return f"{place.name} cannot be read ({error.strerror})"
        if stat.S_ISLNK(status.st_mode):
            return f"{place} is a link, and is not followed"
        if not hasattr(os, "geteuid"):
            # Windows says by other means who may write, and a profile is its user's alone.
            return ""
        if status.st_uid not in (os.geteuid(), 0):
            return f"{place} belongs to another user (id {status.st_uid})"
        by_group = status.st_mode & stat.S_IWGRP and status.st_gid not in (os.getegid(), 0)
        if by_group or status.st_mode & stat.S_IWOTH:
            return f"others can write {place}; take that from them (chmod go-w) or set {self.variable}"
        return ""

    @contextlib.contextmanager
    def only_maker(self, path: Path) -> Iterator[bool]:
        """While inside, no other process makes what `path` is for; one that waited finds it made then.

        True where the folder can be written. Without one there is nothing to share, and nothing is locked.
        """
        try:
            import fcntl
        except ImportError:
            # Windows: two that start at once both make it, and the last one's is kept.
            yield True
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A link in its place would have another file emptied.
            flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            file = os.fdopen(os.open(path.with_suffix(".lock"), flags, 0o600), "w")
        except OSError as error:
            log.warning(
                "%s cannot be kept in %s (%s): every start %s them again; %s names another folder",
                self.content, path.parent, error.strerror, self.makes, self.variable,
            )  # fmt: skip
            yield False
            return
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                log.info("another process %s %s; waiting for it", self.makes, path.name)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield True


def differences(found: Any, wanted: Any) -> str:
    """In what a key, a dataclass, differs from the wanted one, for people; empty where they are equal."""
    pairs = (
        (field.name, getattr(found, field.name), getattr(wanted, field.name))
        for field in dataclasses.fields(wanted)
    )
    return ", ".join(f"{name} was {old}, is {new}" for name, old, new in pairs if old != new)
