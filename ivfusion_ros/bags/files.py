"""The storage files behind what a user calls a bag: a folder, a file, or several of either."""

from __future__ import annotations

import logging
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Protocol

from ivfusion_ros.bags.compression import unpack_file
from ivfusion_ros.bags.mcap_file import EVER, Between, McapFile, RawMessage
from ivfusion_ros.bags.ros1_file import Ros1File
from ivfusion_ros.bags.sqlite_file import SqliteFile
from ivfusion_ros.errors import BagError, ConfigError
from ivfusion_ros.files import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ivfusion_ros.bags.topics import BagTopic

log = logging.getLogger(__name__)

_NAMED = 6
"""Most files of a folder that a message names."""


class BagFile(Protocol):
    """One storage file; start_ns and end_ns are None where unknown."""

    path: Path
    topics: list[BagTopic]
    losses: list[str]
    start_ns: int | None
    end_ns: int | None

    def messages(self, wanted: Callable[[BagTopic], bool], between: Between = EVER) -> Iterator[RawMessage]:
        """Messages of the wanted topics, by log time."""


STORAGES: dict[str, Callable[[Path], BagFile]] = {
    ".mcap": McapFile,
    ".db3": SqliteFile,
    ".bag": Ros1File,
    # What a recorder of ROS 1 leaves that was killed.
    ".active": Ros1File,
}
PACKED = ".zstd"


def find_files(paths: Sequence[Path], losses: list[str]) -> list[Path]:
    """Storage files behind the paths, each once; adds what does not fit a metadata.yaml to losses.

    Raises BagError for a path that is no bag.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            raise BagError(f"{path} does not exist")
        if not (path.is_file() or path.is_dir()):
            raise BagError(f"{path} is neither a file nor a folder but a pipe, socket or device")
        for file in _in_folder(path, losses) if path.is_dir() else [path]:
            if not _is_storage(file):
                raise BagError(_refusal(file))
            found.setdefault(file.resolve(), file)
    return list(found.values())


def open_file(path: Path, scratch: Callable[[], Path]) -> BagFile:
    """Open a storage file, one compressed as a whole by way of a copy in scratch(). Raises BagError."""
    try:
        if path.suffix != PACKED:
            return STORAGES[path.suffix](path)
        unpacked = scratch() / path.stem
        loss = unpack_file(path, unpacked)
    except OSError as error:
        raise BagError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        file = STORAGES[unpacked.suffix](unpacked)
    except BagError as error:
        raise BagError(f"{path} cannot be read: {loss or error}") from error
    file.losses[:0] = [loss] if loss else []
    return file


def is_bag(path: Path) -> bool:
    """Whether a path is, or by its name is meant to be, a bag or a folder of one."""
    if not path.is_dir():
        return _is_storage(path)
    return (path / "metadata.yaml").exists() or any(_is_storage(item) for item in path.iterdir())


def _is_storage(path: Path) -> bool:
    suffixes = path.suffixes[-2:]
    if suffixes[-1:] == [".active"]:
        return suffixes[0] == ".bag"
    return bool(suffixes) and (suffixes[-1] in STORAGES or suffixes in ([s, PACKED] for s in STORAGES))


def _refusal(path: Path) -> str:
    return f"{path} is no bag: expected a folder with metadata.yaml, a .mcap, .db3 or .bag file"


def _in_folder(folder: Path, losses: list[str]) -> list[Path]:
    present = sorted(path for path in folder.iterdir() if path.is_file() and _is_storage(path))
    metadata = folder / "metadata.yaml"
    if not present:
        listed = " (metadata.yaml is there, its files are not)" if metadata.exists() else ""
        raise BagError(f"{folder} holds no .mcap, .db3 or .bag file{listed}; expected a rosbag2 folder")
    if not metadata.exists():
        if len(present) > 1:
            log.warning(
                "%s has no metadata.yaml: its %d bags (%s) are read as parts of one recording; name one of "
                "them to read that alone",
                folder, len(present), ", ".join(path.name for path in present[:_NAMED]),
            )  # fmt: skip
        return present
    try:
        names = _listed(metadata)
    except (ConfigError, KeyError, TypeError) as error:
        losses.append(f"{metadata} cannot be used ({_in_a_line(error)}); took all bag files of its folder")
        return present
    return _match(folder, names, present, losses)


def _in_a_line(error: Exception) -> str:
    """A YAML error shows the text around it in further lines."""
    error = error.__cause__ if isinstance(error.__cause__, Exception) else error
    said = str(getattr(error, "problem", None) or error).splitlines() or [""]
    return f"{type(error).__name__}: {said[0]}"


def _listed(metadata: Path) -> list[str]:
    content: Any = read_yaml(metadata)
    # Early versions wrote the folder's name in front of the file's.
    return [
        PurePosixPath(name).name for name in content["rosbag2_bagfile_information"]["relative_file_paths"]
    ]


def _match(folder: Path, names: list[str], present: list[Path], losses: list[str]) -> list[Path]:
    listed = [path for path in present if path.name in names]
    missing = [name for name in names if name not in {path.name for path in present}]
    extra = [path.name for path in present if path.name not in names]
    if not listed:
        raise BagError(
            f"{folder}/metadata.yaml lists {', '.join(missing) or 'no file'}, but the folder holds "
            f"{', '.join(extra)}; name the files themselves to read them"
        )
    if missing:
        losses.append(f"{folder}/metadata.yaml lists {', '.join(missing)}, which are not in the folder")
    if extra:
        losses.append(
            f"{', '.join(extra)} in {folder} was not read: metadata.yaml does not list it; "
            "name the file itself to read it"
        )
    return sorted(listed, key=lambda path: names.index(path.name))
