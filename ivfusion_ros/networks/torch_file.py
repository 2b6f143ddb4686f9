"""Files of torch, read as data; what is plainly none is refused before it costs seconds or memory."""

from __future__ import annotations

import errno
import io
import pickle
import pickletools
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_PICKLE_BYTES = 2**26
"""Of the part that names tensors, whose numbers lie beside it: a hundred times what networks have."""
MAX_DEPTH = 500
"""Of containers in containers, which torch follows by recursion; and of those that are begun at once."""

_BEFORE_1_6 = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""What a file of torch before 1.6 begins with."""
_PICKLES_BEFORE_1_6 = 5
"""Number, version, system, content and keys, in a row."""
_GROWING = ("bytearray",)
"""Allowed by torch, though a number beside it makes one as large as memory; no weights need it."""
_TAKING = ("APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD")
"""Fill what is on the stack already."""


def load_data(path: str | Path) -> Any:
    """Content of a file of torch.save, on the CPU; nothing of it runs.

    Raises what torch.load raises, with the reason alone where it refuses: its advice is to run the file.
    """
    check_form(Path(path))
    with reason_alone():
        return torch.load(path, map_location="cpu", weights_only=True)


@contextmanager
def reason_alone() -> Iterator[None]:
    """Around torch.load: an UnpicklingError says what was found, and not how to run it all the same."""
    try:
        yield
    except pickle.UnpicklingError as error:
        told = str(error).rpartition("WeightsUnpickler error: ")[2].splitlines()
        reasons = (
            line for line in told if line.strip() and not line.startswith("Weights only load failed")
        )
        raise pickle.UnpicklingError(next(reasons, "damaged")) from None


def check_form(path: Path) -> None:
    """Raises OSError or UnpicklingError for what torch would read long, or into its own end."""
    if not path.is_file():
        raise FileNotFoundError(errno.ENOENT, "there is no such file", str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                if item.filename.endswith("data.pkl"):
                    if item.file_size > MAX_PICKLE_BYTES:
                        raise pickle.UnpicklingError(f"{item.filename} is damaged, {item.file_size} bytes")
                    # Whole, as single bytes of an archive take several times as long.
                    _check_pickle(io.BytesIO(archive.read(item)))
    except zipfile.BadZipFile as error:
        with path.open("rb") as plain:
            if plain.read(len(_BEFORE_1_6)) != _BEFORE_1_6:
                raise pickle.UnpicklingError("no file of torch.save, or a damaged one") from error
            plain.seek(0)
            for _ in range(_PICKLES_BEFORE_1_6):
                _check_pickle(plain)


def _check_pickle(file: IO[bytes]) -> None:
    """Follow a pickle's stack without making anything of it: how deep its containers lie in each other."""
    depths: list[int | None] = []  # None: a mark
    memo: dict[int, int] = {}
    marks = 0
    try:
        argument: Any
        for code, argument, _ in pickletools.genops(file):
            if code.name == "GLOBAL" and str(argument).rpartition(" ")[2] in _GROWING:
                raise pickle.UnpicklingError(f"{argument} is not what weights are made of")
            if "PUT" in code.name:
                memo[int(argument)] = depths[-1] or 0
                continue
            if "GET" in code.name:
                depths.append(memo.get(int(argument), 0))
                continue
            before = list(code.stack_before)
            taken: list[int] = []
            if pickletools.markobject in before:
                while (depth := depths.pop()) is not None:
                    taken.append(depth)
                marks -= 1
                before = before[: before.index(pickletools.markobject)]
            taken = [*(depths.pop() or 0 for _ in before), *taken]
            if code.name in _TAKING:
                deepest = max(taken[len(before) - 1], 1 + max(taken, default=0))
            else:
                deepest = 1 + max(taken, default=-1)
            for after in code.stack_after:
                begun = after is pickletools.markobject
                marks += begun
                depths.append(None if begun else deepest)
            if max(deepest, marks) > MAX_DEPTH:
                raise pickle.UnpicklingError(f"damaged: containers lie {MAX_DEPTH} deep in each other")
    except (ValueError, IndexError, TypeError) as error:
        raise pickle.UnpicklingError(f"damaged: {error}") from error
