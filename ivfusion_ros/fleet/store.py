"""Where recordings are and results go: this machine's folders, or whatever fsspec has a file system for."""

from __future__ import annotations

import importlib
import json
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import DataError, refusing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

INSTALL = "pip install 'ivfusion_ros[fleet]'"


def need(module: str) -> Any:
    """A module of the extra `fleet`. Raises DataError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise DataError(f"a fleet needs {module.partition('.')[0]}, run: {INSTALL}") from error


def open_file_system(url: str) -> tuple[Any, str]:
    """(fsspec's file system, path in it) of a name or URL. Raises DataError."""
    core = need("fsspec.core")
    with refusing(DataError, url, "a path or a URL such as s3://bucket/drives"):
        files, path = core.url_to_fs(url)
    return files, str(path)


@contextmanager
def _writing(url: str) -> Iterator[None]:
    """File systems raise of their own kinds, too."""
    try:
        yield
    except Exception as error:
        said = (isinstance(error, OSError) and error.strerror) or f"{type(error).__name__}: {error}"
        raise DataError(f"cannot write {url}: {said}") from error


class Store:
    """A folder of results: what is there under its name is whole. Everything raises DataError."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._files, self._root = open_file_system(self.url)
        protocols = self._files.protocol
        self._local = "file" in ((protocols,) if isinstance(protocols, str) else protocols)

    @property
    def root(self) -> str:
        """Its own URL, as those of recordings are written."""
        return str(self._files.unstrip_protocol(self._root)).removeprefix("file://")

    def names(self, folder: str) -> set[str]:
        """Files below a folder, by their paths from there; none where it is absent."""
        place = f"{self._root}/{folder}"
        with refusing(DataError, f"{self.url}/{folder}", "a folder of results"):
            self._files.invalidate_cache()
            below = self._files.find(place)
        return {path[len(place) :].lstrip("/") for path in below}

    def folders_with(self, name: str) -> list[str]:
        """Folders right below that have a file of this name."""
        with refusing(DataError, self.url, "a folder of results"):
            self._files.invalidate_cache()
            found = self._files.glob(f"{self._root}/*/{name}")
        return sorted(path.split("/")[-2] for path in found)

    def for_duckdb(self, connection: Any, names: Iterable[str]) -> list[str]:
        """What DuckDB is to be given to read these files."""
        if self._local:
            return [f"{self._root}/{name}" for name in names]
        connection.register_filesystem(self._files)
        return [str(self._files.unstrip_protocol(f"{self._root}/{name}")) for name in names]

    def local(self, folder: str, scratch: Path) -> Path:
        """A folder as it is on this machine, or copied to it."""
        if self._local:
            return Path(self._root, folder)
        target = scratch / folder
        with refusing(DataError, f"{self.url}/{folder}", "a folder of results"):
            self._files.get(f"{self._root}/{folder}/", f"{target}/", recursive=True)
        return target

    def remove(self, folder: str) -> None:
        """A folder of results that are elsewhere by now."""
        with refusing(DataError, f"{self.url}/{folder}", "a folder that can be removed"):
            self._files.rm(f"{self._root}/{folder}", recursive=True)

    def put(self, local: Path, name: str) -> None:
        """Move a file there; a copy only where that is another file system."""
        target = f"{self._root}/{name}"
        with _writing(f"{self.url}/{name}"):
            folder = target.rpartition("/")[0]
            if not self._local:
                # An object is there when all of it is, and needs no folder: to ask for one is a request.
                try:
                    self._files.put_file(str(local), target)
                except FileNotFoundError:
                    self._files.makedirs(folder, exist_ok=True)
                    self._files.put_file(str(local), target)
                return
            self._files.makedirs(folder, exist_ok=True)
            for left in self._files.glob(f"{folder}/.{local.name}.*.partial"):
                self._files.rm_file(left)
            staged = f"{folder}/.{local.name}.{local.parent.name}.partial"
            try:
                try:
                    local.rename(staged)
                except OSError:
                    self._files.put_file(str(local), staged)
                self._files.mv(staged, target)
            finally:
                with suppress(OSError):
                    self._files.rm_file(staged)

    def read_json(self, name: str) -> dict[str, Any]:
        """A file of `put` that holds a mapping."""
        with refusing(DataError, f"{self.url}/{name}", "figures of a fleet"):
            return dict(json.loads(self._files.cat_file(f"{self._root}/{name}")))

    def read(self, name: str) -> bytes | None:
        """A file, None where there is none."""
        with refusing(DataError, f"{self.url}/{name}", "a file of a fleet"):
            try:
                return bytes(self._files.cat_file(f"{self._root}/{name}"))
            except FileNotFoundError:
                return None
