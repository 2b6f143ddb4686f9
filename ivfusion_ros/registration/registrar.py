"""Registrar: the images of a pair -> both in the reference camera's view, and the way back."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import cv2
import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.calibration import read_calibration
from ivfusion_ros.geometry.rig import Extrinsics
from ivfusion_ros.geometry.warp import PointMap, Warp
from ivfusion_ros.registration.coverage import SHOWN_ABOVE, Coverage, coverage_of
from ivfusion_ros.registration.luminance import luminance
from ivfusion_ros.registration.online.refine import OnlineRefinement
from ivfusion_ros.registration.pixel_size import pixel_scale, scaled_image, scaled_size, scaled_window
from ivfusion_ros.registration.scene.dense import Residual, dense_residual
from ivfusion_ros.types import OTHER_CAMERA, CameraName, Floats32, Image, RegistrationReport

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    from ivfusion_ros.config.pipeline import RegistrationConfig
    from ivfusion_ros.geometry.calibration import Calibration
    from ivfusion_ros.registration.online.leap import Matching
    from ivfusion_ros.types import DepthImage, Floats, Frame, FramePair, Size, Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class NativePoints:
    """From pixels of a warped image to those of the camera's own, by the way that the warp went."""

    point_map: PointMap
    residual: Residual | None = None

    def __call__(self, points: Floats, depths_m: Floats | None = None) -> Floats:
        """(N, 2) pixels -> (N, 2), NaN where it sees nothing; depths_m and errors as in PointMap."""
        if self.residual is not None:
            points = self.residual.shown_points(points)
        return self.point_map(points, depths_m)


@dataclass(frozen=True, eq=False)
class Registered:
    """Both images of a pair in the reference camera's view.

    thermal: (H, W) uint8. rgb: (H, W, 3) uint8. The one that was warped is black where its camera sees
    nothing. native_points: from their pixels to the own ones of that camera. coverage: what it sees, None
    for all of the view. measured: as Registrar.measured gives it, None where no values were given.
    thermal_pixel: its side in pixels of the view, 1 where the view is the thermal camera's.
    """

    thermal: Image
    rgb: Image
    native_points: Mapping[CameraName, NativePoints]
    report: RegistrationReport
    coverage: Coverage | None = None
    measured: Floats32 | None = None
    thermal_pixel: float = 1.0

    def filled(self) -> tuple[Image, Image]:
        """Thermal and RGB as a network should see them: what is unseen is no black, see Coverage."""
        if self.coverage is None:
            return self.thermal, self.rgb
        if "thermal" in self.native_points:
            return self.coverage.filled(self.thermal), self.rgb
        return self.thermal, self.coverage.filled(self.rgb)


class Registrar:
    """Brings the images of one rig into the reference camera's view. Not for several threads.

    Three things move them, one on top of the other: the warp by the calibration or a depth image; a
    correction that is learned from one pair for the next ones (refinement); a displacement of this very
    pair (dense residual).
    """

    def __init__(
        self,
        warp: Warp,
        refinement: OnlineRefinement | None = None,
        *,
        dense_residual: bool = False,
        upsampling: str,
    ) -> None:
        """refinement: None learns no correction. dense_residual: whether each pair is displaced.

        upsampling: as in RegistrationConfig.
        """
        self.warp = warp
        self._upsampling = upsampling
        self._refinement = refinement
        self._dense_residual = dense_residual
        self._reference_size: Size = (0, 0)
        """of the images that the correction was learned from"""
        self._coverage_of: tuple[Image | None, Coverage | None] = None, None
        """the mask that it was last asked for, and the answer"""

    @property
    def reference(self) -> CameraName:
        """The camera whose view it is."""
        return self.warp.reference

    @property
    def calibrated(self) -> bool:
        """Whether a calibration says where pixels belong; else images are only scaled."""
        return self.warp.calibrated

    def __call__(
        self,
        pair: FramePair,
        thermal: Image,
        rgb: Image,
        *,
        sound: bool,
        stage: Callable[[str], None],
        window: Window | None = None,
        values: Floats32 | None = None,
    ) -> Registered:
        """Register a pair, and learn from it for the next ones.

        thermal, rgb: its images in 8 bit, (H, W) and (H, W, 3). sound: False for a camera with a fault:
        then nothing is learned and no residual sought. stage: called with the name of each step at its end.
        window: the part of the thermal image that counts as seen where that is the one that is warped, None
        for all. values: what the thermal camera measured, None to leave that out. Raises ImageError and
        ConfigError as Warp does.
        """
        self.warp.set_camera_infos(pair.thermal.camera_info, pair.rgb.camera_info)
        images: dict[CameraName, Image] = {"thermal": thermal, "rgb": rgb}
        camera, own = OTHER_CAMERA[self.reference], pair.frames[self.reference]
        native, reference = pair.frames[camera].size, images[self.reference]
        scale = self._scale(native, own.size)
        warped = self.warp(scaled_image(images[camera], scale), own.size, pair.depth)
        counts = scaled_window(window, scale) if window and camera == "thermal" else None
        shown = self.warp.shown(scaled_size(native, scale), own.size, pair.depth, counts)
        coverage = self._coverage(shown)
        if values is not None:
            values = self.measured(values, own.size, pair.depth, window)
        stage("register")
        # What moved since a held image was taken says nothing about the calibration.
        report = self._refine(warped, reference, shown, own, sound and not pair.held, stage)
        images[camera], residual = self._reduce_parallax(warped, reference, sound, stage)
        if residual is not None and coverage is not None:
            coverage = coverage_of(residual.apply(shown))
        if residual is not None and values is not None and camera == "thermal":
            values = residual.apply(values)
        if coverage is not None:
            report = replace(report, seen_share=coverage.share)
        if self._dense_residual:
            report = replace(report, residual_share=0.0 if residual is None else residual.kept)
        native_points = NativePoints(self.warp.point_map(native, own.size), residual)
        seen = {camera: native_points}
        side = self.warp.magnification(native, own.size) if camera == "thermal" else 1.0
        return Registered(images["thermal"], images["rgb"], seen, report, coverage, values, side)

    def alone(
        self, camera: CameraName, image: Image, reference_size: Size | None = None
    ) -> tuple[Image, Mapping[CameraName, NativePoints]]:
        """A camera's 8-bit image in the reference's view while the other one is silent; native_points.

        The very same image, and none, for the reference camera. reference_size: (width, height) of the
        reference camera, None where it was never seen. Raises ImageError and ConfigError as Warp does.
        """
        if camera == self.reference:
            return image, {}
        size = (image.shape[1], image.shape[0])
        reference_size = reference_size or self.warp.usual_size(size)
        warped = self.warp(scaled_image(image, self._scale(size, reference_size)), reference_size)
        return warped, {camera: NativePoints(self.warp.point_map(size, reference_size))}

    def measured(
        self,
        values: Floats32,
        reference_size: Size,
        depth: DepthImage | None = None,
        window: Window | None = None,
    ) -> Floats32:
        """(H, W) values of the thermal camera in the reference's view, NaN where it sees nothing.

        Each lies between values that were measured, whatever the upsampling does for the eye. window: as in
        a call. Raises ConfigError as Warp does.
        """
        native = (values.shape[1], values.shape[0])
        values = _within(values, window)
        if self.reference == "rgb":
            shown = self.warp.shown(native, reference_size, depth, window)
            values = self.warp.values(values, reference_size, depth)
            return np.where(shown > SHOWN_ABOVE, values, np.float32(np.nan))
        left, top, right, bottom = window or (0, 0, *native)
        own = np.full_like(values, np.nan)
        own[top:bottom, left:right] = values[top:bottom, left:right]
        return own

    def set_extrinsics(self, rgb_from_thermal: Extrinsics) -> None:
        """Take over extrinsics, as from TF, instead of the calibration's."""
        self.warp.set_extrinsics(rgb_from_thermal)

    def check_config(self, config: RegistrationConfig) -> None:
        """Raise ConfigError for live parameters that set_config would refuse."""
        self.warp.check_plane_distance(config.plane_distance_m)

    def set_config(self, config: RegistrationConfig) -> None:
        """Take over live parameters. Raises ConfigError, changing nothing."""
        self.warp.set_plane_distance(config.plane_distance_m)
        self._upsampling = config.upsampling

    def accepted_calibration(self) -> Calibration:
        """The calibration with what the refinement has learned so far. Raises ConfigError."""
        if self._refinement is None:
            raise ConfigError("nothing is learned while registration.refine.model is off")
        correction = self._refinement.correction
        if correction is None:
            raise ConfigError("no correction was found so far: there is nothing to write")
        return self.warp.accepted(correction, self._reference_size)

    def close(self) -> None:
        """End what runs in the background."""
        if self._refinement is not None:
            self._refinement.close()

    def reset(self) -> None:
        """Forget what was learned from pairs."""
        if self._refinement is not None:
            self._refinement.reset()
            self.warp.set_correction(None)

    def _scale(self, native: Size, size: Size) -> Fraction:
        """By how much an image of a size is scaled before it is warped. Raises ConfigError."""
        enlarge = self._upsampling != "off" and self.reference == "rgb"
        return pixel_scale(self.warp.magnification(native, size), native, enlarge=enlarge)

    def _coverage(self, shown: Image) -> Coverage | None:
        if self._coverage_of[0] is not shown:
            self._coverage_of = shown, coverage_of(shown)
        return self._coverage_of[1]

    def _refine(
        self,
        warped: Image,
        reference: Image,
        shown: Image,
        own: Frame,
        sound: bool,
        stage: Callable[[str], None],
    ) -> RegistrationReport:
        """Learn from a registered pair for the next ones, where refinement is on."""
        refinement = self._refinement
        if refinement is None:
            return RegistrationReport()
        before, self._reference_size = refinement.correction, own.size
        found = refinement.update(warped, reference, own.stamp_ns, valid=shown, frozen=not sound)
        if refinement.correction is not before:
            self.warp.set_correction(refinement.correction)
        if found.status == "bumped":
            log.warning(
                "a camera was moved%s: images that lay apart were put together at once, the correction is "
                "%.1f px now; check the mount, or calibrate again",
                ", as the matcher found" if found.by_matcher else "", found.drift_px,
            )  # fmt: skip
        stage("refine")
        return RegistrationReport(
            found.confidence,
            found.drift_px,
            bumped=found.status == "bumped",
            by_matcher=found.by_matcher,
            matcher_asked=found.asked,
        )

    def _reduce_parallax(
        self, warped: Image, reference: Image, sound: bool, stage: Callable[[str], None]
    ) -> tuple[Image, Residual | None]:
        """The warped image moved by the residual, None where nothing is moved."""
        if not self._dense_residual:
            return warped, None
        residual = dense_residual(luminance(warped), luminance(reference)) if sound else None
        if residual is not None and residual.kept > 0:
            warped = residual.apply(warped)
        else:
            residual = None
        stage("residual")
        return warped, residual


def build_registrar(
    config: RegistrationConfig, matching: Matching | None = None, *, live: bool = False
) -> Registrar:
    """The configured registration. Raises ConfigError.

    matching: the matcher of its refinement. live: never to wait for that one.
    """
    refinement = None
    if config.refine.model != "off":
        refinement = OnlineRefinement(config.refine, matching, awaited=not live)
    return Registrar(
        _configured_warp(config),
        refinement,
        dense_residual=config.residual == "dense",
        upsampling=config.upsampling,
    )


def _configured_warp(config: RegistrationConfig) -> Warp:
    calibration = read_calibration(config.calibration) if config.calibration else None
    warp = Warp(calibration, cast("CameraName", config.reference), config.plane_distance_m)
    rig = None if calibration is None else calibration.rig
    if rig is None and (config.depth or config.extrinsics == "tf"):
        asked = "registration.depth is true" if config.depth else "registration.extrinsics is tf"
        found = f"{config.calibration} has no rig" if config.calibration else "there is no calibration"
        raise ConfigError(
            f"{asked}, but {found}: set registration.calibration to a file with a rig (`ivfusion calibrate "
            "--board`; one with thermal_size, rgb_size and `rig: {}` takes the intrinsics from camera_info)"
        )
    if rig is not None and config.extrinsics == "tf":
        # Until a transform is there: the file's, or else as if both cameras stood in one place.
        warp.set_extrinsics(rig.rgb_from_thermal or Extrinsics(np.eye(3), np.zeros(3)))
    return warp


def _within(values: Floats32, window: Window | None) -> Floats32:
    """The part of the values that is in a window; around it, what is at its border. None: all."""
    if window is None:
        return values
    left, top, right, bottom = window
    height, width = values.shape
    margins = top, height - bottom, left, width - right
    inner = values[top:bottom, left:right]
    return np.asarray(cv2.copyMakeBorder(inner, *margins, cv2.BORDER_REPLICATE), np.float32)
