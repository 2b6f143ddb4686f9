"""Checkpoints as the papers' authors published them -> weights of our networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.networks.mda import published_weights

if TYPE_CHECKING:
    from pathlib import Path

PUBLISHED: dict[str, Callable[[Mapping[str, Any]], dict[str, Tensor]]] = {
    "mda": published_weights,
}
"""Name of a network and what turns its authors' checkpoint into our state_dict."""


def read_published(name: str, path: Path) -> dict[str, Tensor]:
    """Our state_dict of network `name` from the authors' checkpoint file.

    Raises ConfigError for a network without published weights, ModelError for a file that is missing,
    damaged, of another network, or that would run code when it is loaded.
    """
    if name not in PUBLISHED:
        raise ConfigError(f"no published weights of {name!r} are known, expected {', '.join(PUBLISHED)}")
    if not path.is_file():
        raise ModelError(f"there is no checkpoint at {path}; download the authors' file first")
    try:
        # The authors' log of the training loss lies in the same file, as NumPy numbers.
        with torch.serialization.safe_globals(_numpy_numbers()):
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = str(error).partition("WeightsUnpickler error: ")[2] or str(error)
        raise ModelError(
            f"{path} is not a checkpoint that can be loaded safely: {_first_line(reason)}"
        ) from error
    if not isinstance(state, Mapping):
        raise ModelError(f"{path} holds a {type(state).__name__}, expected a dictionary of weights")
    try:
        return PUBLISHED[name](state)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _numpy_numbers() -> list[Any]:
    # Their constructor is elsewhere in NumPy 1 and 2, and a file has the name of the NumPy that wrote it.
    make_number = np.float64(0).__reduce__()[0]
    names = (f"numpy.{core}.multiarray.scalar" for core in ("core", "_core"))
    return [*((make_number, name) for name in names), np.dtype, type(np.dtype(np.float64))]


def _first_line(text: str) -> str:
    return (text.strip().splitlines() or ["unknown reason"])[0]
