"""Files and folders that are there whole or not at all; and what is read, with bounds."""

from __future__ import annotations

import errno
import glob
import itertools
import os
import re
import reprlib
import shutil
import stat
import tempfile
import time
import uuid
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_YAML_BYTES = 2**20
PIPE_WAIT_S = 2.0
"""For whoever reads from a pipe that is written."""
LOCK_WAIT_S = 0.5
"""For a folder's lock: a process that is being started has its parent's, even one gone, for a moment."""


@contextmanager
def whole_file(path: Path, replace: bool = True) -> Iterator[Path]:
    """A hidden name beside `path` to write under; becomes `path` if the `with` block ends well, else goes.

    replace: False where nothing may be lost that another process wrote there meanwhile. The file behind a
    link is replaced, not the link. What is no regular file (a pipe, /dev/stdout) is written in place; a
    pipe that nobody reads is an error. Raises OSError that names `path`.
    """
    if path.exists() and not path.is_file():
        with _written_in_place(path):
            yield path
        return
    target = _target(path)
    staged = _staged(target)
    try:
        with _errors_name(path, staged), staged.open("wb") as held:
            # Whoever finds it sees that it is not left over.
            _try_lock(held)
            yield staged
            if replace:
                staged.replace(target)
            else:
                _put_new(staged, target)
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
        with _written_in_place(path):
            yield path
        return
    target = _target(path)
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


@contextmanager
def _written_in_place(path: Path) -> Iterator[None]:
    """A pipe is held open: opening one waits, without an end, for somebody who reads."""
    if not path.is_fifo():
        yield
        return
    end = time.monotonic() + PIPE_WAIT_S
    while True:
        try:
            handle = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            break
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > end:
                raise
        time.sleep(0.02)
    try:
        yield
    finally:
        os.close(handle)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Make a folder and hold it: of two commands that write into one, each would leave half of its own.

    What a killed process left unfinished in it is removed. It is gone again if nothing was written. Raises
    DataError where another process holds it.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    handle = os.open(folder, os.O_RDONLY)
    try:
        end = time.monotonic() + LOCK_WAIT_S
        while _try_lock(handle) is False:
            if time.monotonic() < end:
                time.sleep(0.02)
                continue
            raise DataError(
                f"another command is writing into {folder}; wait until it has ended, or name another folder"
            )
        _remove_left(folder / "*")
        yield
    finally:
        os.close(handle)
        with suppress(OSError):
            for path in made:
                path.rmdir()


@contextmanager
def scratch_folder(name: str) -> Iterator[Path]:
    """A folder among the system's temporary ones, gone at the end; what a killed process left goes too."""
    target = Path(tempfile.gettempdir()) / name
    staged = _staged(target)
    lock = _make_locked(staged)
    try:
        _remove_left(target)
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)
        lock.close()


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it that are missing. Raises OSError that says what is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        _refuse_file_in((folder, *folder.parents), folder)
        raise OSError(errno.EEXIST, "a link that leads nowhere is in its place", str(folder)) from error


def _refuse_file_in(folders: Iterable[Path], path: Path) -> None:
    """Raises OSError that names `path` where the first of the folders that exists is a file."""
    there = next((folder for folder in folders if folder.exists()), path.parent)
    if there.exists() and not there.is_dir():
        raise OSError(errno.ENOTDIR, f"{there} is a file, expected a folder", str(path))


def write_whole(path: Path, content: bytes | str, replace: bool = True) -> None:
    """Write a file as whole_file does, a text as UTF-8; what cannot be UTF-8 is spelled out."""
    with whole_file(path, replace) as staged:
        if isinstance(content, str):
            content = content.encode(errors="backslashreplace")
        staged.write_bytes(content)


def parse_yaml(text: str, source: str) -> Any:
    """The value of a YAML text, of bounded size and depth. Raises ConfigError, in which source names it."""
    # Its import takes a tenth of the time of --help, which declares parameters and reads none.
    from ivfusion_ros.yaml_loader import load_yaml

    try:
        value = load_yaml(text)
    # PyYAML's constructors raise whatever dates, numbers and tags that are none make Python raise.
    except Exception as error:
        said = str(error) or type(error).__name__
        raise ConfigError(f"{source} is not valid YAML: {said}") from error
    return value


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A key that sorts names as people count: frame_2 before frame_10."""
    parts = re.split(r"([0-9]+)", name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def brief(value: Any) -> str:
    """A repr for an error message, however long or odd the value is."""
    try:
        return _BRIEF.repr(value)
    except ValueError:
        # Python refuses to write whole numbers of more than some thousand digits.
        return f"a {type(value).__name__} too long to show"


_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = 80
_BRIEF.maxlist = _BRIEF.maxdict = _BRIEF.maxtuple = 8


_LONGEST_PART = 100
"""Bytes that a staged name has of the target's: file systems take 143 (eCryptfs) or 255 in all."""
_STAGED = re.compile(r"\.[0-9]+-[0-9a-f]{8}\.partial$")
"""The end of what _staged gives."""


def _staged(target: Path) -> Path:
    """A name of this call alone: threads, processes and containers may write the same file."""
    return target.with_name(f".{_short(target.name)}.{os.getpid()}-{uuid.uuid4().hex[:8]}.partial")


def _short(name: str) -> str:
    """The name, or its beginning and what tells it from others that begin so."""
    content = os.fsencode(name)
    if len(content) <= _LONGEST_PART:
        return name
    mark = f"~{zlib.crc32(content):08x}"
    while len(os.fsencode(name)) > _LONGEST_PART - len(mark):
        name = name[:-1]
    return name + mark


def _target(path: Path) -> Path:
    """What is behind the links of a path that is to be written. Raises OSError that names the path."""
    try:
        target = path.resolve()
    except ValueError as error:
        raise OSError(errno.EINVAL, f"not a file's name ({error})", str(path)) from error
    except RuntimeError as error:
        # Before Python 3.13; since then, the link itself comes.
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from error
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    _refuse_file_in(path.parents, path)
    return target


def _put_new(item: Path, target: Path) -> None:
    """Give a file a name that must be free. Raises FileExistsError."""
    taken = "another process wrote it meanwhile; name another output or overwrite it (--force)"
    try:
        os.link(item, target)
    except FileExistsError as error:
        raise FileExistsError(errno.EEXIST, taken, str(target)) from error
    except OSError as error:
        # Some file systems have no links; what is written there at this moment is lost.
        if target.exists():
            raise FileExistsError(errno.EEXIST, taken, str(target)) from error
        item.replace(target)


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


def _try_lock(lock: IO[Any] | int) -> bool | None:
    """False where another holds the lock, None where the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return None
    return True


def _remove_left(target: Path) -> None:
    """Remove what was staged for a target, or for all (*), and nobody holds: it may be large."""
    name = target.name if target.name == "*" else glob.escape(_short(target.name))
    for left in target.parent.glob(f".{name}.*.partial"):
        if not _STAGED.search(left.name):
            continue
        lock = left / "lock" if left.is_dir() else left
        with suppress(OSError), lock.open("r+") as held:
            if _try_lock(held):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


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


def read_bytes(path: str | Path, most: int) -> bytes:
    """Content of a regular file of at most so many bytes; a pipe or a device might never end.

    Raises OSError that names `path`.
    """
    try:
        # Without it, opening a pipe waits for whoever writes into it.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except ValueError as error:
        raise OSError(errno.EINVAL, f"not a file's name ({error})", str(path)) from error
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        number = errno.EISDIR if stat.S_ISDIR(status.st_mode) else errno.EINVAL
        raise OSError(number, "not a regular file", str(path))
    with open(handle, "rb") as file:  # noqa: PTH123
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"{status.st_size} bytes, expected at most {most}", str(path))
    return content


def _other_name(path: Path) -> str:
    """What a file that is not there may be called."""
    if path.exists() or not path.parent.is_dir():
        return ""
    hint = did_you_mean(path.name, (other.name for other in path.parent.iterdir()))
    return f"; {hint.strip()}" if hint else ""


def read_yaml(path: str | Path) -> dict[str, Any]:
    """A YAML file whose top is a mapping (an empty file is an empty one). Raises ConfigError."""
    try:
        text = read_bytes(path, MAX_YAML_BYTES).decode()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}{_other_name(Path(path))}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    content = parse_yaml(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path} holds a {type(content).__name__}, expected `name: value` lines")
    return content
