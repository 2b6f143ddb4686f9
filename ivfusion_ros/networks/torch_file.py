"""Files of torch, read as data; what is plainly none is refused before it costs seconds."""

from __future__ import annotations

import errno
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

MAX_PICKLE_BYTES = 2**26
"""Of the part that names tensors, whose numbers lie beside it: a hundred times what networks have."""
MAX_MARKS = b"(" * 1000
"""In a row: a pickle nests as deep as its lists do."""

_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What a file of torch before 1.6 begins with."""


def load_data(path: str | Path) -> Any:
    """Content of a file of torch.save, on the CPU; nothing of it runs. Raises what torch.load raises."""
    check_form(Path(path))
    return torch.load(path, map_location="cpu", weights_only=True)


def check_form(path: Path) -> None:
    """Raises OSError or UnpicklingError for what torch would read long, to find that it is damaged."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if item.filename.endswith("data.pkl"):
                    _check_pickle(archive, item)
    except zipfile.BadZipFile as error:
        with path.open("rb") as file:
            if file.read(len(_BEFORE_1_6)) != _BEFORE_1_6:
                raise pickle.UnpicklingError("no file of torch.save, or a damaged one") from error


def _check_pickle(archive: zipfile.ZipFile, item: zipfile.ZipInfo) -> None:
    if item.file_size > MAX_PICKLE_BYTES or MAX_MARKS in archive.read(item):
        raise pickle.UnpicklingError(f"{item.filename} is damaged, {item.file_size} bytes of no weights")
