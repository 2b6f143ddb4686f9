"""Cross-entropy of where each place of one image is in the other, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ivfusion_ros.networks.matcher import STRIDE, grid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.training.matcher.samples import Sample
    from ivfusion_ros.types import Floats, Size


@dataclass(frozen=True, eq=False)
class Targets:
    """Of each of N places of one image, the four nearest of the other, bilinearly.

    places: (B, N, 4) int64. shares: (B, N, 4) float32, 1 in all. known: (B, N) bool, whether both show it.
    """

    places: Tensor
    shares: Tensor
    known: Tensor


def matching_loss(logits: Tensor, samples: Sequence[Sample]) -> tuple[Tensor, float]:
    """(mean of both ways, share of the known places whose best one is next to the right one).

    logits: (B, N, M) of Matcher. samples: of the same B pairs.
    """
    size = samples[0].thermal.shape[1], samples[0].thermal.shape[0]
    onto_visible, onto_thermal = (_targets(samples, size, inverse=way) for way in (False, True))
    loss = _entropy(logits, onto_visible) + _entropy(logits.transpose(1, 2), onto_thermal)
    return loss / 2, _found(logits.detach(), onto_visible, size)


def _entropy(logits: Tensor, targets: Targets) -> Tensor:
    told = (logits.log_softmax(2).gather(2, targets.places) * targets.shares).sum(2)
    return -(told * targets.known).sum() / targets.known.sum().clamp(min=1)


def _found(logits: Tensor, targets: Targets, size: Size) -> float:
    places = grid(size).to(logits.device)
    right = (places[targets.places] * targets.shares[..., None]).sum(2)
    near = (places[logits.argmax(2)] - right).abs().amax(2) <= STRIDE
    return float((near & targets.known).sum() / targets.known.sum().clamp(min=1))


def _targets(samples: Sequence[Sample], size: Size, *, inverse: bool) -> Targets:
    places = grid(size).numpy().astype(np.float64)
    columns, rows = size[0] // STRIDE, size[1] // STRIDE
    found = []
    for sample in samples:
        matrix = np.linalg.inv(sample.truth) if inverse else sample.truth
        there = np.asarray(cv2.perspectiveTransform(places[None], matrix)[0], np.float64)
        # Thermal shows nothing outside its view, whichever way one goes.
        known = _is_seen(sample, there if inverse else places)
        cell = (there - (STRIDE - 1) / 2) / STRIDE
        known &= ((cell >= 0) & (cell < (columns - 1, rows - 1))).all(1)
        cell = np.clip(cell, 0, (columns - 1.001, rows - 1.001))
        low = np.floor(cell).astype(np.int64)
        right, down = (cell - low).T
        corner = low[:, 1] * columns + low[:, 0]
        shares = [(1 - right) * (1 - down), right * (1 - down), (1 - right) * down, right * down]
        neighbours = [corner, corner + 1, corner + columns, corner + columns + 1]
        found.append((np.stack(neighbours, 1), np.stack(shares, 1).astype(np.float32), known))
    return Targets(*(torch.from_numpy(np.stack(part)) for part in zip(*found, strict=True)))


def _is_seen(sample: Sample, places: Floats) -> npt.NDArray[np.bool_]:
    height, width = sample.seen.shape
    columns, rows = np.clip(np.rint(places), 0, (width - 1, height - 1)).astype(np.int64).T
    seen: npt.NDArray[np.bool_] = sample.seen[rows, columns]
    return seen
