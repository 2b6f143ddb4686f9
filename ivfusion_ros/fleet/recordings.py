"""Which recordings a user means: folders, patterns and lists of them, on this machine or behind a URL."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags.files import STORAGES, is_bag
from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.fleet.store import open_file_system
from ivfusion_ros.fleet.table import read_parquet

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

log = logging.getLogger(__name__)

LISTS = (".txt", ".csv", ".parquet")
"""Files that name recordings: a line each, or the column `recording` of a table, else its first."""
METADATA = "metadata.yaml"
MAX_LIST_BYTES = 2**28
_VERSIONS = ("ETag", "etag", "content_hash", "mtime", "LastModified", "last_modified", "updated")
"""What file systems call that by which a changed file is seen; the first that there is counts."""


@dataclass(frozen=True)
class Recording:
    """A bag: one file, or a folder of rosbag2.

    url: where it is. files: (path within it, size in bytes, what changes with its content) of each file.
    """

    url: str
    files: tuple[tuple[str, int, str], ...]

    @property
    def name(self) -> str:
        """For people and folders."""
        return PurePosixPath(self.url.rstrip("/")).stem or "recording"

    @property
    def size(self) -> int:
        """In bytes."""
        return sum(size for _, size, _ in self.files)

    @property
    def bytes_to_copy(self) -> int:
        """What a machine takes of it to fuse it: none where it is on its own disk."""
        return self.size if "://" in self.url else 0

    @property
    def key(self) -> str:
        """12 hexadecimal digits of its place and content, as far as the file system tells."""
        return hashlib.sha256(json.dumps([self.url, self.files]).encode()).hexdigest()[:12]


def find_recordings(sources: Sequence[str], outside: str = "") -> list[Recording]:
    """The recordings that folders, patterns (*, **), lists and names stand for, each once, in order.

    outside: a URL below which none is sought, since results are there. Raises DataError where a source
    cannot be read or has none.
    """
    found: dict[str, Recording] = {}
    for source in sources:
        words = {word: list(_at(word)) for word in _named(source)}
        here = [
            recording
            for recordings in words.values()
            for recording in recordings
            if not outside or not f"{recording.url}/".startswith(f"{outside.rstrip('/')}/")
        ]
        nothing = [word for word, recordings in words.items() if not recordings]
        if here and nothing:
            log.warning(
                "%d of %d names in %s are of no recording and left out, %s first",
                len(nothing), len(words), source, nothing[0],
            )  # fmt: skip
        if not here:
            raise DataError(
                f"{source} has no recordings, expected bags ({', '.join(sorted(STORAGES))}, folders of "
                f"rosbag2), folders or patterns of them, or a list of their names ({', '.join(LISTS)})"
            )
        for recording in here:
            found.setdefault(recording.url, recording)
    return list(found.values())


def bring(recording: Recording, scratch: Path) -> Path:
    """Where it is on this machine: as it is, or copied into a folder. Raises DataError."""
    files, place = open_file_system(recording.url)
    if (local := Path(recording.url)).exists():
        return local
    target = scratch / "in" / PurePosixPath(place).name
    with refusing(DataError, recording.url, "a recording that can be copied"):
        for inner, size, _ in recording.files:
            part = target / inner if inner else target
            part.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(f"{place}/{inner}" if inner else place, str(part))
            # Some servers do not say how long a file is.
            if size and (got := part.stat().st_size) != size:
                raise DataError(
                    f"{recording.url}: {got} of {inner or 'its'} {size} bytes came; the connection ended "
                    "early, or the file has changed since it was listed"
                )
    return target


def short_names(recordings: Iterable[Recording]) -> dict[str, str]:
    """By URL: a folder's name of its own for each."""
    listed = list(recordings)
    counts = Counter(recording.name for recording in listed)
    return {
        recording.url: recording.name
        if counts[recording.name] == 1
        else f"{recording.name}-{hashlib.sha256(recording.url.encode()).hexdigest()[:8]}"
        for recording in listed
    }


def _named(source: str) -> Iterator[str]:
    """The source itself, or what its list names."""
    suffix = PurePosixPath(source).suffix.lower()
    if suffix not in LISTS:
        yield source
        return
    files, path = open_file_system(source)
    with refusing(DataError, f"the list {source}", "names of recordings"):
        if files.size(path) > MAX_LIST_BYTES:
            raise DataError(f"the list {source} has more than {MAX_LIST_BYTES} bytes")
        content = files.cat_file(path)
        if suffix == ".parquet":
            table = read_parquet(content)
            name = "recording" if "recording" in table.column_names else table.column_names[0]
            words = [str(word) for word in table[name].to_pylist()]
        elif suffix == ".csv":
            rows = [row for row in csv.reader(io.StringIO(content.decode())) if row]
            column = rows[0].index("recording") if rows and "recording" in rows[0] else 0
            words = [row[column] for row in rows if row[column] != "recording"]
        else:
            words = content.decode().splitlines()
    yield from (word.strip() for word in words if word.strip() and not word.startswith("#"))


def _at(word: str) -> Iterator[Recording]:
    """The recordings at a place or of a pattern."""
    files, path = open_file_system(word)
    with refusing(DataError, word, "recordings"):
        places = sorted(files.glob(path)) if any(sign in path for sign in "*?[") else [path]
        for place in places:
            if files.isfile(place):
                if is_bag(Path(place)):
                    yield _recording(files, place, {place: files.info(place)})
                continue
            below = files.find(place, detail=True)
            yield from _in_folder(files, below)


def _in_folder(files: Any, below: dict[str, dict[str, Any]]) -> Iterator[Recording]:
    """Folders with metadata.yaml are one recording each, any other bag is one by itself."""
    folders = sorted(path.rpartition("/")[0] for path in below if path.rpartition("/")[2] == METADATA)
    inside = {path for path in below if path.rpartition("/")[0] in folders}
    for folder in folders:
        own = {path: below[path] for path in inside if path.rpartition("/")[0] == folder}
        if any(is_bag(Path(path)) for path in own):
            yield _recording(files, folder, own)
    for path in sorted(below.keys() - inside):
        # What a command has not finished has a hidden name.
        if is_bag(Path(path)) and not path.rpartition("/")[2].startswith("."):
            yield _recording(files, path, {path: below[path]})


def _recording(files: Any, place: str, infos: dict[str, dict[str, Any]]) -> Recording:
    parts = []
    for path, info in sorted(infos.items()):
        version = next((info[name] for name in _VERSIONS if info.get(name)), "")
        inner = "" if path == place else path[len(place) :].lstrip("/")
        parts.append((inner, int(info.get("size") or 0), str(version)))
    return Recording(str(files.unstrip_protocol(place)).removeprefix("file://"), tuple(parts))
