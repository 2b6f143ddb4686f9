"""Weights of a fusion network on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ivfusion_ros.errors import ModelError

if TYPE_CHECKING:
    from pathlib import Path

_CHECKPOINT = "the last.pt of a run of `ivfusion train`"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint written by Trainer.save, on the CPU. Raises ModelError."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(
            f"cannot read {path}: {error.strerror or error}; expected {_CHECKPOINT}"
        ) from error
    except Exception as error:  # torch raises many kinds, with advice of its own, for a damaged file
        raise ModelError(f"{path} is not a readable checkpoint; expected {_CHECKPOINT}") from error
    if not isinstance(state, dict) or not {"network", "weights"} <= state.keys():
        raise ModelError(f"{path} is not a checkpoint; expected {_CHECKPOINT}")
    return state


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a checkpoint's weights into a network of the same kind. Raises ModelError."""
    try:
        network.load_state_dict(load_checkpoint(path)["weights"])
    except RuntimeError as error:
        raise ModelError(f"{path} holds weights of another network: {error}") from error
