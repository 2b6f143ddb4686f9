"""What is judged: a network that fuses the pairs here, or a folder of images fused by another program."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ivfusion_ros.backends.choice import load_backend
from ivfusion_ros.errors import ConfigError, DataError, ImageError, no_folder
from ivfusion_ros.images.encodings import to_grey, to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.pairs import images_by_stem
from ivfusion_ros.models import file_sha256, resolve_model
from ivfusion_ros.pipeline.fuser import Fuser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.evaluation.fusion.pairs import Pair
    from ivfusion_ros.types import Image


class Method(Protocol):
    """A way of fusing; its label names it in tables and pictures."""

    label: str

    def fused(self, pair: Pair) -> Path | Image:
        """The fused image, or the file that holds it. Raises IvfusionError."""

    def identity(self, pair: Pair) -> str:
        """A text that changes whenever the fused image may be another one."""

    def details(self) -> dict[str, Any]:
        """What it is, for the report; JSON."""


class NetworkMethod:
    """A fusion model, run here (see Method)."""

    def __init__(self, label: str, model: str, backend: str, precision: str, threads: int) -> None:
        self.label = label
        self.path = resolve_model(model, "fusion")
        self._sha256 = file_sha256(self.path)
        self._fuser = Fuser(load_backend(self.path, backend, precision=precision, threads=threads))
        self._last: tuple[Pair, Image] | None = None

    def fused(self, pair: Pair) -> Image:
        """See Method.fused; the last image is kept, as the next frame of a video is compared with it."""
        if self._last is None or self._last[0].thermal != pair.thermal:
            self._last = pair, self._fuser(read_thermal(pair), to_rgb(read_image(pair.rgb)))
        return self._last[1]

    def identity(self, pair: Pair) -> str:  # noqa: ARG002
        """See Method.identity."""
        return f"{self._sha256} {self._fuser.backend.description}"

    def details(self) -> dict[str, Any]:
        """See Method.details."""
        backend = self._fuser.backend.description
        file = str(self.path.resolve())
        return {"model": self.path.name, "file": file, "sha256": self._sha256, "backend": backend}


class FolderMethod:
    """Fused images on disk, named as the pairs, in one folder or one subfolder per data set."""

    def __init__(self, label: str, folder: Path) -> None:
        self.label = label
        self.folder = folder
        if not folder.is_dir():
            raise no_folder(folder, "with fused images")
        self._files: dict[Path, dict[str, Path]] = {}

    def fused(self, pair: Pair) -> Path:
        """See Method.fused."""
        folder = self._folder(pair)
        if folder not in self._files:
            self._files[folder] = images_by_stem(folder)
        if pair.stem not in self._files[folder]:
            raise DataError(f"{folder} has no image named {pair.stem}")
        return self._files[folder][pair.stem]

    def identity(self, pair: Pair) -> str:
        """See Method.identity."""
        return file_identity(self.fused(pair))

    def details(self) -> dict[str, Any]:
        """See Method.details."""
        return {"folder": str(self.folder.resolve())}

    def _folder(self, pair: Pair) -> Path:
        own = self.folder / pair.data
        return own if own.is_dir() else self.folder


def read_thermal(pair: Pair) -> Image:
    """(H, W) uint8. Raises ImageError for a thermal image of more bits."""
    thermal = to_grey(read_image(pair.thermal))
    if thermal.dtype != np.uint8:
        raise ImageError(f"{pair.thermal} has 16 bits, metrics need 8; scale it first")
    return thermal.view(np.uint8)


def file_identity(path: Path) -> str:
    """Folder, name, size and time of change of a file."""
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    return f"{path.parent.name}/{path.name} {status.st_size} {status.st_mtime_ns}"


def make_methods(
    models: Sequence[str], folders: Sequence[str], *, backend: str, precision: str, threads: int
) -> list[Method]:
    """Methods from `MODEL` or `LABEL=MODEL`, and from `LABEL=FOLDER`.

    Raises ConfigError where labels are missing or not unique, ModelError, BackendError or DataError.
    """
    # Before the first of them is loaded.
    check_methods(models, folders)
    named = [_labelled(text) for text in models]
    networks = [NetworkMethod(label, model, backend, precision, threads) for label, model in named]
    named = [_labelled(text) for text in folders]
    return [*networks, *(FolderMethod(label, Path(folder)) for label, folder in named)]


def check_methods(models: Sequence[str], folders: Sequence[str] = ()) -> None:
    """Raises ConfigError and ModelError as make_methods does, without loading anything."""
    named = [_labelled(text) for text in (*models, *folders)]
    labels = [label for label, _ in named]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise ConfigError(f"more than one network is named {', '.join(twice)}; name them with NAME=FILE")
    for _, model in named[: len(models)]:
        resolve_model(model, "fusion")


def _labelled(text: str) -> tuple[str, str]:
    label, equals, value = text.partition("=")
    if not equals or Path(text).exists():
        return Path(text).stem, text
    if not label or not value:
        raise ConfigError(f"{text!r} names no network; expected NAME=FILE_OR_FOLDER")
    return label, value
