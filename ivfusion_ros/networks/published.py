"""Checkpoints as the papers' authors published them -> weights of our networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ivfusion_ros.errors import ConfigError, ModelError
from ivfusion_ros.networks.mda import MDA, published_weights
from ivfusion_ros.networks.torch_file import load_data

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import numpy.typing as npt

PUBLISHED: dict[str, Callable[[Mapping[str, Any]], dict[str, Tensor]]] = {
    "mda": published_weights,
}
"""Name of a network and what turns its authors' checkpoint into our state_dict."""

RANGES = {"mda": (0.336, 0.579)}
"""What images of the published weights hold, by measure_range on 24 pairs each of RoadScene and MSRS."""

_WITHIN = (0.001, 0.999)
"""Shares of a pair's pixels between which its range lies."""
_OF_PAIRS = (0.05, 0.95)
"""Shares of the pairs whose range may begin below, and end below, that of all."""


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
            state = load_data(path)
    except Exception as error:  # torch raises many kinds for a damaged file
        reason = _first_line(str(error))
        raise ModelError(
            f"{path} is not a checkpoint that can be loaded safely ({reason}); expected the authors' file"
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


def import_published(
    name: str, path: Path, pairs: Iterable[npt.NDArray[np.uint8]] | None
) -> tuple[nn.Module, tuple[float, float]]:
    """Network `name` with its authors' weights, and the range of its images that is now 0 to 1.

    pairs: (2 or more, H, W) each, thermal and visible luminance, on which the range is measured; without
    them it is that of road scenes. Raises as read_published, and ModelError where pairs show no range.
    """
    network = MDA()
    network.load_state_dict(read_published(name, path))
    low, high = RANGES[name] if pairs is None else measure_range(network.eval(), pairs)
    network.stretch(low, high)
    return network, (low, high)


@torch.no_grad()
def measure_range(network: MDA, pairs: Iterable[npt.NDArray[np.uint8]]) -> tuple[float, float]:
    """Lowest and highest value of a network's fused images, but for few pixels of few pairs.

    One range for all of them leaves a video steady, where each image's own would not.
    """
    ranges = []
    for planes in pairs:
        height, width = (-(-side // network.stride) * network.stride for side in planes.shape[1:])
        padded = np.pad(
            planes[:2], ((0, 0), (0, height - planes.shape[1]), (0, width - planes.shape[2])), "edge"
        )
        thermal, visible = torch.from_numpy(padded)[:, None, None].float() / 255
        ranges.append(np.quantile(network(thermal, visible).numpy(), _WITHIN))
    lows, highs = np.transpose(ranges)
    return float(np.quantile(lows, _OF_PAIRS[0])), float(np.quantile(highs, _OF_PAIRS[1]))
