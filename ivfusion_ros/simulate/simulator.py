"""Cameras in a street: their images, and the truth about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from ivfusion_ros.simulate.background import Background, paint_rgb, paint_thermal
from ivfusion_ros.simulate.camera import Camera, make_cameras
from ivfusion_ros.simulate.light import HOURS, Illumination
from ivfusion_ros.simulate.panel import Panel, Patch, View
from ivfusion_ros.simulate.scenario import RigConfig, SceneConfig
from ivfusion_ros.simulate.sensor import RgbSensor, ThermalSensor, stamp_ns
from ivfusion_ros.simulate.street import build_street
from ivfusion_ros.simulate.traffic import make_traffic
from ivfusion_ros.simulate.truth import TrueObject, find_objects, paint_depth
from ivfusion_ros.types import CameraName, Floats, Floats32, Frame, Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.simulate.bodies import Body

_EXPOSURES = {"day": 1.0, "dusk": 1.25, "night": 1.35}


@dataclass(frozen=True, eq=False)
class _Eye:
    view: View
    background: Background


class Simulator:
    """A seeded street scene seen by a rig of a thermal and an RGB camera.

    Images depend on the configuration and the time alone, not on the order of calls. Times are true
    seconds from 0. Pixel coordinates have integers at pixel centres. Building one takes about a second.
    """

    def __init__(self, scene: SceneConfig | None = None, rig: RigConfig | None = None) -> None:
        self.scene = scene or SceneConfig()
        self.rig = rig or RigConfig()
        self.cameras: dict[str, Camera] = make_cameras(self.rig)
        hour, seed = HOURS[self.scene.illumination], self.scene.seed
        focal = 1.1 * max(float(camera.matrix[0, 0]) for camera in self.cameras.values())
        street = build_street(np.random.default_rng([seed, 100]), hour, self.rig.camera_height_m, focal)
        self._illumination = Illumination(hour, street.lamps, self.scene.fog_per_m)
        views = {name: View(camera) for name, camera in self.cameras.items()}
        self._eyes = {
            "thermal": _Eye(views["thermal"], paint_thermal(views["thermal"], street.panels)),
            "rgb": _Eye(views["rgb"], paint_rgb(views["rgb"], street.panels, self._illumination)),
        }
        self._actors = make_traffic(
            np.random.default_rng([seed, 101]), self.scene.people, self.scene.cars, hour, self.scene.glare
        )
        self._thermal = ThermalSensor(self.rig.thermal, seed, hour.air_celsius)
        self._rgb = RgbSensor(self.rig.rgb, seed, _EXPOSURES[self.scene.illumination])

    def thermal_at(self, time_s: float) -> npt.NDArray[np.uint16]:
        """The thermal image sent at a time, (H, W) counts; the last one while the shutter is closed."""
        taken = self._thermal.exposure_time(time_s)
        eye = self._eyes["thermal"]
        kelvin = eye.background.picture.copy()
        panels = [
            panel
            for body in self._bodies(taken)
            for panel in body.turned_to(eye.view.camera)
            if panel.texture.heat is not None
        ]
        for panel, patch in eye.view.find(panels):
            seen = patch.in_front(eye.background.depth_m)
            if seen.any():
                heat = patch.sample(panel.texture, heat=True) * seen[:, :, None]
                kelvin[patch.region] += heat[:, :, 0] - heat[:, :, 1] * kelvin[patch.region]
        return self._thermal.expose(kelvin, taken)

    def rgb_at(self, time_s: float) -> Image:
        """The RGB image taken at a time, (H, W, 3)."""
        eye = self._eyes["rgb"]
        picture = eye.background.picture.copy()
        panels: list[Panel] = []
        for body in self._bodies(time_s):
            panels += [panel for panel in body.extras if panel.kind == "surface"]
            panels += self._lit(body, body.turned_to(eye.view.camera))
            panels += [panel for panel in body.extras if panel.kind == "glow"]
        for panel, patch in eye.view.find(panels):
            seen = patch.in_front(eye.background.depth_m)
            if seen.any():
                colour = patch.sample(panel.texture, heat=False) * seen[:, :, None]
                self._blend(picture[patch.region], colour, panel, patch)
        return self._rgb.expose(picture, time_s)

    def frames(self) -> Iterator[tuple[CameraName, Frame]]:
        """All frames of the scene in the order of their true times, with stamps of their clocks."""
        thermal, rgb = self.rig.thermal, self.rig.rgb
        rates: tuple[tuple[CameraName, float], ...] = (("rgb", rgb.rate_hz), ("thermal", thermal.rate_hz))
        events: list[tuple[float, CameraName]] = []
        for name, rate in rates:
            count = int(np.ceil(self.scene.duration_s * rate - 1e-9))
            events += [(index / rate, name) for index in range(count)]
        for time_s, name in sorted(events):
            yield name, self.frame(time_s, name)

    def frame(self, time_s: float, camera: CameraName) -> Frame:
        """One camera's frame of a true time."""
        thermal = camera == "thermal"
        config = self.rig.thermal if thermal else self.rig.rgb
        offset_ms = self.rig.thermal.clock_offset_ms if thermal else 0.0
        scene = self.scene
        stamp = stamp_ns(scene.start_ns, time_s, offset_ms, config.jitter_ms, scene.seed, camera)
        image = self.thermal_at(time_s) if thermal else self.rgb_at(time_s)
        return Frame(image, stamp, config.frame_id, self.cameras[camera].info)

    def boxes(self, time_s: float, camera: CameraName) -> list[TrueObject]:
        """People and cars in a camera's view at a true time, nearest first."""
        eye = self._eyes[camera]
        return find_objects(eye.view, eye.background.depth_m, self._bodies(time_s))

    def depth(self, time_s: float, camera: CameraName) -> Floats32:
        """Distance along the camera's optical axis, (H, W) float32 metres; the sky is at 400 m."""
        eye = self._eyes[camera]
        world_z = paint_depth(eye.view, eye.background.depth_m, self._bodies(time_s))
        points = _points(eye.view, world_z)
        depth = eye.view.camera.depth(points.reshape(-1, 3)).reshape(world_z.shape)
        return depth.astype(np.float32)

    def rgb_from_thermal_map(self, time_s: float) -> Floats32:
        """Where each RGB pixel's surface lies in the thermal image at a true time.

        (H, W, 2) float32 thermal pixel x, y for cv2.remap; NaN outside the thermal camera's view. A
        surface that something nearer hides from the thermal camera alone has its place as well.
        """
        eye = self._eyes["rgb"]
        world_z = paint_depth(eye.view, eye.background.depth_m, self._bodies(time_s))
        return self._thermal_pixels(_points(eye.view, world_z))

    def static_map(self, distance_m: float) -> tuple[Floats32, Floats32]:
        """As rgb_from_thermal_map if all the world were a plane facing the RGB camera at distance_m.

        Two (H, W) float32 maps, x and y, for cv2.remap.
        """
        view = self._eyes["rgb"].view
        plane = np.full(view.rays.shape[:2], distance_m, np.float32)
        pixels = self._thermal_pixels(_points(view, plane))
        return np.ascontiguousarray(pixels[:, :, 0]), np.ascontiguousarray(pixels[:, :, 1])

    def homography_at_depth(self, distance_m: float) -> Floats:
        """(3, 3) from undistorted thermal to undistorted RGB pixels, for a plane as in static_map."""
        thermal, rgb = self.cameras["thermal"], self.cameras["rgb"]
        shift = np.outer(thermal.position, [0.0, 0.0, 1.0]) / distance_m
        inverse = thermal.matrix @ thermal.rotation @ (np.eye(3) - shift) @ np.linalg.inv(rgb.matrix)
        homography = np.linalg.inv(inverse)
        return np.asarray(homography / homography[2, 2], np.float64)

    def _thermal_pixels(self, points: Floats) -> Floats32:
        camera = self.cameras["thermal"]
        flat = points.reshape(-1, 3)
        pixels = camera.project(flat)
        pixels[~camera.contains(pixels)] = np.nan
        return pixels.reshape(*points.shape[:2], 2).astype(np.float32)

    def _bodies(self, time_s: float) -> list[Body]:
        bodies = [actor.body(time_s, self.rig.camera_height_m) for actor in self._actors]
        return sorted(bodies, key=lambda body: -body.reach_m)

    def _lit(self, body: Body, panels: list[Panel]) -> list[Panel]:
        if not panels:
            return []
        # A person is round, whatever the figure's panel is.
        normals = np.array([panel.normal for panel in panels]) if body.class_name == "car" else None
        light = self._illumination.at(np.array([panel.centre for panel in panels]), normals)
        return [panel.lit(radiance) for panel, radiance in zip(panels, light, strict=True)]

    def _blend(self, picture: Floats32, colour: Floats32, panel: Panel, patch: Patch) -> None:
        alpha = colour[:, :, 3:]
        codes = np.asarray(colour[:, :, :3] * np.array(panel.light, np.float32), np.float32)
        if panel.kind == "glow":
            picture[:] = cv2.magnitude(picture, codes)
            return
        if self.scene.fog_per_m:
            solid = np.asarray(codes / np.maximum(alpha, 1e-3), np.float32)
            codes = np.asarray(
                self._illumination.in_fog(solid, patch.depth_m[:, :, None]) * alpha, np.float32
            )
        picture *= 1 - alpha
        picture += codes


def _points(view: View, world_z: Floats32) -> Floats:
    """World points (H, W, 3) that the pixels see at these distances along the world's z axis."""
    slopes = view.rays.astype(np.float64)
    ones = np.ones((*slopes.shape[:2], 1))
    return np.concatenate([slopes, ones], axis=2) * world_z[:, :, None] + view.camera.position
