"""Rigs of very different lenses, of other aspect, portrait against landscape: in either camera's view."""

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from pipeline_samples import configure

from ivfusion_ros.config.pipeline import RegistrationConfig
from ivfusion_ros.geometry.calibration import Calibration, write_calibration
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, RigParts
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.registration.registrar import build_registrar
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import CAMERAS, OTHER_CAMERA, CameraName, FramePair

PLANE_M = 15.0


def rig(rgb: tuple, thermal: tuple) -> RigConfig:
    """Of width, height and horizontal field of each camera."""
    names = ("width", "height", "hfov_deg")
    placed = {"position_m": (0.06, -0.02, 0.01), "shutter_interval_s": 0.0, "clock_offset_ms": 0.0}
    return RigConfig(
        RgbConfig(**dict(zip(names, rgb, strict=True)), noise_levels=0.0),
        ThermalCameraConfig(**dict(zip(names, thermal, strict=True)), **placed),
    )


RIGS = {
    "a narrow thermal camera": rig((320, 240, 90.0), (160, 128, 24.0)),
    "a wide thermal camera": rig((320, 240, 30.0), (160, 128, 90.0)),
    "a portrait thermal camera": rig((320, 180, 60.0), (128, 160, 35.0)),
    "a portrait RGB camera": rig((180, 320, 35.0), (160, 128, 60.0)),
}


@dataclass
class Street:
    """A rig in a street, and the calibration that is true."""

    simulator: Simulator
    pair: FramePair
    path: str

    def others_pixels(self, reference: CameraName, oversampling: int = 1) -> np.ndarray:
        """(H, W, 2) true pixels of the other camera, as if all were on the reference's plane."""
        camera = self.simulator.cameras[reference]
        slopes = camera.rays(oversampling).astype(float)
        # The simulator's rays are counted along the RGB camera's axis, a plane along the reference's.
        rays = np.concatenate([slopes, np.ones((*slopes.shape[:2], 1))], axis=2)
        rays *= PLANE_M / (rays @ camera.rotation[2])[:, :, None]
        points = (rays + camera.position).reshape(-1, 3)
        other = self.simulator.cameras[OTHER_CAMERA[reference]]
        return other.project(points).reshape(*slopes.shape)


@pytest.fixture(scope="module", params=RIGS)
def street(request, tmp_path_factory) -> Street:
    simulator = Simulator(SceneConfig(seed=1, illumination="day"), RIGS[request.param])
    models = {
        name: CameraModel(
            (camera.width, camera.height),
            camera.matrix,
            "plumb_bob",
            np.array([*camera.distortion, 0, 0, 0]),
        )
        for name, camera in simulator.cameras.items()
    }
    thermal = simulator.cameras["thermal"]
    extrinsics = Extrinsics(thermal.rotation.T, np.asarray(thermal.position))
    sizes = models["thermal"].size, models["rgb"].size
    path = tmp_path_factory.mktemp("rig") / "rig.yaml"
    parts = RigParts(models["thermal"], models["rgb"], extrinsics, PLANE_M)
    write_calibration(path, Calibration(*sizes, rig=parts))
    pair = FramePair(simulator.frame(4.0, "thermal"), simulator.frame(4.0, "rgb"))
    return Street(simulator, pair, str(path))


@pytest.mark.parametrize("reference", CAMERAS)
def test_the_view_is_the_references_and_what_the_other_sees_is_known(
    street, reference, blend_model
) -> None:
    pixels = street.others_pixels(reference)
    seen = street.simulator.cameras[OTHER_CAMERA[reference]].contains(pixels)
    registration = RegistrationConfig(street.path, reference=reference)
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        result = pipeline.process(street.pair)
    other = street.pair.frames[OTHER_CAMERA[reference]]
    own = street.pair.frames[reference]
    assert result.fused.shape[:2] == own.image.shape[:2] == result.thermal.shape == result.rgb.shape[:2]
    assert result.registration.seen_share == pytest.approx(seen.mean(), abs=0.02)
    picture = result.rgb if reference == "rgb" else np.repeat(result.thermal[:, :, None], 3, 2)
    unseen = cv2.dilate(seen.astype(np.uint8), np.ones((3, 3))) == 0
    np.testing.assert_array_equal(result.fused[unseen], picture[unseen])
    # The way of a box to the other camera's pixels.
    inside = np.argwhere(cv2.erode(seen.astype(np.uint8), np.ones((3, 3))))[::17]
    way = build_registrar(registration).warp.point_map(other.size, own.size)
    ways = way(inside[:, ::-1].astype(float))
    np.testing.assert_allclose(ways, pixels[inside[:, 0], inside[:, 1]], atol=0.01)


def test_a_finer_rgb_image_is_averaged_not_picked_from(street, blend_model) -> None:
    """Against 8 x 8 samples in each pixel of the thermal camera's view."""
    fine = street.others_pixels("thermal", 8).astype(np.float32)
    seen = street.simulator.cameras["rgb"].contains(fine)
    noisy = np.random.default_rng(3).integers(0, 256, street.pair.rgb.image.shape).astype(np.uint8)
    many = cv2.remap(noisy, fine[..., 0], fine[..., 1], cv2.INTER_LINEAR)
    size = street.pair.thermal.size
    truth = cv2.resize(many.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    whole = cv2.resize(seen.astype(np.float32), size, interpolation=cv2.INTER_AREA) == 1
    whole = cv2.erode(whole.astype(np.uint8), np.ones((5, 5))) == 1
    registration = RegistrationConfig(street.path, reference="thermal")
    pair = FramePair(street.pair.thermal, street.simulator.frame(4.0, "rgb"))
    pair.rgb.image[:] = noisy
    with build_pipeline(configure(blend_model, registration=registration)) as pipeline:
        result = pipeline.process(pair)
    rms = float(np.sqrt(np.square(result.rgb[whole] - truth[whole]).mean()))
    print(rms, float(truth[whole].std()))
    assert rms < 0.75 * float(truth[whole].std())
