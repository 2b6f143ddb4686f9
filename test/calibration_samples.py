"""Calibrations of every kind for a thermal camera of 80x64 and an RGB camera of 96x72 pixels."""

import cv2
import numpy as np

from ivfusion_ros.geometry.calibration import Remap
from ivfusion_ros.geometry.camera import CameraModel
from ivfusion_ros.geometry.rig import Extrinsics, RigParts

TILTED = np.array([[1.1, 0.08, -20.0], [-0.05, 0.95, 14.0], [2e-4, -1e-4, 1.0]])
LENS = {"matrix": [[90, 0, 48.5], [0, 90, 36], [0, 0, 1]], "distortion": [-0.1, 0.02, 0, 0, 0]}


def texture(size, seed=0):
    """A smooth random picture, (width, height)."""
    noise = np.random.default_rng(seed).uniform(0, 255, (size[1], size[0]))
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    return cv2.normalize(soft, None, 20, 235, cv2.NORM_MINMAX).astype(np.uint8)


def bulge(rgb_size, thermal_size):
    """A lens-like map that no homography describes."""
    x, y = np.meshgrid(np.linspace(-1, 1, rgb_size[0]), np.linspace(-1, 1, rgb_size[1]))
    stretch = 0.8 + 0.3 * (x**2 + y**2)
    map_x = (x * stretch + 1) / 2 * (thermal_size[0] - 1)
    map_y = (y * stretch + 1) / 2 * (thermal_size[1] - 1)
    return Remap(map_x.astype(np.float32), map_y.astype(np.float32))


def rig_parts():
    """Two lenses of different kinds, 10 cm apart."""
    matrix = np.array(LENS["matrix"], float)
    return RigParts(
        CameraModel((80, 64), matrix * [[0.9], [0.9], [1]], "equidistant", np.array([0.01, -0.02, 0, 0])),
        CameraModel((96, 72), matrix, "plumb_bob", np.array(LENS["distortion"], float)),
        Extrinsics.from_quaternion([0.01, -0.02, 0.03, 1], [0.1, -0.02, 0.01]),
        6.0,
    )
