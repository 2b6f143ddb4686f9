"""A pair of no camera, of the expected size: models compile and maps are made before the first image.

Otherwise the first pairs after activation would wait for that, and be dropped for newer ones.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import numpy as np
from rclpy.wait_for_message import wait_for_message
from sensor_msgs.msg import CameraInfo as CameraInfoMessage

from ivfusion_ros.errors import ConfigError, IvfusionError
from ivfusion_ros.messages import to_camera_info
from ivfusion_ros.ros import qos
from ivfusion_ros.ros.topic_names import camera_info_topic
from ivfusion_ros.types import CAMERAS, CameraInfo, CameraName, Frame, FramePair, Size

if TYPE_CHECKING:
    from collections.abc import Callable

    from rclpy.node import Node

PATIENCE_S = 0.5
"""How long camera_info is waited for where somebody publishes it."""
_SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")


def rehearsal_pair(
    node: Node,
    expected: dict[CameraName, Size] | None,
    max_pixels: int,
    kept: Callable[[], list[Size]] = list,
) -> FramePair | None:
    """Images without content, of the expected sizes or camera_info's; None where no size is known.

    max_pixels: larger images are not expected. kept: sizes for which engines are kept, the likeliest first,
    asked where nothing else is known.
    """
    infos = {camera: _info(node, camera) for camera in CAMERAS}
    sizes = expected or _sizes_of(infos) or _both(kept())
    if sizes is None or any(width * height > max_pixels for width, height in sizes.values()):
        return None
    (width, height), (rgb_width, rgb_height) = sizes["thermal"], sizes["rgb"]
    # A slope, so that thermal scaling has a range.
    counts = np.linspace(20000, 30000, width * height).astype(np.uint16).reshape(height, width)
    colours = np.full((rgb_height, rgb_width, 3), 114, np.uint8)
    return FramePair(
        Frame(counts, 0, camera_info=infos["thermal"]), Frame(colours, 0, camera_info=infos["rgb"])
    )


def parse_sizes(text: str) -> dict[CameraName, Size] | None:
    """Of `640x480` for both cameras or `640x512,1280x720` for thermal and RGB; None for ''.

    Raises ConfigError.
    """
    if not text:
        return None
    found = [_SIZE.fullmatch(part.strip()) for part in text.split(",")]
    sizes = [(int(match[1]), int(match[2])) for match in found if match]
    if len(sizes) != len(found) or len(sizes) not in (1, 2):
        raise ConfigError(
            f"fusion.expected_size is {text!r}, expected WxH for both cameras, or thermal and RGB as in "
            "640x512,1280x720"
        )
    return {"thermal": sizes[0], "rgb": sizes[-1]}


def _both(kept: list[Size]) -> dict[CameraName, Size] | None:
    """The first size for both cameras: engines are made for the reference camera's."""
    return {"thermal": kept[0], "rgb": kept[0]} if kept else None


def _sizes_of(infos: dict[CameraName, CameraInfo | None]) -> dict[CameraName, Size] | None:
    known = {camera: (info.width, info.height) for camera, info in infos.items() if info is not None}
    return known if len(known) == len(CAMERAS) and all(min(size) > 0 for size in known.values()) else None


def _info(node: Node, camera: CameraName) -> CameraInfo | None:
    topic = node.resolve_topic_name(camera_info_topic(node, camera))
    end_s = time.monotonic() + PATIENCE_S
    while node.count_publishers(topic) and (left_s := end_s - time.monotonic()) > 0:
        profile = qos.latched() if qos.is_latched(node, topic) else qos.sensor_data()
        found, message = wait_for_message(
            CameraInfoMessage, node, topic, qos_profile=profile, time_to_wait=left_s
        )
        if found:
            try:
                return to_camera_info(message, node.resolve_topic_name(f"{camera}/image_raw"))
            except IvfusionError:
                return None
    return None
