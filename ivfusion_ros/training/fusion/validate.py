"""Held-out pairs as whole images: terms of the loss, metrics of the fused image, pictures to look at."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.evaluation.fusion.scores import JUDGED_BY, LOWER_IS_BETTER
from ivfusion_ros.images.pairs import spread
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.training.fusion.batches import load, to_batches
from ivfusion_ros.training.fusion.data import Patches, image_means
from ivfusion_ros.types import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, nn

    from ivfusion_ros.images.pairs import PairPaths
    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.training.fusion.data import Planes, ReadPlanes
    from ivfusion_ros.training.fusion.losses.base import Loss

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """Means over the judged pairs: terms of the loss, their sum as `loss`, metrics; and some pictures."""

    values: dict[str, float]
    pictures: dict[str, Image] = field(default_factory=dict)


class Validator:
    """Judges networks by the same pairs each time."""

    def __init__(
        self,
        pairs: Sequence[PairPaths],
        config: TrainConfig,
        loss: Loss,
        read: ReadPlanes,
        unit: int,
        device: str,
    ) -> None:
        """unit: what the sides of images must be multiples of. Raises ConfigError for an unknown metric."""
        self.pairs = spread(pairs, config.validation.pairs or len(pairs))
        self._config, self._loss, self._read = config, loss, read
        self._unit, self._device = unit, device
        unknown = [name for name in config.validation.metrics if name not in JUDGED_BY]
        if unknown:
            raise ConfigError(
                f"validation.metrics has {unknown[0]!r}, expected some of {', '.join(JUDGED_BY)}"
            )

    def better(self, value: float, best: float | None) -> bool:
        """Whether a value of validation.best is better than the best one so far, None before the first."""
        name = self._config.validation.best
        if not math.isfinite(value):
            return False
        lower = name == "loss" or name in LOWER_IS_BETTER
        return best is None or (value < best if lower else value > best)

    @torch.no_grad()
    def judge(self, network: nn.Module, step: int, stop: Callable[[], bool]) -> Verdict | None:
        """Judge a network; None where `stop` asked to stop before the end."""
        network.eval()
        rows: list[dict[str, float]] = []
        pictures: dict[str, Image] = {}
        shown = set(spread(self.pairs, self._config.validation.pictures))
        for pair in self.pairs:
            if stop():
                return None
            planes = self._read(pair)
            row, fused = self._fuse(network, planes)
            scores = self._scores(pair, planes, fused)
            rows.append(row | scores)
            if pair in shown:
                name = f"{pair.thermal.resolve().parents[1].name}_{pair.stem}"
                pictures[name] = _picture(planes, fused, f"fused, step {step}: {_told(scores)}")
        return Verdict(_means(rows), pictures)

    def _fuse(self, network: nn.Module, planes: Planes) -> tuple[dict[str, float], Image]:
        """Terms of the loss and their sum, and the fused luminance, (H, W)."""
        height, width = planes.shape[1:]
        loaded = load(Patches(_padded(planes, self._unit)[None], None, image_means(planes)[None]), False)
        batch, _ = to_batches(loaded, self._device, noise_seed=0)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._config.precision == "bf16"):
            outputs = self._loss.run(network, batch)
        terms = self._loss.terms(batch, outputs)
        values = dict(zip(terms, torch.stack(list(terms.values())).tolist(), strict=True))
        return {"loss": sum(values.values()), **values}, _as_image(outputs.fused)[:height, :width]

    def _scores(self, pair: PairPaths, planes: Planes, fused: Image) -> dict[str, float]:
        try:
            return {
                name: JUDGED_BY[name](planes[0], planes[1], fused)
                for name in self._config.validation.metrics
            }
        except ImageError as error:
            log.warning("%s has no metrics: %s", pair.stem, error)
            return dict.fromkeys(self._config.validation.metrics, math.nan)


def _padded(planes: Planes, unit: int) -> Planes:
    missing = [-side % unit for side in planes.shape[1:]]
    return np.pad(planes, ((0, 0), (0, missing[0]), (0, missing[1])), mode="edge")


def _as_image(fused: Tensor) -> Image:
    grey = (255 * fused[0, 0].clamp(0, 1)).round().to(torch.uint8)
    return np.asarray(grey.cpu().numpy(), np.uint8)


def _picture(planes: Planes, fused: Image, title: str) -> Image:
    """Thermal, visible and fused at full size, side by side, (H, 3 W, 3)."""
    images = [np.repeat(image[:, :, None], 3, 2) for image in (planes[0], planes[1], fused)]
    return contact_sheet(images, ("thermal", "visible", title), 3, fused.shape[1])


def _told(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3f}" for name, value in scores.items())


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By name, over the rows that have a number; NaN where none has."""
    result = {}
    for name in rows[0]:
        values = [row[name] for row in rows if math.isfinite(row[name])]
        result[name] = float(np.mean(values)) if values else math.nan
    return result
