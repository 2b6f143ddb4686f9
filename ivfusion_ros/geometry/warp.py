"""Warping of one camera's image into the other's geometry."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.geometry.accept import accept_correction
from ivfusion_ros.geometry.base_map import calibrated_map, uncalibrated_map
from ivfusion_ros.geometry.calibration import Calibration, Remap
from ivfusion_ros.geometry.correction import Corrector
from ivfusion_ros.geometry.depth import DepthMapper
from ivfusion_ros.geometry.maps import FixedMaps, fixed_point, look_up, magnification, plane_map
from ivfusion_ros.geometry.rig import Extrinsics, Rig
from ivfusion_ros.types import CameraInfo, CameraName, DepthImage, Floats, Floats32, Image, Size, Window

_MAX_VIEWS = 4
"""Pairs of image sizes whose maps are kept, some 20 MB each; cameras have one, and seldom change it."""


@dataclass
class _View:
    """What is computed once for a pair of image sizes."""

    rig: Rig | None
    remap: Remap
    """without correction"""
    magnification: float
    fixed: FixedMaps
    """with correction"""
    shown: tuple[Window | None, Image] | None = None
    """what it was last made for, and 255 where it has pixels"""
    offsets: Remap | None = None
    """what the correction adds"""
    corrector: Corrector | None = None
    depth_mapper: DepthMapper | None = None
    depth_maps: tuple[DepthImage, FixedMaps] | None = None
    """with correction, of the last depth image"""


@dataclass(frozen=True)
class PointMap:
    """The way of pixels from the reference image to the other camera's; the warp may go on to change."""

    remap: Remap
    correction: Floats | None
    rig: Rig | None
    reference: CameraName
    plane_distance_m: float

    def __call__(self, points: Floats, depths_m: Floats | None = None) -> Floats:
        """(N, 2) pixels of the reference image to the other camera's; NaN where it sees nothing.

        depths_m: (N,) metres, NaN for the plane's distance; needs a rig. Raises ConfigError.
        """
        if self.correction is not None:
            points = _through(np.asarray(np.linalg.inv(self.correction)), points)
        if depths_m is None:
            return look_up(self.remap, points)
        depths = np.where(np.isnan(depths_m), self.plane_distance_m, depths_m)
        return _needed(self.rig).other_pixels(points, depths, self.reference)


class Warp:
    """Brings the other camera's images into the reference camera's view by a calibration.

    reference: the camera whose view it is; the other one's images are warped. Without a calibration
    both cameras see the same, images are only scaled. Images of other sizes than the calibration's are
    taken as scaled as a whole, which needs the same aspect ratio (within 1%).
    """

    def __init__(
        self,
        calibration: Calibration | None,
        reference: CameraName = "rgb",
        plane_distance_m: float = 0.0,
    ) -> None:
        """plane_distance_m: for a calibration with a rig; 0 takes the calibration's. Raises ConfigError."""
        self.reference: CameraName = reference
        self._calibration = calibration
        self._rig_parts = None if calibration is None else calibration.rig
        self._infos: tuple[CameraInfo | None, CameraInfo | None] = (None, None)
        self._extrinsics: Extrinsics | None = None
        self._correction: Floats | None = None
        self._views: dict[tuple[Size, Size], _View] = {}
        self._plane_distance_m = 0.0
        self.set_plane_distance(plane_distance_m)

    @property
    def calibrated(self) -> bool:
        """Whether there is a calibration."""
        return self._calibration is not None

    def set_plane_distance(self, distance_m: float) -> None:
        """Register for a plane at another distance; 0: the calibration's. Raises ConfigError."""
        self.check_plane_distance(distance_m)
        rig = self._rig_parts
        distance_m = distance_m or (rig.plane_distance_m if rig else 0.0)
        if distance_m != self._plane_distance_m:
            self._plane_distance_m = distance_m
            self._views.clear()

    def check_plane_distance(self, distance_m: float) -> None:
        """Raise ConfigError for a distance that set_plane_distance would refuse."""
        if distance_m and self._rig_parts is None:
            raise ConfigError(
                f"registration.plane_distance_m is {distance_m:g}, but only a calibration with a rig has "
                "distances: set it to 0, or give a calibration file with a rig"
            )

    def set_camera_infos(self, thermal: CameraInfo | None, rgb: CameraInfo | None) -> None:
        """Intrinsics for what the calibration's rig leaves out; None keeps what was known."""
        infos = (thermal or self._infos[0], rgb or self._infos[1])
        if infos != self._infos:
            self._infos = infos
            if self._rig_parts is not None:
                self._views.clear()

    def set_extrinsics(self, rgb_from_thermal: Extrinsics | None) -> None:
        """Extrinsics, as from TF, instead of those of the calibration's rig; None: the rig's."""
        self._extrinsics = rgb_from_thermal
        self._views.clear()

    def set_correction(self, reference_from_warped: Floats | None) -> None:
        """A small homography after the calibration: where the warped image's pixels belong; None: none.

        3x3, in pixels of the reference image, as an online refinement finds it.
        """
        self._correction = reference_from_warped
        for view in self._views.values():
            self._correct(view)

    def accepted(self, correction: Floats, reference_size: Size) -> Calibration:
        """The calibration that gives alone what it gives with a correction as in set_correction.

        reference_size: of the images that the correction was found in. Raises ConfigError.
        """
        calibration = self._calibration
        if calibration is None:
            raise ConfigError(
                "there is no calibration to write what was learned into: give one with "
                "registration.calibration"
            )
        rig = None
        if self._rig_parts is not None:
            complete = self._rig_parts.complete(*self._infos, self._extrinsics)
            rig = complete.scaled(calibration.thermal_size, calibration.rgb_size)
        return accept_correction(
            calibration, correction, reference_size, self.reference, rig, self._plane_distance_m
        )

    def usual_size(self, other_size: Size) -> Size:
        """The reference image's size to assume while none was seen: the calibration's, else the other's."""
        if self._calibration is None:
            return other_size
        return self._calibration.rgb_size if self.reference == "rgb" else self._calibration.thermal_size

    def shown(
        self,
        other_size: Size,
        reference_size: Size,
        depth: DepthImage | None = None,
        window: Window | None = None,
    ) -> Image:
        """(H, W) uint8, 255 where a warped image has pixels; the same array until warp or window change.

        depth: as for the image. window: the part of the image that counts, None for all. Raises ConfigError
        as for the image.
        """
        view = self._view(other_size, reference_size)
        if depth is not None:
            return _shown(other_size, window, self._depth_maps(view, depth))
        if view.shown is None or view.shown[0] != window:
            view.shown = window, _shown(other_size, window, view.fixed)
        return view.shown[1]

    def __call__(self, image: Image, reference_size: Size, depth: DepthImage | None = None) -> Image:
        """(H, W) or (H, W, 3) uint8 of the other camera -> the same of reference_size; black where unseen.

        depth: (H, W) aligned with the reference camera, float32 metres or uint16 millimetres; the plane's
        distance where it is 0 or NaN. Nothing to do is nothing done: then the result is the input. Raises
        ImageError for another kind of image, ConfigError for an aspect ratio that the calibration does
        not have, for a depth image without a rig, and for a rig that lacks something.
        """
        if (
            image.dtype != np.uint8
            or image.size == 0
            or image.shape[2:] not in ((), (3,))
            or image.ndim < 2
        ):
            raise ImageError(
                f"image to be warped is {image.dtype} {image.shape}, expected uint8 (H, W) or (H, W, 3)"
            )
        size = (image.shape[1], image.shape[0])
        if depth is not None:
            maps = self._depth_maps(self._view(size, reference_size), depth)
        elif self._calibration is None and self._correction is None:
            if size == reference_size:
                return image
            return np.asarray(cv2.resize(image, reference_size, interpolation=cv2.INTER_LINEAR), np.uint8)
        else:
            maps = self._view(size, reference_size).fixed
        return np.asarray(cv2.remap(image, *maps, cv2.INTER_LINEAR), np.uint8)

    def values(self, values: Floats32, reference_size: Size, depth: DepthImage | None = None) -> Floats32:
        """(H, W) of the other camera -> the same of reference_size; what it does not see has its border's.

        Between values, never beyond them. depth and errors as for an image.
        """
        view = self._view((values.shape[1], values.shape[0]), reference_size)
        maps = view.fixed if depth is None else self._depth_maps(view, depth)
        moved = cv2.remap(values, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.float32)

    def point_map(self, other_size: Size, reference_size: Size) -> PointMap:
        """The way of pixels from the reference image to the other camera's, as it is now."""
        view = self._view(other_size, reference_size)
        return PointMap(view.remap, self._correction, view.rig, self.reference, self._plane_distance_m)

    def magnification(self, other_size: Size, reference_size: Size) -> float:
        """Pixels of the reference image along one of the other camera's. Raises ConfigError."""
        return self._view(other_size, reference_size).magnification

    def _view(self, other_size: Size, reference_size: Size) -> _View:
        key = (other_size, reference_size)
        if key in self._views:
            # The one that was asked for last goes last.
            self._views[key] = self._views.pop(key)
        else:
            rig = self._scaled_rig(*key)
            remap = self._plain_map(rig, *key)
            view = _View(rig, remap, magnification(remap, other_size), fixed_point(remap))
            self._correct(view)
            while len(self._views) >= _MAX_VIEWS:
                del self._views[next(iter(self._views))]
            self._views[key] = view
        return self._views[key]

    def _scaled_rig(self, other_size: Size, reference_size: Size) -> Rig | None:
        if self._rig_parts is None:
            return None
        rig = self._rig_parts.complete(*self._infos, self._extrinsics)
        if self.reference == "rgb":
            return rig.scaled(other_size, reference_size)
        return rig.scaled(reference_size, other_size)

    def _plain_map(self, rig: Rig | None, other_size: Size, size: Size) -> Remap:
        if rig is not None:
            return plane_map(rig, self._plane_distance_m, self.reference)
        if self._calibration is None:
            return uncalibrated_map(other_size, size)
        return calibrated_map(self._calibration, self.reference, other_size, size)

    def _depth_maps(self, view: _View, depth: DepthImage) -> FixedMaps:
        if view.depth_maps is not None and view.depth_maps[0] is depth:
            return view.depth_maps[1]
        if view.depth_mapper is None:
            view.depth_mapper = DepthMapper(_needed(view.rig), self.reference)
        remap = view.depth_mapper(depth, self._plane_distance_m)
        if view.offsets is not None:
            np.add(remap.map_x, view.offsets.map_x, out=remap.map_x)
            np.add(remap.map_y, view.offsets.map_y, out=remap.map_y)
        maps = cv2.convertMaps(remap.map_x, remap.map_y, cv2.CV_16SC2)
        view.depth_maps = depth, maps
        return maps

    def _correct(self, view: _View) -> None:
        """Bring a view's maps in line with the correction."""
        view.shown = view.depth_maps = None
        if self._correction is None:
            if view.offsets is not None:
                view.offsets, view.fixed = None, fixed_point(view.remap)
            return
        view.corrector = view.corrector or Corrector(view.remap)
        view.offsets = view.corrector(self._correction)
        view.fixed = fixed_point(_sum(view.remap, view.offsets))


def _shown(other_size: Size, window: Window | None, maps: FixedMaps) -> Image:
    left, top, right, bottom = window or (0, 0, *other_size)
    mask = np.zeros(other_size[::-1], np.uint8)
    mask[top:bottom, left:right] = 255
    return np.asarray(cv2.remap(mask, *maps, cv2.INTER_LINEAR), np.uint8)


def _needed(rig: Rig | None) -> Rig:
    if rig is None:
        raise ConfigError(
            "a depth image needs a calibration with a rig (intrinsics and extrinsics of both cameras); "
            "this one has none: leave the depth out, or calibrate with a target"
        )
    return rig


def _sum(remap: Remap, offsets: Remap) -> Remap:
    return Remap(remap.map_x + offsets.map_x, remap.map_y + offsets.map_y)


def _through(homography: Floats, points: Floats) -> Floats:
    rows = homography[:, :2] @ points.T + homography[:, 2:]
    return np.asarray((rows[:2] / rows[2]).T, np.float64)
