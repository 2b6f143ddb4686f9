"""Distortion models: the names that drivers and tools give them, and how many coefficients each has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.geometry.choices import DISTORTION_LENGTHS

if TYPE_CHECKING:
    from ivfusion_ros.types import Floats


_POLYNOMIAL = (*DISTORTION_LENGTHS["plumb_bob"], *DISTORTION_LENGTHS["rational_polynomial"])
_OTHER_NAMES = {
    "radtan": "plumb_bob",
    "radial_tangential": "plumb_bob",
    "brown_conrady": "plumb_bob",
    "opencv": "plumb_bob",
    "fisheye": "equidistant",
    "equi": "equidistant",
    "opencv_fisheye": "equidistant",
    "kannala_brandt": "equidistant",
    "kannala_brandt4": "equidistant",
}
_NO_DISTORTION = ("", "none", "no_distortion", "pinhole", "inverse_brown_conrady")
"""What stands for no distortion, where all coefficients are 0. The last is another model otherwise."""


def standard_lens(name: str, distortion: Floats) -> tuple[str, Floats]:
    """(model, coefficients) as DISTORTION_LENGTHS has them, of what a driver or a tool writes.

    Zeros at the end that a model does not have are left out. What has no standard name or length comes back
    as it is, for CameraModel to refuse. Raises ConfigError for coefficients where the name says none.
    """
    plain = name.strip().lower().replace(" ", "_").replace("-", "_")
    if plain in _NO_DISTORTION:
        if distortion.any():
            raise ConfigError(
                f"distortion_model is {name!r}, but the distortion is {distortion.tolist()}, expected "
                f"zeros or one of the models {', '.join(DISTORTION_LENGTHS)}"
            )
        return "plumb_bob", np.zeros(0)
    model = _OTHER_NAMES.get(plain, plain)
    if model == "equidistant":
        return model, _of_length(distortion, DISTORTION_LENGTHS[model]) if len(distortion) else np.zeros(4)
    if model not in DISTORTION_LENGTHS:
        return name, distortion
    numbers = _of_length(distortion, _POLYNOMIAL)
    # plumb_bob comes before equidistant, which has 4 numbers too.
    return next(
        (key for key, lengths in DISTORTION_LENGTHS.items() if len(numbers) in lengths), model
    ), numbers


def _of_length(distortion: Floats, lengths: tuple[int, ...]) -> Floats:
    """Without zeros at the end down to the longest of the lengths; as it is where that cuts others."""
    if distortion.ndim != 1 or len(distortion) in lengths:
        return distortion
    shorter = max((length for length in lengths if length < len(distortion)), default=0)
    return distortion if distortion[shorter:].any() else distortion[:shorter]


def tilt(tau_x: float, tau_y: float) -> Floats:
    """3x3: how a sensor that is tilted by these angles (rad) in x and y moves points of the plane z = 1."""
    (sin_x, sin_y), (cos_x, cos_y) = np.sin([tau_x, tau_y]), np.cos([tau_x, tau_y])
    about_x = np.array([[1, 0, 0], [0, cos_x, sin_x], [0, -sin_x, cos_x]])
    about_y = np.array([[cos_y, 0, -sin_y], [0, 1, 0], [sin_y, 0, cos_y]])
    turn = about_y @ about_x
    onto = np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]])
    return np.asarray(onto @ turn, np.float64)
