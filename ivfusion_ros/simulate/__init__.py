"""A simulated street with a thermal and an RGB camera, for tests and the demo; its truth is known."""

from ivfusion_ros.simulate.scenario import RgbConfig, RigConfig, SceneConfig, ThermalCameraConfig
from ivfusion_ros.simulate.simulator import Simulator
from ivfusion_ros.simulate.truth import TrueObject

__all__ = ["RgbConfig", "RigConfig", "SceneConfig", "Simulator", "ThermalCameraConfig", "TrueObject"]
