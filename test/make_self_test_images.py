"""Draw the images that half models and engines are tested with, from the simulator.

    python test/make_self_test_images.py

writes ivfusion_ros/backends/self_test_thermal.jpg and self_test_rgb.jpg, each with a street by day above
the same by night. They are stored, so that a robot's self-test needs no simulator, and stays the same when
the simulator changes.
"""

import numpy as np
from places import ROOT

from ivfusion_ros.config.pipeline import ThermalConfig
from ivfusion_ros.images.files import encode_compressed
from ivfusion_ros.images.thermal import ThermalScaler
from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, Simulator, ThermalCameraConfig

SIZE = {"width": 320, "height": 240}
QUALITY = 95


def main() -> None:
    rig = RigConfig(RgbConfig(**SIZE), ThermalCameraConfig(**SIZE))
    streets = [Simulator(SceneConfig(illumination=light), rig) for light in ("day", "night")]
    thermal = [ThermalScaler(ThermalConfig())(street.thermal_at(1.0), 0) for street in streets]
    rgb = [street.rgb_at(1.0) for street in streets]
    for camera, scenes in (("thermal", thermal), ("rgb", rgb)):
        path = ROOT / "ivfusion_ros" / "backends" / f"self_test_{camera}.jpg"
        path.write_bytes(encode_compressed(np.concatenate(scenes), quality=QUALITY))
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
