"""Training images of a detector: each scene once an epoch, in one of its kinds."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from ultralytics.data.augment import Compose, Mosaic, RandomFlip, RandomHSV, RandomPerspective
from ultralytics.data.dataset import YOLODataset

if TYPE_CHECKING:
    from ivfusion_ros.types import Size


class SceneDataset(YOLODataset):
    """Crops of the images of a folder made by `ivfusion dataset`. Images of one name are one scene.

    Images are decoded at full size and cropped, so that objects have the sizes that they have on the robot,
    whatever size of crop there is time for.
    """

    def __init__(self, *args: Any, crop: Size, **options: Any) -> None:
        """crop: (width, height) in pixels; all else as YOLODataset."""
        self._crop = crop
        self._scenes: list[list[int]] = []
        super().__init__(*args, **options)
        by_name: dict[str, list[int]] = {}
        for index, file in enumerate(self.im_files):
            by_name.setdefault(file.rpartition("/")[2], []).append(index)
        self._scenes = list(by_name.values())

    def __len__(self) -> int:
        return len(self._scenes) or len(self.labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """One sample of a scene, in a kind drawn at random."""
        sample: dict[str, Any] = super().__getitem__(random.choice(self._scenes[index]))
        return sample

    def build_transforms(self, hyp: Any = None) -> Compose:
        """Mosaic and crop, what cameras do at night, then ultralytics' tensors."""
        assert hyp is not None
        mosaic = Mosaic(self, imgsz=self.imgsz, p=hyp.mosaic)
        # Its partners come from the images that were read last: the order of files is one of kinds.
        mosaic.buffer_enabled = True
        seen = [
            mosaic,
            RandomPerspective(translate=hyp.translate, scale=hyp.scale, size=self._crop),
            RandomHSV(hyp.hsv_h, hyp.hsv_s, hyp.hsv_v),
            NightCamera(),
            RandomFlip(direction="horizontal", p=hyp.fliplr),
        ]
        # ultralytics' last step makes the tensors.
        return Compose([*seen, super().build_transforms(hyp).transforms[-1]])


class NightCamera:
    """Gamma, inversion, loss of colour, blur and noise: night, fusion, cold on hot, cheap cameras."""

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Change the image of a sample of ultralytics."""
        image = labels["img"]
        if random.random() < 0.12:
            image = 255 - image
        if random.random() < 0.5:
            curve = 255 * np.linspace(0, 1, 256) ** random.uniform(0.5, 1.8)
            image = cv2.LUT(image, curve.astype(np.uint8))
        if random.random() < 0.15:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        if random.random() < 0.15:
            image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.5))
        if random.random() < 0.25:
            noise = np.empty(image.shape, np.int16)
            cv2.randn(noise, np.zeros(3), np.full(3, random.uniform(2, 12)))
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
        labels["img"] = image
        return labels
