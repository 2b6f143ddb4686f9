"""Train a fusion network on folders of registered pairs.

A run folder holds `config.yaml`, `curves.csv` (one row per validation), `validation.png` (thermal, visible,
fused of held-out pairs) and `last.pt`, from which `--resume` goes on as if it had never stopped.
"""

from __future__ import annotations

import csv
import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
import yaml
from torch import Tensor, nn
from tqdm import tqdm

from ivfusion_ros.errors import ConfigError, DataError, ModelError
from ivfusion_ros.files import whole_file, write_whole
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.pairs import PairPaths, find_pairs, following_pairs, hold_out, spread
from ivfusion_ros.models import resolve_model
from ivfusion_ros.networks import make_network
from ivfusion_ros.networks.checkpoint import load_checkpoint, load_weights
from ivfusion_ros.training.fusion.config import settings
from ivfusion_ros.training.fusion.data import Crops, Patches, Planes, centre_crops, read_luminance
from ivfusion_ros.training.fusion.losses import make_loss
from ivfusion_ros.training.fusion.losses.base import Batch, Outputs
from ivfusion_ros.training.fusion.teacher import StudentPlanes, Teacher
from ivfusion_ros.types import CAMERAS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ivfusion_ros.training.fusion.config import TrainConfig
    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)

_SHOWN = 12
"""Held-out pairs in validation.png."""


class Trainer:
    """One run: network, optimiser, schedule, data and their state on disk."""

    def __init__(
        self,
        config: TrainConfig,
        folders: Sequence[Path],
        run: Path,
        start: Path | None = None,
        names: tuple[str, str] = CAMERAS,
    ) -> None:
        """Set up a run in the folder `run`, with the weights of the checkpoint `start` if there is one.

        names: of the folders with the thermal and the rgb images within each of `folders`.

        Raises DataError for unusable folders, ConfigError for unknown names or a wrong crop, ModelError
        for a checkpoint that does not fit.
        """
        self.config = config
        self.loss = make_loss(config)
        self.run = run
        self.device = _device(config.device)
        torch.manual_seed(config.seed)
        self.network = make_network(config.network).to(self.device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if start is not None:
            load_weights(self.network, start)
        stride = int(getattr(self.network, "stride"))  # noqa: B009 (nn.Module hides the type)
        if config.crop % stride:
            raise ConfigError(
                f"crop is {config.crop}, must be a multiple of {config.network}'s stride, {stride}"
            )
        self.training, self.validation, following = _split(folders, names, config)
        self.read: Planes = read_luminance
        if config.teacher:
            teacher = Teacher(resolve_model(config.teacher), run.parent)
            teacher.prepare([*self.training, *self.validation])
            self.read = StudentPlanes(teacher, following)
        self.crops = Crops(self.training, config.crop, config.seed, self.read)
        self.network.requires_grad_(False)
        self.trained = list(self.loss.trained(self.network))
        if not self.trained:
            raise ConfigError(f"{config.network} has no weights to train; run `ivfusion export` right away")
        for weight in self.trained:
            weight.requires_grad_(True)
        self.optimizer = torch.optim.AdamW(
            self.trained, config.learning_rate, weight_decay=config.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, config.learning_rate, total_steps=config.iterations, pct_start=0.1
        )
        self.step = 0

    def fit(self) -> None:
        """Train to the configured number of steps, validating and saving on the way."""
        self.run.mkdir(parents=True, exist_ok=True)
        write_whole(self.run / "config.yaml", yaml.safe_dump(settings(self.config), sort_keys=False))
        log.info(
            "%s on %s: %d pairs to train on, %d held out",
            self.config.network, self.device, len(self.training), len(self.validation),
        )  # fmt: skip
        with tqdm(total=self.config.iterations, initial=self.step, unit="step") as progress:
            while self.step < self.config.iterations:
                terms = self._train_step()
                progress.set_postfix({name: f"{value:.4f}" for name, value in terms.items()}, refresh=False)
                progress.update()
                if self.step % self.config.validate_every == 0 or self.step == self.config.iterations:
                    self._record(terms, self._validate())
                    self.save()

    def _train_step(self) -> dict[str, float]:
        self.network.train()
        batch = self._tensors(self.crops.batch(self.config.batch))
        terms = self.loss.terms(batch, self._run(batch))
        self.optimizer.zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.trained, self.config.gradient_limit)
        self.optimizer.step()
        self.schedule.step()
        self.step += 1
        return {name: term.item() for name, term in terms.items()}

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        self.network.eval()
        sums: dict[str, float] = {}
        strips: list[Image] = []
        for patches in centre_crops(self.validation, self.config.crop, self.config.batch, self.read):
            batch = self._tensors(patches)
            outputs = self._run(batch)
            fused = outputs.fused
            for name, term in self.loss.terms(batch, outputs).items():
                sums[name] = sums.get(name, 0.0) + term.item() * len(fused)
            strips += [_strip(images) for images in zip(batch.thermal, batch.visible, fused, strict=True)]
        if strips:
            write_image(self.run / "validation.png", np.vstack(spread(strips, _SHOWN)))
        return {name: value / max(1, len(self.validation)) for name, value in sums.items()}

    def _record(self, training: dict[str, float], validation: dict[str, float]) -> None:
        row = {"step": self.step, "learning_rate": self.schedule.get_last_lr()[0]}
        row |= {f"train_{name}": value for name, value in training.items()}
        row |= {f"validation_{name}": value for name, value in validation.items()}
        path = self.run / "curves.csv"
        fresh = not path.exists()
        with path.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, row)
            if fresh:
                writer.writeheader()
            writer.writerow(row)

    def save(self) -> None:
        """Write last.pt; it is there whole or not at all."""
        state = {
            "network": self.config.network,
            "config": settings(self.config),
            "step": self.step,
            "weights": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "crops": self.crops.random.bit_generator.state,
        }
        # By a path, torch would write the staged name into the file.
        with whole_file(self.run / "last.pt") as staged, staged.open("wb") as file:
            torch.save(state, file)

    def resume(self) -> None:
        """Continue from last.pt.

        Raises ModelError where there is none, ConfigError when its settings differ from this run's.
        """
        path = self.run / "last.pt"
        if not path.exists():
            raise ModelError(f"there is no checkpoint at {path}; train without --resume first")
        state = load_checkpoint(path)
        own = settings(self.config)
        if state["config"] != own:
            changed = [name for name, value in own.items() if state["config"].get(name) != value]
            raise ConfigError(
                f"{self.run} was trained with other settings ({', '.join(changed)}); "
                "give the same ones or another --out"
            )
        self.network.load_state_dict(state["weights"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.crops.random.bit_generator.state = state["crops"]
        self.step = state["step"]

    def _tensors(self, patches: Patches) -> Batch:
        images = torch.from_numpy(np.ascontiguousarray(patches.images)).to(self.device)
        means = torch.from_numpy(patches.means).to(self.device)[:, :, None, None]
        grey = images.float() / 255
        teacher, following = (grey[:, 3:4], grey[:, 4:]) if self.config.teacher else (None, None)
        return Batch(
            grey[:, :1],
            grey[:, 1:2],
            images[:, 2:3],
            means[:, :1],
            means[:, 1:],
            teacher,
            following,
            self.step,
        )

    def _run(self, batch: Batch) -> Outputs:
        with torch.autocast(self.device, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return self.loss.run(self.network, batch)


def _device(name: str) -> str:
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "device is cuda, but torch sees no GPU; use --device cpu or install a CUDA build of torch"
        )
    return name


def _split(
    folders: Sequence[Path], names: tuple[str, str], config: TrainConfig
) -> tuple[list[PairPaths], list[PairPaths], dict[PairPaths, PairPaths]]:
    """Pairs to train on, those held out, and the next frame of each that has one."""
    training: list[PairPaths] = []
    validation: list[PairPaths] = []
    following: dict[PairPaths, PairPaths] = {}
    for folder in folders:
        pairs = find_pairs(folder, names)
        kept, held = hold_out(pairs, config.validation_fraction, config.seed)
        training += spread(kept, config.folder_limit or len(kept))
        validation += held
        following |= following_pairs(pairs)
    if not training:
        raise DataError("no pairs are left to train on; lower validation_fraction or add --data folders")
    return training, validation, following


def _strip(images: Sequence[Tensor]) -> Image:
    grey = torch.cat([image[0] for image in images], 1).clamp(0, 1) * 255
    return grey.round().to(torch.uint8).cpu().numpy()
