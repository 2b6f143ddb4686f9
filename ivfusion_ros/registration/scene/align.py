"""Alignment of a thermal and a visible camera from ordinary scenes, without a target."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import DataError, ImageError
from ivfusion_ros.registration.scene.coarse import coarse_alignments
from ivfusion_ros.registration.scene.common_view import common_view
from ivfusion_ros.registration.scene.motion import MotionModel, Voting, fit_motion, moved_points
from ivfusion_ros.registration.scene.overlay import Overlay, scaling
from ivfusion_ros.registration.scene.score_volume import ScoreVolume, mean_volume
from ivfusion_ros.types import Floats, Image

if TYPE_CHECKING:
    from collections.abc import Sequence

ImagePair = tuple[Image, Image]
"""(H, W) uint8 thermal and (H2, W2) uint8 luminance of the visible image, taken at the same moment."""


@dataclass(frozen=True)
class _Level:
    side_px: int
    reach: int
    cell_px: int
    window_px: float
    near_px: tuple[float, float]


_FIRST = _Level(160, 6, 4, 6.0, (4.0, 1.2))
_LEVELS = (_Level(320, 5, 8, 12.0, (3.0, 1.0)), _Level(640, 4, 10, 16.0, (2.0, 0.8)))
_PLACES = _Level(640, 10, 10, 10.0, (0.8, 0.8))
_CHECK = _Level(320, 6, 8, 12.0, (3.0, 1.0))
_CANDIDATES, _FINISHED = 4, 3
_RIVAL_SCORE = 0.75
"""Of the best score at the first level: what reaches less is no rival."""
_ELSEWHERE = 0.03
"""Of the image's width: places further apart are two."""
_COARSE_FRAMES = 6
_AGREEING_PX, _SPLIT_PX = 2.0, 4.0
_TRUSTED = 0.5


@dataclass(frozen=True, eq=False)
class Alignment:
    """Where thermal pixels lie in the visible image, and how sure that is.

    rgb_from_thermal: 3x3 float64, maps thermal pixels (x, y, 1) to visible ones; integers are centres.
    confidence: in [0, 1], less where the images fit elsewhere nearly as well; trusted: whether it is worth
    using (0.5 or more).
    agreement: share of the textured places, weighted by their texture, that find the same position by
    themselves, within 2 px of a 320 px wide image; 0.07 by chance.
    split_px: how far alignments of separate halves of the image (and of the frames, where there are
    several) are apart, mean over the image, visible pixels.
    frames: how many pairs it was made from.
    """

    rgb_from_thermal: Floats
    confidence: float
    agreement: float
    split_px: float
    frames: int

    @property
    def trusted(self) -> bool:
        """Whether the alignment is worth using."""
        return self.confidence >= _TRUSTED


def align(
    thermal: Image,
    visible: Image,
    initial: Floats | None = None,
    model: Literal["affine", "homography"] = "homography",
) -> Alignment:
    """Align one pair; see align_many."""
    return align_many([(thermal, visible)], initial, model)


def align_many(
    pairs: Sequence[ImagePair],
    initial: Floats | None = None,
    model: Literal["affine", "homography"] = "homography",
) -> Alignment:
    """One alignment of a fixed rig from several pairs, the more various the scenes the better.

    initial: 3x3 rgb_from_thermal to start from; None takes both views as centred and equally wide.
    Found are scales of 0.8 to 1.25 around it, rotations up to 8 degrees, and shifts up to 15% of the
    image's width, or of the thermal image's where that is much narrower. Raises ImageError for wrong or
    unequal sizes, DataError for no pairs and for images without any edges; scenes with too few of them give
    an Alignment that is not trusted.
    """
    _check(pairs)
    start = _centred(*pairs[0]) if initial is None else np.asarray(initial, np.float64)
    pairs, whole_from_cut = common_view(pairs, start)
    start = np.asarray(np.linalg.inv(whole_from_cut) @ start, np.float64)
    few = list(pairs)[:: -(-len(pairs) // _COARSE_FRAMES)]
    overlays = [Overlay(*pair, _FIRST.side_px) for pair in pairs]
    tried: list[tuple[float, Floats]] = []
    for candidate in coarse_alignments(few, start, _CANDIDATES):
        for _ in range(2):
            candidate, score = _improve(overlays, candidate, _FIRST, "affine")
        tried.append((score, candidate))
    places = _places_apart(tried, pairs[0])
    judged = surest([(share, _finished(pairs, way, model)) for share, way in places], pairs[0])
    return replace(judged, rgb_from_thermal=whole_from_cut @ judged.rgb_from_thermal)


def align_from(
    pairs: Sequence[ImagePair], start: Floats, model: Literal["affine", "homography"] = "homography"
) -> Alignment:
    """As align_many, but from a place that is known to 3% of the width, which is brought to its best.

    Nothing else is looked for, so that the confidence knows of no rival; see surest.
    """
    _check(pairs)
    pairs, whole_from_cut = common_view(pairs, start)
    way = np.asarray(np.linalg.inv(whole_from_cut) @ start, np.float64)
    overlays = [Overlay(*pair, _FIRST.side_px) for pair in pairs]
    for _ in range(2):
        way, _ = _improve(overlays, way, _FIRST, "affine")
    judged = _finished(pairs, way, model)
    return replace(judged, rgb_from_thermal=whole_from_cut @ judged.rgb_from_thermal)


def _finished(pairs: Sequence[ImagePair], candidate: Floats, model: MotionModel) -> Alignment:
    """A candidate of the first level, brought to the finest one and judged."""
    for level in _LEVELS:
        if level.side_px > _FIRST.side_px and _resolved(*pairs[0], level.side_px):
            overlays = [Overlay(*pair, level.side_px) for pair in pairs]
            candidate, _ = _improve(overlays, candidate, level, "affine")
            candidate, _ = _improve(overlays, candidate, level, model)
    return _judge(pairs, candidate / candidate[2, 2])


def _places_apart(tried: list[tuple[float, Floats]], pair: ImagePair) -> list[tuple[float, Floats]]:
    """The best by score, and what rivals it elsewhere, with their scores as shares of it; best first."""
    ranked = sorted(tried, key=lambda one: -one[0])
    best_score = ranked[0][0]
    kept = [(1.0, ranked[0][1])]
    for score, way in ranked[1:]:
        apart = all(far_apart(way, other, pair) for _, other in kept)
        if apart and score > _RIVAL_SCORE * best_score > 0 and len(kept) < _FINISHED:
            kept.append((score / best_score, way))
    return kept


def surest(found: Sequence[tuple[float, Alignment]], pair: ImagePair) -> Alignment:
    """Of alignments, each with what it counts, 0 to 1: the surest, less so where another is as sure."""
    claims = [one.confidence * share for share, one in found]
    chosen = int(np.argmax(claims))
    best, sure = found[chosen][1], claims[chosen]
    rivals = [
        claim
        for claim, (_, one) in zip(claims, found, strict=True)
        if far_apart(one.rgb_from_thermal, best.rgb_from_thermal, pair)
    ]
    # To the fourth power: a rival counts where it is nearly as sure.
    doubt = (max(rivals, default=0.0) / max(sure, 1e-9)) ** 4
    return replace(best, confidence=sure * (1 - min(doubt, 1.0)))


def far_apart(one: Floats, other: Floats, pair: ImagePair) -> bool:
    """Whether two 3x3 rgb_from_thermal are two places: their corners 3% of the width apart in the mean."""
    thermal, visible = pair
    right, bottom = thermal.shape[1] - 1.0, thermal.shape[0] - 1.0
    corners = np.array([[0.0, 0.0], [right, 0.0], [0.0, bottom], [right, bottom]])
    way = moved_points(one, corners) - moved_points(other, corners)
    return bool(np.hypot(*way.T).mean() > _ELSEWHERE * visible.shape[1])


@dataclass(frozen=True, eq=False)
class Matches:
    """Places of an aligned rig that both cameras see, each found on its own, at whatever distance.

    thermal, rgb: (N, 2) float64 pixels. weights: (N,), how far to trust them. frames: (N,), index of the
    pair. factor: size of a pixel of the visible image in pixels of the one that was compared.
    """

    thermal: Floats
    rgb: Floats
    weights: Floats
    frames: npt.NDArray[np.intp]
    factor: float


def match_places(pairs: Sequence[ImagePair], rgb_from_thermal: Floats) -> Matches:
    """What lies within 10 px (of a 640 px wide image) of an alignment of a fixed rig.

    Raises as align_many does.
    """
    _check(pairs)
    pairs, whole_from_cut = common_view(pairs, rgb_from_thermal)
    rgb_from_thermal = np.asarray(np.linalg.inv(whole_from_cut) @ rgb_from_thermal, np.float64)
    sides = [level.side_px for level in (_FIRST, *_LEVELS) if _resolved(*pairs[0], level.side_px)]
    side_px = max(sides, default=_FIRST.side_px)
    found = [_places(Overlay(*pair, side_px), rgb_from_thermal) for pair in pairs]
    thermal, rgb, weights = (np.concatenate(part) for part in zip(*found, strict=True))
    rgb = moved_points(whole_from_cut, rgb)
    frames = np.repeat(np.arange(len(found)), [len(one[2]) for one in found])
    return Matches(thermal, rgb, weights, frames, min(1.0, side_px / max(pairs[0][1].shape)))


def _places(overlay: Overlay, rgb_from_thermal: Floats) -> tuple[Floats, Floats, Floats]:
    """Thermal and visible pixels of one pair's cells that tell something, and their weights."""
    (volume,) = _compare([overlay], rgb_from_thermal, _PLACES)
    shifts, _, _ = volume.best_shifts()
    wanted, trust = Voting(volume).near(shifts, _PLACES.near_px[0])
    # A peak at the border of the search may go on outside.
    told = (np.abs(shifts) < volume.reach).all(axis=1) & (trust > 0)
    centres = volume.centres()[told]
    to_full = scaling(1 / overlay.factor)
    visible = moved_points(to_full, centres + wanted[told])
    thermal_from_rgb = np.asarray(np.linalg.inv(rgb_from_thermal), np.float64)
    return moved_points(thermal_from_rgb @ to_full, centres), visible, trust[told]


def _improve(
    overlays: list[Overlay], rgb_from_thermal: Floats, level: _Level, model: MotionModel
) -> tuple[Floats, float]:
    """A better alignment, and its mean score over the places that have content."""
    volume = mean_volume(_compare(overlays, rgb_from_thermal, level))
    motion = fit_motion(volume, model, *level.near_px)
    centres, cover = volume.centres(), volume.cover.ravel()
    shifts = moved_points(motion, centres) - centres
    known = cover * (np.abs(shifts) <= volume.reach).all(axis=1)
    score = float((volume.at(shifts) * known).sum() / max(float(cover.sum()), 1e-6))
    to_small = scaling(overlays[0].factor)
    return np.linalg.inv(to_small) @ motion @ to_small @ rgb_from_thermal, score


def _compare(overlays: list[Overlay], rgb_from_thermal: Floats, level: _Level) -> list[ScoreVolume]:
    cell = max(2, min(level.cell_px, min(overlays[0].size) // 8))
    return [one.compare(rgb_from_thermal, level.reach, cell, level.window_px) for one in overlays]


def _judge(pairs: Sequence[ImagePair], rgb_from_thermal: Floats) -> Alignment:
    overlays = [Overlay(*pair, _CHECK.side_px) for pair in pairs]
    volumes = _compare(overlays, rgb_from_thermal, _CHECK)
    volume = mean_volume(volumes)
    shifts, _, _ = volume.best_shifts()
    weights = volume.weights()
    near = np.hypot(*shifts.T) <= _AGREEING_PX
    agreement = float((weights * near).sum() / max(float(weights.sum()), 1e-9))
    halves = [_tiles(volume)]
    if len(volumes) > 1:
        middle = len(volumes) // 2
        halves.append((mean_volume(volumes[:middle]), mean_volume(volumes[middle:])))
    split = max(_distance(*pair) for pair in halves) / overlays[0].factor
    # Unrelated scenes, aligned as well as chance allows, agree by up to 0.4.
    agreeing = np.clip((agreement - 0.25) / 0.4, 0, 1)
    sure = agreeing * np.exp(-((split * overlays[0].factor / _SPLIT_PX) ** 2))
    return Alignment(rgb_from_thermal, float(sure), agreement, split, len(pairs))


def _tiles(volume: ScoreVolume) -> tuple[ScoreVolume, ScoreVolume]:
    """The volume's cells on the black and on the white fields of a 4 x 4 checkerboard."""
    rows, columns = np.indices(volume.cover.shape)
    height, width = volume.cover.shape
    white = ((rows * 4 // height + columns * 4 // width) % 2).astype(np.float32)
    white_part = ScoreVolume(volume.scores, volume.cover * white, volume.cell_px)
    return ScoreVolume(volume.scores, volume.cover * (1 - white), volume.cell_px), white_part


def _distance(one: ScoreVolume, other: ScoreVolume) -> float:
    """Mean distance of the affine motions that two volumes give, pixels."""
    centres = one.centres()
    first, second = (
        moved_points(fit_motion(volume, "affine", *_CHECK.near_px), centres) for volume in (one, other)
    )
    return float(np.hypot(*(first - second).T).mean())


def _centred(thermal: Image, visible: Image) -> Floats:
    """Both views centred on the same point and equally wide."""
    scale = visible.shape[1] / thermal.shape[1]
    down, across = (np.array(visible.shape) - 1) / 2 - scale * (np.array(thermal.shape) - 1) / 2
    return np.array([[scale, 0, across], [0, scale, down], [0, 0, 1]])


def _resolved(thermal: Image, visible: Image, side_px: int) -> bool:
    """Whether both cameras have about the detail of a level."""
    return bool(min(max(thermal.shape), max(visible.shape)) * 1.5 > side_px)


def _check(pairs: Sequence[ImagePair]) -> None:
    if not pairs:
        raise DataError("there are no image pairs to align, expected at least one")
    for pair in pairs:
        for name, image, first in zip(("thermal", "visible"), pair, pairs[0], strict=True):
            if image.ndim != 2 or image.dtype != np.uint8 or min(image.shape) < 64:
                raise ImageError(
                    f"{name} image is {image.dtype} {image.shape}, expected uint8 (H, W) of at least 64x64"
                )
            if image.shape != first.shape:
                raise ImageError(f"{name} images are {first.shape} and {image.shape}, expected equal sizes")
    if not any(float(thermal.std()) > 0 and float(visible.std()) > 0 for thermal, visible in pairs):
        raise DataError(
            "the images are of one grey level each, expected a scene with edges: check lens caps, shutter "
            "and thermal scaling"
        )
