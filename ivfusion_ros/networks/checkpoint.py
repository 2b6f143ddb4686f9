"""Weights of a fusion network on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ivfusion_ros.errors import ModelError, refusing
from ivfusion_ros.files import whole_file
from ivfusion_ros.networks.channels import take_widths
from ivfusion_ros.networks.torch_file import load_data

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "network."
"""What the names of a network's weights begin with in the graph that is exported around it."""
_SAID = 500
"""Characters of what torch says, which names every weight."""
_CHECKPOINT = "the last.pt of a run of `ivfusion train`"


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint written by save_checkpoint, on the CPU. Raises ModelError."""
    # torch raises many kinds of errors for a damaged file.
    with refusing(ModelError, f"checkpoint {path}", _CHECKPOINT):
        state = load_data(path)
    parts = [state.get(name) for name in ("ema", "weights")] if isinstance(state, dict) else []
    if not any(map(_are_weights, parts)) or not all(part is None or _are_weights(part) for part in parts):
        raise ModelError(f"{path} is not a checkpoint; expected {_CHECKPOINT}")
    if not isinstance(state.get("network"), str):
        raise ModelError(f"{path} does not name its network; expected {_CHECKPOINT}")
    return dict(state)


def _are_weights(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and bool(value)
        and all(
            isinstance(name, str) and isinstance(weight, torch.Tensor) for name, weight in value.items()
        )
    )


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint; it is there whole or not at all. state: at least `network` and `weights`."""
    # By a path, torch would write the staged name into the file.
    with whole_file(path) as staged, staged.open("wb") as file:
        torch.save(state, file)


def load_weights(network: nn.Module, path: Path) -> None:
    """Load a checkpoint into a network of the same kind: the mean of its weights where it has one.

    The network becomes as wide as they are. An ONNX file of `ivfusion export` will do too.
    Raises ModelError.
    """
    if path.suffix == ".onnx":
        weights = _of_graph(network, path)
    else:
        state = load_checkpoint(path)
        weights = state.get("ema") or state["weights"]
    take_widths(network, weights)
    try:
        network.load_state_dict(weights)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ModelError(f"{path} holds weights of another network: {str(error)[:_SAID]}") from error


def _of_graph(network: nn.Module, path: Path) -> dict[str, torch.Tensor]:
    """The network's state_dict from an exported graph."""
    state, buffers = network.state_dict(), dict(network.named_buffers())
    # An export leaves out buffers that change nothing, and holds those that a state_dict does not.
    kept = {name: state[name] for name in buffers if name in state}
    return kept | {
        name: weight for name, weight in _exported(path).items() if name in state or name not in buffers
    }


def _exported(path: Path) -> dict[str, torch.Tensor]:
    """Weights of the network in an exported graph, by their names in the network."""
    import onnx

    try:
        tensors = onnx.load(path).graph.initializer
    # A damaged file raises an error of protobuf, which shares no base class but Exception.
    except Exception as error:
        raise ModelError(f"{path} cannot be read as ONNX ({error}); export it again") from error
    if not any(tensor.name.startswith(PREFIX) for tensor in tensors):
        raise ModelError(f"{path} holds no weights of a fusion network, expected {_CHECKPOINT} or its ONNX")
    # What is named otherwise are the graph's own constants.
    return {
        tensor.name.removeprefix(PREFIX): torch.from_numpy(onnx.numpy_helper.to_array(tensor).copy())
        for tensor in tensors
        if tensor.name.startswith(PREFIX)
    }
