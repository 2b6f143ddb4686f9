"""Small cameras and an empty street for the simulator, and what its pictures are measured with."""

import cv2
import numpy as np

from ivfusion_ros.simulate import RgbConfig, RigConfig, SceneConfig, ThermalCameraConfig

SMALL = RigConfig(
    rgb=RgbConfig(width=160, height=120, principal_offset_px=(1.0, -0.5)),
    thermal=ThermalCameraConfig(width=160, height=128, principal_offset_px=(-1.0, 1.0)),
)
STILL = SceneConfig(people=0, cars=0)
TIMES = (0.8, 4.0, 4.8, 8.0, 9.6)
"""When some people in the scene of the demo stand apart."""


def opencv_model(camera):
    """rvec, tvec, K and d of cv2.projectPoints for one of our cameras."""
    rvec = cv2.Rodrigues(camera.rotation)[0]
    return rvec, -camera.rotation @ camera.position, camera.matrix, np.array([*camera.distortion, 0, 0, 0])


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    both = max(width, 0) * max(height, 0)
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


def lone_people(sim, time_s, camera):
    """People well within the picture whom nothing touches."""
    objects = sim.boxes(time_s, camera)
    width = sim.cameras[camera].width
    for item in objects:
        x0, _, x1, _ = item.box_xyxy
        grown = np.add(item.box_xyxy, (-6, -6, 6, 6))
        others = [other for other in objects if other is not item]
        clear = all(iou(grown, other.box_xyxy) == 0 for other in others)
        if (
            item.class_name == "person"
            and item.visible_fraction > 0.99
            and x0 > 8
            and x1 < width - 8
            and clear
        ):
            yield item
