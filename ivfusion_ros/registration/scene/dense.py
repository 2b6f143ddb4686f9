"""A light dense residual for what one plane cannot align: parallax of near objects, lens distortion."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import cv2
import numpy as np

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.registration.scene.features import content_mask, orientation_features
from ivfusion_ros.registration.scene.motion import Voting
from ivfusion_ros.registration.scene.overlay import resized
from ivfusion_ros.registration.scene.score_volume import ScoreVolume, mean_volume, score_volume
from ivfusion_ros.types import Floats, Floats32, Image, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

Pixels = TypeVar("Pixels", Image, Floats32)


@dataclass(frozen=True)
class _Level:
    side_px: int
    reach: int
    cell_px: int
    window_px: float
    near_px: tuple[float, ...]
    smoothing_cells: float


_LEVELS = (
    _Level(160, 4, 4, 6.0, (3.0, 2.0, 1.4, 1.0), 4.0),
    _Level(320, 1, 8, 10.0, (1.5, 0.8), 1.0),
)
_MIN_SIDE_PX, _MAX_OBLONG = 8, 20
_NO_GAIN, _FULL_GAIN = 0.01, 0.02
"""Pairs without parallax gain up to .015, those with near objects .03 and more; between, it fades in."""
_PRIOR = 0.03
_SLACK = 0.03
_EVERY = 2


@dataclass(frozen=True, eq=False)
class Residual:
    """Where the aligned thermal image has to be sampled to fit the visible one still better.

    map_x, map_y: (H, W) float32, offsets in pixels: pixel (x, y) of the visible view shows the aligned
    thermal image at (x + map_x, y + map_y). All 0 where the gate refused.
    gain: mean rise of the similarity (of -1 to 1) over the textured places; a small one moves by less than
    what was found. kept: share of the view.
    """

    map_x: Floats32
    map_y: Floats32
    gain: float
    kept: float

    def shown_points(self, points: Floats) -> Floats:
        """Pixels (N, 2) of the visible view to those of the aligned image that are shown there."""
        height, width = self.map_x.shape
        columns, rows = np.clip(np.round(points), 0, (width - 1, height - 1)).astype(np.intp).T
        # The residual is smooth: the next pixel's is near enough.
        offsets = np.stack([self.map_x[rows, columns], self.map_y[rows, columns]], axis=1)
        return np.asarray(points + offsets, np.float64)

    def apply(self, aligned: Pixels) -> Pixels:
        """(H, W) or (H, W, 3) uint8 aligned image, or float32 values -> the same, moved by the residual.

        What it shows from outside of that image is continued from its border.
        """
        height, width = self.map_x.shape
        x, y = _grid(width, height)
        maps = cv2.convertMaps(x + self.map_x, y + self.map_y, cv2.CV_16SC2)
        moved = cv2.remap(aligned, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, aligned.dtype)


def dense_residual(aligned: Image, visible: Image) -> Residual:
    """The residual of an aligned thermal image and the visible luminance, both (H, W) uint8.

    Smooth, up to 5% of the longer side. It is kept only where it raises the similarity of the images,
    and not at all where it does not do so on the whole. Raises ImageError for unequal sizes and
    for images too small or too oblong.
    """
    return dense_residual_many([(aligned, visible)])


def dense_residual_many(pairs: Sequence[tuple[Image, Image]]) -> Residual:
    """One residual for all pairs (aligned, visible) of a fixed rig: of lens distortion, of the road.

    As dense_residual otherwise. Raises DataError where there are no pairs.
    """
    _check(pairs)
    height, width = pairs[0][1].shape
    small = list(pairs)
    steps: list[tuple[_Level, list[_Layers]]] = []
    for level in reversed(_LEVELS):
        factor = min(1.0, level.side_px / max(small[0][1].shape))
        small = [(resized(aligned, factor), resized(visible, factor)) for aligned, visible in small]
        steps.append((level, [_layers(*pair) for pair in small]))
    first, coarse = steps.pop()
    unmoved = _matched(coarse, None, first)
    flow = _refined(coarse, None, unmoved, first)
    for level, layers in reversed(steps):
        flow = _resized(flow, layers[0].size)
        flow = _refined(layers, flow, _matched(layers, flow, level), level)
    moved = _matched(coarse, _resized(flow, coarse[0].size), replace(first, reach=0))
    share, gain = _gate(unmoved, moved, flow.shape)
    strength = min(max((gain - _NO_GAIN) / (_FULL_GAIN - _NO_GAIN), 0.0), 1.0)
    flow *= share[:, :, None] * np.float32(strength * width / flow.shape[1])
    map_x, map_y = (
        np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        for part in cv2.split(flow)
    )
    kept = float((share > 0.5).mean()) if strength > 0 else 0.0
    return Residual(map_x, map_y, gain, kept)


def _check(pairs: Sequence[tuple[Image, Image]]) -> None:
    if not pairs:
        raise DataError("there are no image pairs to match, expected at least one")
    for image in (image for pair in pairs for image in pair):
        if image.ndim != 2 or image.dtype != np.uint8 or image.shape != pairs[0][0].shape:
            raise ImageError(
                f"an image is {image.dtype} {image.shape} and the first aligned thermal image "
                f"{pairs[0][0].shape}, expected uint8 (H, W) of one size"
            )
    height, width = pairs[0][0].shape
    if min(height, width) < max(_MIN_SIDE_PX, max(height, width) / _MAX_OBLONG):
        raise ImageError(
            f"the images are {width}x{height}, expected at least {_MIN_SIDE_PX}x{_MIN_SIDE_PX}, and "
            f"sides of at most {_MAX_OBLONG}:1, for a dense residual"
        )


@dataclass(frozen=True, eq=False)
class _Layers:
    """The visible image's features (4, h, w), the thermal image, and where it has content (h, w)."""

    visible: Floats32
    image: Image
    content: Floats32

    @property
    def size(self) -> Size:
        """(width, height)."""
        return int(self.content.shape[1]), int(self.content.shape[0])

    def scores(self, flow: Floats32 | None, reach: int, cell_px: int, window_px: float) -> ScoreVolume:
        """Scores around the visible image's places, with the thermal one moved by a flow (h, w, 2)."""
        image, seen = self.image, self.content
        if flow is not None:
            image, seen = _moved(image, seen, flow)
        moved = orientation_features(image, seen)
        return score_volume(self.visible * seen, moved, seen, reach, cell_px, window_px, _EVERY)


def _layers(aligned: Image, visible: Image) -> _Layers:
    content = np.asarray(
        cv2.erode(content_mask(aligned), np.ones((3, 3), np.uint8), borderValue=0), np.float32
    )
    return _Layers(orientation_features(visible), aligned, content)


def _matched(layers: list[_Layers], flow: Floats32 | None, level: _Level) -> ScoreVolume:
    """Scores of all frames around where a flow brings them."""
    matching = level.reach, level.cell_px, level.window_px
    return mean_volume([one.scores(flow, *matching) for one in layers])


def _refined(layers: list[_Layers], flow: Floats32 | None, volume: ScoreVolume, level: _Level) -> Floats32:
    """A better flow (h, w, 2) by what a volume says that is left after the one given."""
    voting, shape = Voting(volume), volume.cover.shape
    found = np.zeros((shape[0] * shape[1], 2))
    for near_px in level.near_px:
        wanted, trust = voting.near(found, near_px)
        found = _smoothed(wanted, trust, shape, level.smoothing_cells)
    cells = found.reshape(*shape, 2).astype(np.float32)
    width, height = layers[0].size
    whole = cv2.resize(cells, (shape[1] * level.cell_px, shape[0] * level.cell_px))
    margins = 0, height - whole.shape[0], 0, width - whole.shape[1]
    rest = cv2.copyMakeBorder(whole, *margins, cv2.BORDER_REPLICATE)
    return np.asarray(rest if flow is None else flow + rest, np.float32)


def _smoothed(wanted: Floats, trust: Floats, shape: tuple[int, ...], spread: float) -> Floats:
    """Trust-weighted mean of the neighbourhood, drawn to 0 where there is nothing to trust."""
    layers = np.concatenate([wanted * trust[:, None], trust[:, None]], axis=1, dtype=np.float32)
    layers = layers.reshape(*shape, 3)
    blurred = cv2.GaussianBlur(layers, (0, 0), spread, borderType=cv2.BORDER_REFLECT)
    weight = blurred[:, :, 2:] + _PRIOR * float(trust.mean()) + 1e-9
    return np.asarray((blurred[:, :, :2] / weight).reshape(-1, 2), np.float64)


def _resized(flow: Floats32, size: Size) -> Floats32:
    scale = np.float32(size[0] / flow.shape[1])
    return np.asarray(cv2.resize(flow, size, interpolation=cv2.INTER_LINEAR) * scale, np.float32)


def _moved(image: Image, content: Floats32, flow: Floats32) -> tuple[Image, Floats32]:
    """Both sampled at each pixel plus the flow (h, w, 2); content is 1 where all that is mixed has 1."""
    x, y = _grid(flow.shape[1], flow.shape[0])
    maps = cv2.convertMaps(x + flow[:, :, 0], y + flow[:, :, 1], cv2.CV_16SC2)
    moved = cv2.remap(image, *maps, cv2.INTER_LINEAR)
    # Mixed are the four pixels from a place rounded down, which is the map's whole numbers alone.
    of_four = cv2.erode(content, np.ones((2, 2), np.uint8), anchor=(0, 0), borderValue=0)
    seen = cv2.remap(of_four, maps[0], np.empty(0, np.uint16), cv2.INTER_NEAREST)
    return np.asarray(moved, np.uint8), np.asarray(seen, np.float32)


@lru_cache(maxsize=8)
def _grid(width: int, height: int) -> tuple[Floats32, Floats32]:
    """(h, w) each: x and y of the pixels, not to be changed."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return x, y


def _gate(unmoved: ScoreVolume, moved: ScoreVolume, shape: tuple[int, ...]) -> tuple[Floats32, float]:
    """Share (h, w) of a flow of that shape to keep, and the mean gain.

    Scores without and with the flow, of the first level, where this costs least and windows are narrow.
    """
    rise = moved.scores[0, 0] - unmoved.scores[unmoved.reach, unmoved.reach]
    textured = np.minimum(unmoved.cover, moved.cover)
    gain = float((rise * textured).sum() / max(float(textured.sum()), 1e-6))
    height, width = shape[:2]
    # A soft edge: a hard one would tear the image.
    share = cv2.GaussianBlur((rise > -_SLACK).astype(np.float32), (0, 0), 2.0)
    return np.asarray(cv2.resize(share, (width, height)), np.float32), gain
