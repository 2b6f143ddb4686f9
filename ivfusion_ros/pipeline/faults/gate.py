"""How a camera with a fault leaves the fused image.

The network's output is blended towards the sound camera's image. To feed the network a neutral image
in place of the bad one instead would hang on what is neutral for the network at hand: a thermal image
at its mean, which sounds neutral, lifts a night street to grey, as the networks take the brighter of
both. The blend ends, for any network, in exactly what a silent camera leaves (modes rgb_only and
thermal_only), and begins in exactly the fused image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.images.encodings import to_rgb

if TYPE_CHECKING:
    from ivfusion_ros.types import FaultReport, Image


def gate(fused: Image, thermal: Image, rgb: Image, report: FaultReport) -> Image:
    """Blend (H, W, 3) uint8 fused towards (H, W, 3) rgb or (H, W) thermal, all of one geometry.

    The very same array comes back without a fault, and if no camera is better than the other.
    """
    to_rgb_camera = (1.0 - report.thermal_weight) * report.rgb_weight
    to_thermal_camera = (1.0 - report.rgb_weight) * report.thermal_weight
    gated = fused
    # One share is 1 only where the other is 0, so that one blend after the other does no harm.
    for share, image in ((to_rgb_camera, rgb), (to_thermal_camera, thermal)):
        if share > 0:
            gated = np.asarray(cv2.addWeighted(gated, 1.0 - share, to_rgb(image), share, 0.0), np.uint8)
    return gated
