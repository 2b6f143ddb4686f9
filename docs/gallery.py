"""Draw docs/gallery.jpg: simulated scenes, each fused by every fusion network that ships."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.backends import load_backend
from ivfusion_ros.commands.demo import true_calibration
from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.geometry.warp import Warp
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.sheet import contact_sheet
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.models import read_models
from ivfusion_ros.pipeline.fuser import Fuser
from ivfusion_ros.simulate import SceneConfig, Simulator

if TYPE_CHECKING:
    from ivfusion_ros.types import Image

SCENES = {
    "day": (SceneConfig(seed=3, illumination="day", glare=0.0), 4.0),
    "night": (SceneConfig(seed=5, illumination="night", glare=0.3), 3.0),
    "smoke": (SceneConfig(seed=8, illumination="day", glare=0.0, fog_per_m=0.09), 5.0),
    "glare": (SceneConfig(seed=2, illumination="night", glare=8.0), 4.5),
}
"""What is simulated, and at which second the picture is taken."""
CELL_WIDTH = 300
"""Pixels."""


def main() -> None:
    """Draw the gallery beside this file."""
    fusion = [entry for entry in read_models().values() if entry.task == "fusion"]
    fusers = {entry.name: Fuser(load_backend(entry.path)) for entry in fusion}
    pictures: list[Image] = []
    titles: list[str] = []
    for scene, (config, seconds) in SCENES.items():
        thermal, rgb = _pair(config, seconds)
        pictures += [to_rgb(thermal), rgb, *(fuser(thermal, rgb) for fuser in fusers.values())]
        titles += [f"{scene}: thermal", "rgb", *fusers]
    sheet = contact_sheet(pictures, titles, columns=2 + len(fusers), cell_width=CELL_WIDTH)
    write_image(Path(__file__).with_suffix(".jpg"), sheet)


def _pair(config: SceneConfig, seconds: float) -> tuple[Image, Image]:
    """The registered thermal (H, W) and RGB (H, W, 3) image of a scene."""
    simulator = Simulator(config)
    rgb = simulator.rgb_at(seconds)
    grey = ThermalScaler(ThermalConfig())(simulator.thermal_at(seconds), 0)
    thermal = Warp(true_calibration(simulator))(grey, (rgb.shape[1], rgb.shape[0]))
    return np.ascontiguousarray(thermal), rgb


if __name__ == "__main__":
    main()
