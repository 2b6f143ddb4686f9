"""Names of topics that belong to another one, and of this package's own service."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rclpy.node import Node

    from ivfusion_ros.types import CameraName

OWN_SERVICE = "/accept_calibration"
"""Below a node's own name: this package's nodes alone have it, by which they are told from cameras."""


def remapped_with_parent(node: Node, topic: str) -> str:
    """The name to use for a topic such as detections/label_info.

    Where detections is remapped to objects and the topic itself is not, that is objects/label_info, as
    image_transport has it for the topics that it adds.
    """
    if topic.startswith("~") or _is_remapped(node, topic):
        return topic
    parent = topic.rpartition("/")[0]
    while parent:
        if _is_remapped(node, parent):
            return str(node.resolve_topic_name(parent)) + topic[len(parent) :]
        parent = parent.rpartition("/")[0]
    return topic


def camera_info_topic(node: Node, camera: CameraName) -> str:
    """The name to use for a camera's camera_info.

    Where its images are remapped and camera_info itself is not, that is beside them, as image_transport has
    it.
    """
    topic, image = f"{camera}/camera_info", f"{camera}/image_raw"
    if _is_remapped(node, topic) or not _is_remapped(node, image):
        return topic
    return str(node.resolve_topic_name(image)).rpartition("/")[0] + "/camera_info"


def _is_remapped(node: Node, topic: str) -> bool:
    return bool(node.resolve_topic_name(topic) != node.resolve_topic_name(topic, only_expand=True))
