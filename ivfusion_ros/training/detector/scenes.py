"""Training images of a detector: each scene once an epoch, in one of its kinds.

A sample is made of its place in the sequence of all epochs alone, in whatever process, so that a run that
goes on sees what it would have seen.
"""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from torch.utils.data import Sampler
from ultralytics.data.augment import Compose, Mosaic, RandomFlip, RandomHSV, RandomPerspective
from ultralytics.data.build import InfiniteDataLoader
from ultralytics.data.dataset import YOLODataset

from ivfusion_ros.training.detector.thermal_channel import OfColours, check_thermal, with_thermal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.training.detector.config import CameraConfig
    from ivfusion_ros.training.detector.paste import Paste
    from ivfusion_ros.types import Size

_NEAR = 64
"""Places back from which a mosaic takes its other scenes: their images are still in memory."""


class SceneDataset(YOLODataset):
    """Crops of the images of a folder made by `ivfusion dataset`. Images of one name are one scene.

    Images are decoded at full size and cropped, so that objects have the sizes that they have on the robot,
    whatever size of crop there is time for.
    """

    def __init__(
        self,
        *args: Any,
        crop: Size,
        camera: CameraConfig,
        paste: Paste | None,
        seed: int,
        thermal: bool = False,
        **options: Any,
    ) -> None:
        """crop: (width, height) in pixels. thermal: whether the thermal image is a fourth channel, see
        thermal_channel; all else as YOLODataset. Raises DataError where there is none.
        """
        self._crop, self._camera, self._paste, self._seed = crop, camera, paste, seed
        self._thermal = thermal
        self._scenes: list[list[int]] = []
        self._place = 0
        super().__init__(*args, **options)
        by_name: dict[str, list[int]] = {}
        for index, file in enumerate(self.im_files):
            by_name.setdefault(file.rpartition("/")[2], []).append(index)
        self._scenes = list(by_name.values())
        if thermal:
            check_thermal(self.im_files)

    def __len__(self) -> int:
        return len(self._scenes) or len(self.labels)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """The sample at a place in the sequence of all epochs."""
        self._place = place
        self._draw_from(place)
        sample: dict[str, Any] = super().__getitem__(self._image_at(place))
        return sample

    def load_image(self, i: int, *args: Any, **options: Any) -> Any:
        """As the base class, with the thermal channel where there is to be one."""
        image, *sizes = super().load_image(i, *args, **options)
        if self._thermal and image.shape[2] == 3:
            image = with_thermal(image, self.im_files[i])
            if self.ims[i] is not None:
                # Kept in memory, for mosaics.
                self.ims[i] = image
        return image, *sizes

    def neighbours(self, count: int) -> list[int]:
        """Images of scenes at places a little before the present one."""
        furthest = min(_NEAR, len(self._scenes))
        return [self._image_at(self._place - random.randint(1, furthest)) for _ in range(count)]

    def _image_at(self, place: int) -> int:
        """Which image a place shows: a scene, each once an epoch, in a kind drawn at random."""
        epoch, position = divmod(place, len(self._scenes))
        # Before the first epoch there was one more.
        order = np.random.default_rng((self._seed, epoch + 1)).permutation(len(self._scenes))
        images = self._scenes[int(order[position])]
        kind = np.random.default_rng((self._seed, place + _NEAR, 1)).integers(len(images))
        return images[int(kind)]

    def _draw_from(self, place: int) -> None:
        """Have everything that ultralytics and OpenCV draw at random follow from a place."""
        seeds = np.random.SeedSequence((self._seed, place, 2)).generate_state(3)
        random.seed(int(seeds[0]))
        np.random.seed(seeds[1])  # noqa: NPY002 (ultralytics draws from it)
        cv2.setRNGSeed(int(seeds[2] >> 1))

    def build_transforms(self, hyp: Any = None) -> Compose:
        """Mosaic and crop, what cameras do at night, then ultralytics' tensors."""
        assert hyp is not None
        seen = [
            _Mosaic(self, imgsz=self.imgsz, p=hyp.mosaic),
            RandomPerspective(translate=hyp.translate, scale=hyp.scale, size=self._crop),
            *([self._paste] if self._paste else []),
            OfColours(RandomHSV(hyp.hsv_h, hyp.hsv_s, hyp.hsv_v), NightCamera(self._camera)),
            RandomFlip(direction="horizontal", p=hyp.fliplr),
        ]
        # ultralytics' last step makes the tensors.
        return Compose([*seen, super().build_transforms(hyp).transforms[-1]])


class _Mosaic(Mosaic):
    """Four scenes in one, of places near each other."""

    def get_indexes(self) -> list[int]:
        """The three others."""
        return list(self.dataset.neighbours(self.n - 1))


class SceneSampler(Sampler[int]):
    """Places of one epoch after the other, from any on."""

    def __init__(self, count: int) -> None:
        """count: scenes of an epoch."""
        self._count, self._next, self._skip = count, 0, 0

    def start_at(self, epoch: int, skip: int = 0) -> None:
        """Begin the next pass with an epoch, without its first samples."""
        self._next, self._skip = epoch, skip

    def __iter__(self) -> Iterator[int]:
        first, self._skip = self._skip, 0
        start = self._next * self._count
        self._next += 1
        return iter(range(start + first, start + self._count))

    def __len__(self) -> int:
        return self._count


class SceneLoader(InfiniteDataLoader):
    """Batches of a SceneDataset, from any place on."""

    def __init__(self, **options: Any) -> None:
        """options: as InfiniteDataLoader, with a SceneSampler."""
        super().__init__(**options)
        self._left_out = 0

    def start_at(self, epoch: int, batch: int = 0) -> None:
        """Go on with a batch of an epoch."""
        self.reset()
        self._left_out = batch
        self.sampler.start_at(epoch, batch * self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        """One epoch of batches, or what is left of it."""
        left, self._left_out = len(self) - self._left_out, 0
        yield from islice(super().__iter__(), left)


class NightCamera:
    """Gamma, inversion, loss of colour, blur and noise: night, fusion, cold on hot, cheap cameras."""

    def __init__(self, config: CameraConfig) -> None:
        self._config = config

    def __call__(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Change the image of a sample of ultralytics."""
        image, own = labels["img"], self._config
        if random.random() < own.inverted:
            image = 255 - image
        if random.random() < own.gamma:
            curve = 255 * np.linspace(0, 1, 256) ** random.uniform(own.lowest_gamma, own.highest_gamma)
            image = cv2.LUT(image, curve.astype(np.uint8))
        if random.random() < own.grey:
            image = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        if random.random() < own.blur:
            image = cv2.GaussianBlur(image, (0, 0), random.uniform(own.least_blur, own.most_blur))
        if random.random() < own.noise:
            noise = np.empty(image.shape, np.int16)
            cv2.randn(noise, np.zeros(3), np.full(3, random.uniform(own.least_noise, own.most_noise)))
            image = cv2.add(image, noise, dtype=cv2.CV_8U)
        labels["img"] = image
        return labels
