"""Files and folders that are there whole or not at all."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import yaml

from ivfusion_ros.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A hidden name beside `path` to write under; becomes `path` if the `with` block ends well, else goes.

    The file behind a link is replaced, not the link. What is no regular file (a pipe, /dev/stdout) is
    written in place. Raises OSError that names `path`.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    target = path.resolve()
    staged = _staged(target)
    try:
        with _errors_name(path, staged):
            yield staged
            staged.replace(target)
    finally:
        with suppress(OSError):
            staged.unlink()


@contextmanager
def whole_files(path: Path) -> Iterator[Path]:
    """As whole_file, for a folder, or for a file and others that it names: the name is in a hidden folder.

    All that was written in the hidden folder goes to where `path` is, `path` itself last. A hidden folder
    that a killed process left is removed.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    target = path.resolve()
    staged = _staged(target)
    with _errors_name(path, staged):
        lock = _make_locked(staged)
        try:
            _remove_left(target)
            new = staged / "new"
            new.mkdir()
            yield new / target.name
            for item in sorted(new.iterdir(), key=lambda item: item.name == target.name):
                _put(item, target.parent / item.name, staged)
        finally:
            shutil.rmtree(staged, ignore_errors=True)
            lock.close()


def write_whole(path: Path, content: bytes | str) -> None:
    """Write a file, a text as UTF-8; as whole_file."""
    with whole_file(path) as staged:
        staged.write_bytes(content.encode() if isinstance(content, str) else content)


def _staged(target: Path) -> Path:
    """A name of this call alone: threads, processes and containers may write the same file."""
    return target.with_name(f".{target.name}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def _errors_name(path: Path, staged: Path) -> Iterator[None]:
    """Whoever asked for `path` has never heard of the staged name."""
    try:
        yield
    except OSError as error:
        if error.filename is None or str(error.filename).startswith(str(staged.with_suffix(""))):
            error.filename = str(path)
        raise


def _make_locked(staged: Path) -> IO[str]:
    """Make a folder that is locked from the moment it has its name; the lock ends with the process."""
    unlocked = staged.with_suffix(".new")
    unlocked.mkdir()
    lock = (unlocked / "lock").open("w")
    _try_lock(lock)
    unlocked.rename(staged)
    return lock


def _try_lock(lock: IO[str]) -> bool:
    """False where another holds the lock, or where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _remove_left(target: Path) -> None:
    """Remove the staged folders of this target that nobody holds: they may be as large as a recording."""
    for left in target.parent.glob(f".{glob.escape(target.name)}.*.partial"):
        with suppress(OSError), (left / "lock").open("r+") as lock:
            if _try_lock(lock):
                shutil.rmtree(left)


def _put(item: Path, target: Path, staged: Path) -> None:
    """Move a file or folder to a name that may be taken."""
    if not item.is_dir():
        item.replace(target)
        return
    # A folder is never renamed onto one that holds something. The old one goes aside, and whoever is
    # quicker with the next one has its turn first.
    for aside in (staged / f"replaced_{turn}" for turn in itertools.count()):
        with suppress(FileNotFoundError):
            target.rename(aside)
        try:
            item.rename(target)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                with suppress(FileNotFoundError):
                    aside.rename(target)
                raise


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping (an empty file is an empty one). Raises ConfigError."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected `name: value` lines")
    return content
