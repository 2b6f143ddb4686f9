"""A rig from ordinary scenes, with the lenses that the cameras publish."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.calibrate.choices import MatcherAnswer
from ivfusion_ros.calibrate.matcher import Matcher, align_by
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import Calibration, Remap
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.maps import fixed_point, pinhole_map, pixel_grid, plane_map
from ivfusion_ros.geometry.rig import Extrinsics, Rig, RigParts
from ivfusion_ros.registration.scene.align import Alignment, ImagePair, Matches, match_places
from ivfusion_ros.registration.scene.two_views import Sightings, TwoViews, fit_two_views, nearest_rotation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ivfusion_ros.types import Floats, Frame, FramePair, Image, Mask

_MAX_ACROSS_PX = 1.0
"""Of the compared image, at most 640 px wide: true lenses leave 0.2 to 0.3, a focal length 10% off 0.5."""
_MAX_SPLIT_PX = 6.0
_GRID = 24


@dataclass(frozen=True, eq=False)
class Lenses:
    """Both cameras, for images of the sizes that are calibrated."""

    thermal: CameraModel
    rgb: CameraModel

    @property
    def rgb_from_thermal(self) -> Floats:
        """3x3 between the images without distortion, for cameras that look the same way."""
        return np.asarray(self.rgb.matrix @ np.linalg.inv(self.thermal.matrix), np.float64)


@dataclass(frozen=True, eq=False)
class SceneRig:
    """How the cameras stand to each other, but for the length of the baseline.

    alignment: of the images without distortion, from which it was found. split_px: how far rigs of separate
    halves of the frames (of the image, where there is only one) are apart, each at its median distance,
    mean over what both cameras see, RGB pixels. answer: the matcher's.
    """

    lenses: Lenses
    views: TwoViews
    alignment: Alignment
    split_px: float
    answer: MatcherAnswer = "not asked"

    @property
    def doubt(self) -> str | None:
        """Why it should not be used, None where it can."""
        if not self.alignment.trusted:
            confidence = self.alignment.confidence
            return f"the images without distortion agree too little, confidence {confidence:.2f}"
        across_px = self.views.across_px
        if across_px > _MAX_ACROSS_PX:
            return (
                "the lenses of camera_info do not fit the images: what both cameras see lies "
                f"{across_px:.1f} px off its epipolar line, expected {_MAX_ACROSS_PX:g} or less"
            )
        if self.split_px > _MAX_SPLIT_PX:
            return (
                f"halves of the images give rigs that are {self.split_px:.1f} px apart, expected "
                f"{_MAX_SPLIT_PX:g} or less"
            )
        return None

    def calibration(self, baseline_m: float | None) -> Calibration:
        """A rig in metres; without baseline_m a map for the median distance, the only one that is known."""
        thermal, rgb = self.lenses.thermal, self.lenses.rgb
        length = 1.0 if baseline_m is None else baseline_m
        extrinsics = Extrinsics(self.views.rotation, self.views.direction * length)
        distance = self.views.distance * length
        if baseline_m is not None:
            return Calibration(thermal.size, rgb.size, rig=RigParts(thermal, rgb, extrinsics, distance))
        remap = plane_map(Rig(thermal, rgb, extrinsics), distance, "rgb")
        planes = (np.nan_to_num(plane, nan=-1.0) for plane in (remap.map_x, remap.map_y))
        return Calibration(thermal.size, rgb.size, remap=Remap(*planes))


def published_lenses(pair: FramePair) -> Lenses | None:
    """Of the camera_info of both frames, None where one lacks it or has no calibration."""
    thermal, rgb = _lens("thermal", pair.thermal), _lens("RGB", pair.rgb)
    return None if thermal is None or rgb is None else Lenses(thermal, rgb)


def fit_scene_rig(images: Sequence[ImagePair], lenses: Lenses, matcher: Matcher | None = None) -> SceneRig:
    """From thermal images and luminances as the cameras sent them; matcher: as in align_by.

    Raises ImageError for wrong sizes, DataError where there is too little that both cameras see.
    """
    thermal_maps, rgb_maps = (fixed_point(pinhole_map(lens)) for lens in (lenses.thermal, lenses.rgb))
    plain = [
        (_remapped(thermal, thermal_maps), _remapped(visible, rgb_maps)) for thermal, visible in images
    ]
    alignment, answer = align_by(plain, lenses.rgb_from_thermal, "homography", matcher)
    matches = match_places(plain, alignment.rgb_from_thermal)
    sightings = Sightings(
        _pinhole_slopes(matches.thermal, lenses.thermal),
        _pinhole_slopes(matches.rgb, lenses.rgb),
        matches.weights,
    )
    start = nearest_rotation(
        np.linalg.inv(lenses.rgb.matrix) @ alignment.rgb_from_thermal @ lenses.thermal.matrix
    )
    focal_px = float(lenses.rgb.matrix[0, 0]) * matches.factor
    views = fit_two_views(sightings, start, focal_px)
    halves = [fit_two_views(sightings.part(half), start, focal_px) for half in _halves(matches, lenses)]
    one, other, both = (_shown_rgb(lenses, fit) for fit in (*halves, views))
    # What only one camera sees is extrapolated, and most of the image where their fields differ.
    common = np.all((both >= 0) & (both < lenses.rgb.size), axis=1)
    split_px = float(np.nanmean(np.hypot(*(one - other)[common].T)))
    return SceneRig(lenses, views, alignment, split_px, answer)


def _lens(name: str, frame: Frame) -> CameraModel | None:
    if frame.camera_info is None:
        return None
    try:
        return CameraModel.from_camera_info(frame.camera_info).scaled(name, frame.size)
    except ConfigError:
        return None


def _remapped(image: Image, maps: tuple[npt.NDArray[np.int16], npt.NDArray[np.uint16]]) -> Image:
    return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)


def _pinhole_slopes(pixels: Floats, lens: CameraModel) -> Floats:
    inverse = np.linalg.inv(lens.matrix)
    return np.asarray(pixels @ inverse[:2, :2].T + inverse[:2, 2], np.float64)


def _halves(matches: Matches, lenses: Lenses) -> Iterator[Mask]:
    """Masks (N,) of earlier and later frames, or of the fields of a checkerboard on a single one."""
    count = int(matches.frames.max(initial=0)) + 1
    if count > 1:
        first = matches.frames < count // 2
    else:
        column, row = np.floor(4 * matches.rgb / lenses.rgb.size).T
        first = (column + row) % 2 == 0
    yield first
    yield ~first


def _shown_rgb(lenses: Lenses, views: TwoViews) -> Floats:
    """RGB pixels (N, 2) of a grid of thermal pixels."""
    width, height = lenses.thermal.size
    grid = pixel_grid((_GRID, _GRID)) / (_GRID - 1) * (width - 1, height - 1)
    rig = Rig(lenses.thermal, lenses.rgb, Extrinsics(views.rotation, views.direction))
    return rig.other_pixels(grid, views.distance, "thermal")
