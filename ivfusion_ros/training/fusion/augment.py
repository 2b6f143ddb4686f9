"""What is done to a pair at random before the network sees it; see AugmentConfig."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.training.fusion.config import AugmentConfig

Planes = npt.NDArray[np.uint8]
"""(N, H, W): thermal, visible, labels; then a teacher's image, thermal and visible of the next frame."""

_LABELS, _TEACHER, _NEXT = 2, 3, (4, 5)
_SEEN = (0, 1, *_NEXT)
_BEST_QUALITY = 95
_LARGEST_HOT = 0.4
"""Half of a hot object's sides at most, as a share of the crop's."""
_LEAST_HEAT = 200


@dataclass(frozen=True)
class Sample:
    """One crop; see Patches for its parts."""

    images: Planes
    seen: Planes | None
    means: npt.NDArray[np.float32]


def augment(
    planes: Planes,
    means: npt.NDArray[np.float32],
    wanted: Sequence[int],
    sides: tuple[int, int],
    config: AugmentConfig,
    random: np.random.Generator,
) -> Sample:
    """A crop of at most the `wanted` (height, width), changed at random.

    sides: what its sides are multiples of, and at least, which the planes have.
    """
    images = _turned(_window(planes, wanted, sides, config, random), config, random)
    if config.repaints:
        images, means = _repainted(images, means, config, random)
    if config.hot and random.random() < config.hot:
        images = _with_hot_object(images, random)
    if not _degrades(config):
        return Sample(np.ascontiguousarray(images), None, means)
    images = np.array(images)
    seen = images[[index for index in _SEEN if index < len(images)]]
    for source in (0, 1):
        seen[source::2] = _degraded(seen[source::2], config, random)
    if random.random() < config.border:
        missing = _missing(images.shape[1:], config, random)
        seen[0::2][:, missing] = 0
        _without_thermal(images, missing)
    return Sample(images, seen, means)


def _window(
    planes: Planes,
    wanted: Sequence[int],
    sides: tuple[int, int],
    config: AugmentConfig,
    random: np.random.Generator,
) -> Planes:
    """Part of the planes, zoomed at random; a zoom that leaves too little of the image is less."""
    shape, (unit, least) = planes.shape[1:], sides
    scale = random.uniform(config.smallest_scale, config.largest_scale)
    scale = max(scale, least / min(shape))
    size = [
        min(side, int(length * scale + 1e-6)) // unit * unit
        for side, length in zip(wanted, shape, strict=True)
    ]
    window = [min(length, round(out / scale)) for out, length in zip(size, shape, strict=True)]
    top, left = (
        int(random.integers(length - side + 1)) for side, length in zip(window, shape, strict=True)
    )
    cut = planes[:, top : top + window[0], left : left + window[1]]
    return cut if list(cut.shape[1:]) == size else _resized(cut, (size[0], size[1]))


def _resized(planes: Planes, size: tuple[int, int]) -> Planes:
    smaller = size[0] < planes.shape[1]
    result = np.empty((len(planes), *size), np.uint8)
    for index, plane in enumerate(planes):
        method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        method = cv2.INTER_NEAREST if index == _LABELS else method
        result[index] = cv2.resize(plane, size[::-1], interpolation=method)
    return result


def _turned(planes: Planes, config: AugmentConfig, random: np.random.Generator) -> Planes:
    turns, mirrored = int(random.integers(4)), bool(random.integers(2))
    if config.rotate:
        planes = np.rot90(planes, turns, (1, 2))
    return planes[:, :, ::-1] if config.flip and mirrored else planes


def _repainted(
    planes: Planes, means: npt.NDArray[np.float32], config: AugmentConfig, random: np.random.Generator
) -> tuple[Planes, npt.NDArray[np.float32]]:
    """Both sources with another brightness and contrast, thermal perhaps inverted, and their new means."""
    planes, means = np.array(planes), means.copy()
    inverted = random.random() < config.polarity
    for source in (0, 1):
        gain = random.uniform(1 - config.gain, 1 + config.gain)
        mean, target = 255 * means[source], 255 * means[source] + random.uniform(-1, 1) * config.offset
        if source == 0 and inverted:
            gain, target = -gain, 255 - target
        table = (np.arange(256) - mean) * gain + target
        planes[source] = np.clip(np.rint(table), 0, 255).astype(np.uint8)[planes[source]]
        means[source] = np.clip(target / 255, 0, 1)
    return planes, means


def _with_hot_object(planes: Planes, random: np.random.Generator) -> Planes:
    """A hot ellipse or box in thermal; the image's mean stays, so that nothing else is to change for it."""
    planes, shape = np.array(planes), planes.shape[1:]
    centre = [int(random.integers(length)) for length in shape[::-1]]
    axes = [max(2, int(random.uniform(0.1, _LARGEST_HOT) * length)) for length in shape[::-1]]
    heat = int(random.integers(_LEAST_HEAT, 256))
    drawn = np.ascontiguousarray(planes[0])
    if random.random() < 0.5:
        cv2.ellipse(drawn, centre, axes, 0, 0, 360, heat, cv2.FILLED)
    else:
        (x, y), (half_width, half_height) = centre, axes
        drawn[max(0, y - half_height) : y + half_height, max(0, x - half_width) : x + half_width] = heat
    planes[0] = drawn
    return planes


def _degrades(config: AugmentConfig) -> bool:
    return max(config.blur, config.noise, config.coarse, config.jpeg, config.border) > 0


def _degraded(images: Planes, config: AugmentConfig, random: np.random.Generator) -> Planes:
    """One source's image, and its next one where there is one, as a worse camera of one kind gives them."""
    blur, noise = random.uniform(0, config.blur), random.uniform(0, config.noise)
    levels = int(random.integers(config.fewest_levels, 257)) if random.random() < config.coarse else 256
    quality = int(random.integers(config.lowest_quality, _BEST_QUALITY + 1))
    compressed = random.random() < config.jpeg
    result = np.empty_like(images)
    for index, image in enumerate(images):
        changed = image.astype(np.float32)
        if blur > 0:
            changed = cv2.GaussianBlur(changed, (0, 0), max(blur, 1e-3))
        if noise > 0:
            changed = changed + random.normal(0, noise, image.shape).astype(np.float32)
        step = 255 / (levels - 1)
        coarse = np.clip(np.rint(np.rint(changed / step) * step), 0, 255).astype(np.uint8)
        result[index] = _through_jpeg(coarse, quality) if compressed else coarse
    return result


def _through_jpeg(image: npt.NDArray[np.uint8], quality: int) -> npt.NDArray[np.uint8]:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def _missing(
    shape: Sequence[int], config: AugmentConfig, random: np.random.Generator
) -> npt.NDArray[np.bool_]:
    """Where thermal sees nothing: a band along one side, (h, w)."""
    axis, first = int(random.integers(2)), bool(random.integers(2))
    width = int(random.uniform(0, config.border_width) * shape[axis])
    place = np.arange(shape[axis])
    band = place < width if first else place >= shape[axis] - width
    return np.broadcast_to(band[:, None] if axis == 0 else band, (shape[0], shape[1]))


def _without_thermal(images: Planes, missing: npt.NDArray[np.bool_]) -> None:
    """Make the visible image the only source there: what any loss then asks for is the visible image."""
    images[0][missing] = images[1][missing]
    images[_LABELS][missing] = 255
    if len(images) > _TEACHER:
        images[_TEACHER][missing] = images[1][missing]
        images[_NEXT[0]][missing] = images[_NEXT[1]][missing]
