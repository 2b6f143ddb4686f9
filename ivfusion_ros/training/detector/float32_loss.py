"""A loss of ultralytics whose boxes and overlaps are not rounded to bf16."""

from __future__ import annotations

from typing import Any

import torch


class Float32Loss:
    """Calls a loss without autocast, with float32 of all that the network gave."""

    def __init__(self, loss: Any) -> None:
        self._loss = loss

    def __call__(self, predictions: Any, batch: dict[str, Any]) -> Any:
        """As ultralytics' losses."""
        with torch.autocast(batch["img"].device.type, enabled=False):
            return self._loss(_float32(predictions), batch)


def _float32(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.float()
    if isinstance(value, dict):
        return {key: _float32(item) for key, item in value.items()}
    return type(value)(_float32(item) for item in value) if isinstance(value, (list, tuple)) else value
