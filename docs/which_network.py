"""Draw the pictures of docs/which-network.md: simulated scenes, fused by every network that ships.

    python docs/which_network.py

Each pair goes through the pipeline as it would on a robot.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from ivfusion_ros.commands.demo import true_calibration
from ivfusion_ros.config.pipeline import (
    DetectionConfig,
    FaultConfig,
    FusionConfig,
    PipelineConfig,
    RegistrationConfig,
)
from ivfusion_ros.files import write_whole
from ivfusion_ros.geometry import write_calibration
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.models import read_models
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.simulate import RigConfig, SceneConfig, Simulator, ThermalCameraConfig
from ivfusion_ros.types import Frame, FramePair

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

WEBP_QUALITY = 80
COLUMNS = 2


class Scene(NamedTuple):
    """What is simulated, and at which second the picture is taken."""

    config: SceneConfig
    seconds: float
    thermal: ThermalCameraConfig = ThermalCameraConfig()
    snow: bool = False


SCENES = {
    "day": Scene(SceneConfig(seed=3, illumination="day", glare=0.0), 4.0),
    "night": Scene(SceneConfig(seed=5, illumination="night", glare=0.3), 3.0),
    "glare": Scene(SceneConfig(seed=2, illumination="night", glare=8.0), 4.5),
    "snow": Scene(SceneConfig(seed=11, illumination="day", glare=0.0, fog_per_m=0.01), 3.0, snow=True),
    "smoke": Scene(SceneConfig(seed=8, illumination="day", glare=0.0, fog_per_m=0.09), 5.0),
    "narrow": Scene(
        SceneConfig(seed=3, illumination="day", glare=0.0),
        4.0,
        ThermalCameraConfig(hfov_deg=28.0, rotation_deg=(0.0, 0.0, 0.0)),
    ),
    "lepton": Scene(
        SceneConfig(seed=5, illumination="night", glare=0.3), 3.0, ThermalCameraConfig(width=80, height=64)
    ),
}


def main() -> None:
    """Draw the pictures into a folder beside this file."""
    names = [entry.name for entry in read_models().values() if entry.task == "fusion"]
    for scene, what in SCENES.items():
        simulator = Simulator(what.config, RigConfig(thermal=what.thermal))
        pair = _pair(simulator, what)
        pictures: list[Image] = []
        for name in names:
            thermal, rgb, fused = _fused(pair, simulator, name)
            pictures = [*(pictures or [rgb, to_rgb(thermal)]), fused]
        sheet = contact_sheet(pictures, ["rgb", "thermal", *names], COLUMNS, rgb.shape[1])
        _write(Path(__file__).parent / "which-network" / f"{scene}.webp", sheet)


def _pair(simulator: Simulator, what: Scene) -> FramePair:
    rgb = simulator.rgb_at(what.seconds)
    if what.snow:
        rgb = _snowed(rgb, simulator, what.seconds)
    return FramePair(Frame(simulator.thermal_at(what.seconds), 0), Frame(rgb, 0))


def _snowed(rgb: Image, simulator: Simulator, seconds: float) -> Image:
    """White ground, and flakes in the air."""
    depth_m, camera = simulator.depth(seconds, "rgb"), simulator.rig.rgb
    focal = camera.width / 2 / np.tan(np.radians(camera.hfov_deg / 2))
    below = np.arange(camera.height) - camera.height / 2 - camera.principal_offset_px[1]
    with np.errstate(divide="ignore"):
        expected_m = focal * simulator.rig.camera_height_m / below[:, None]
    ground = (below[:, None] > 0) & (np.abs(depth_m / expected_m - 1) < 0.1)
    white = cv2.GaussianBlur(ground.astype(np.float32), (0, 0), 1.5)[..., None]
    random = np.random.default_rng(0)
    air = np.zeros(depth_m.shape, np.float32)
    for x, y in random.uniform(0, 1, (500, 2)) * (camera.width, camera.height):
        cv2.circle(air, (int(x), int(y)), int(random.integers(1, 4)), float(random.uniform(0.3, 0.9)), -1)
    air = cv2.GaussianBlur(air, (0, 0), 1.0)[..., None]
    snowed = rgb + (236.0 - 0.15 * (255.0 - rgb) - rgb) * white
    return np.asarray((snowed + (240.0 - snowed) * air).clip(0, 255) + 0.5, np.uint8)


def _fused(pair: FramePair, simulator: Simulator, name: str) -> tuple[Image, Image, Image]:
    """Registered thermal (H, W), RGB and fused (H, W, 3) of a pair."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rig.yaml"
        write_calibration(path, true_calibration(simulator))
        config = PipelineConfig(
            registration=RegistrationConfig(str(path)),
            faults=FaultConfig(gate=False),
            fusion=FusionConfig(name),
            detection=DetectionConfig(""),
        )
        with build_pipeline(config) as pipeline:
            result = pipeline.process(pair)
    return result.thermal, result.rgb, result.fused


def _write(path: Path, sheet: Image) -> None:
    path.parent.mkdir(exist_ok=True)
    done, content = cv2.imencode(
        path.suffix, cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY]
    )
    assert done
    write_whole(path, content.tobytes())


if __name__ == "__main__":
    main()
