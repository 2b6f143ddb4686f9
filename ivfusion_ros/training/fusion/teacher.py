"""Fused images of a teacher model, computed once and kept on disk as targets for a smaller network."""

from __future__ import annotations

import logging
import os
import zlib
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from ivfusion_ros.errors import DataError
from ivfusion_ros.images.files import write_image
from ivfusion_ros.models import file_sha256
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.training.fusion.data import read_luminance, read_plane

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)


class Teacher:
    """A fusion model whose luminance is the aim of another.

    Images are kept as PNG under `cache`/teacher_SHA256/FOLDER_CRC32/STEM.png, so that runs with the same
    `cache` share them, and another teacher or data folder finds none of theirs.
    """

    def __init__(self, model: Path, cache: Path) -> None:
        self.model = model
        self.cache = cache / f"teacher_{file_sha256(model)[:8]}"

    def prepare(self, pairs: Sequence[PairPaths], threads: int = 0) -> None:
        """Fuse the pairs that are not yet there. threads: of the CPU, 0: all.

        Raises DataError, ModelError or BackendError.
        """
        from ivfusion_ros.backends.choice import load_backend

        missing = [pair for pair in pairs if not self._path(pair).exists()]
        if not missing:
            return
        log.info("%s fuses %d of %d pairs into %s", self.model.name, len(missing), len(pairs), self.cache)
        backend = load_backend(self.model, threads=threads)
        fuser = Fuser(backend)
        for pair in tqdm(missing, desc="teacher", unit="pair"):
            thermal, visible, _ = read_luminance(pair)
            # Fusing a grey picture gives the luminance by itself, without the clipping of its colours.
            grey = np.repeat(visible[:, :, None], 3, 2)
            _write(self._path(pair), fuser(thermal, grey)[:, :, 0])
        backend.close()

    def image(self, pair: PairPaths) -> Image:
        """Luminance that the teacher fused, (H, W) uint8. Raises DataError where it was not prepared."""
        path = self._path(pair)
        try:
            return read_plane(path)
        except DataError as error:
            raise DataError(
                f"cannot read {path}; remove {self.cache}, training computes it again"
            ) from error

    def _path(self, pair: PairPaths) -> Path:
        folder = pair.thermal.resolve().parents[1]
        return self.cache / f"{folder.name}_{zlib.crc32(os.fsencode(folder)):08x}" / f"{pair.stem}.png"


class StudentPlanes:
    """Reads what a distillation needs of a pair: six planes, see __call__."""

    def __init__(self, teacher: Teacher, following: Mapping[PairPaths, PairPaths]) -> None:
        self.teacher = teacher
        self.following = following

    def __call__(self, pair: PairPaths) -> Image:
        """(6, H, W) uint8: those of read_luminance, the teacher's, thermal and visible of the next frame.

        A pair without a next frame is its own.
        """
        planes = read_luminance(pair)
        following = planes
        if pair in self.following:
            following = read_luminance(self.following[pair])
        if following.shape != planes.shape:
            following = planes
        return np.concatenate((planes, self.teacher.image(pair)[None], following[:2]))


def _write(path: Path, image: Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)
