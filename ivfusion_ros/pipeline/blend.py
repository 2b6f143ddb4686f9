"""How much of the network's output is shown: by strength, by faults, and where both cameras see something.

A camera with a fault leaves the fused image by a blend towards the sound camera's image. To feed the
network a neutral image in place of the bad one instead would hang on what is neutral for the network at
hand: a thermal image at its mean, which sounds neutral, lifts a night street to grey, as the networks take
the brighter of both. The blend ends, for any network, in exactly what a silent camera leaves (modes
rgb_only and thermal_only), and begins in exactly the fused image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.types import OTHER_CAMERA

if TYPE_CHECKING:
    from ivfusion_ros.registration.registrar import Registered
    from ivfusion_ros.types import CameraName, FaultReport, Image


def blend(
    fused: Image, seen: Registered, reference: CameraName, faults: FaultReport, strength: float
) -> Image:
    """(H, W, 3) uint8 fused towards the images of the pair it was made of.

    strength: of the fusion, 0 (the reference camera's image) to 1. The very same array comes back at 1
    where both cameras see all of the view and neither is better than the other.
    """
    other = OTHER_CAMERA[reference]
    images = {"thermal": seen.thermal, "rgb": seen.rgb}
    weights = {"thermal": faults.thermal_weight, "rgb": faults.rgb_weight}
    to_other = (1.0 - weights[reference]) * weights[other]
    to_reference = 1.0 - strength * (1.0 - (1.0 - weights[other]) * weights[reference])
    blended = fused
    # A fault's share is 1 on one side only where it is 0 on the other: one blend after the other is right.
    for share, camera in ((to_reference, reference), (to_other, other)):
        if share > 0:
            image = to_rgb(images[camera])
            blended = np.asarray(cv2.addWeighted(blended, 1.0 - share, image, share, 0.0), np.uint8)
    if seen.coverage is not None:
        blended = seen.coverage.feathered(blended, to_rgb(images[reference]))
    return blended
