"""Where data sets keep images of one camera and the boxes in them, found by their own folders and names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ivfusion_ros.sources.layouts import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping

ONE_CAMERA: Mapping[str, tuple[Layout, ...]] = {
    "thermal/ or rgb/ alone": (
        Layout("thermal/{stem}", "", "labels/{stem}", "boxes/{stem}.txt"),
        Layout("", "rgb/{stem}", "labels/{stem}", "boxes/{stem}.txt"),
        Layout("", "visible/{stem}", "labels/{stem}", "boxes/{stem}.txt"),
    ),
    # One form of the same images, with its parts where that is there. Rotated boxes are refused as such.
    "HIT-UAV, normal_json": (
        Layout("normal_json/{part}/{stem}", "", boxes="normal_json/annotations/*.json"),
    ),
    "HIT-UAV, normal_xml": (
        Layout("normal_xml/JPEGImages/{stem}", "", boxes="normal_xml/Annotations/{stem}.xml"),
    ),
    "HIT-UAV, rotate_json": (
        Layout("rotate_json/{part}/{stem}", "", boxes="rotate_json/annotations/*.json"),
    ),
    "HIT-UAV, rotate_xml": (
        Layout("rotate_xml/JPEGImages/{stem}", "", boxes="rotate_xml/Annotations/{stem}.xml"),
    ),
    # The RGB camera of the first edition sees another field of view, without boxes.
    "FLIR ADAS": (
        Layout("{part}/thermal_8_bit/{stem}", "", boxes="{part}/thermal_annotations.json"),
        Layout("images_thermal_{part}/data/{stem}", "", boxes="images_thermal_{part}/coco.json"),
        Layout("", "images_rgb_{part}/data/{stem}", boxes="images_rgb_{part}/coco.json"),
    ),
    "LLVIP": (
        Layout("infrared/{part}/{stem}", "", boxes="Annotations/{stem}.xml"),
        Layout("", "visible/{part}/{stem}", boxes="Annotations/{stem}.xml"),
    ),
    "M3FD": (
        Layout("Ir/{stem}", "", boxes="Annotation/{stem}.xml"),
        Layout("", "Vis/{stem}", boxes="Annotation/{stem}.xml"),
    ),
}
"""By name of the data set, of which a camera's place may be ''."""


@dataclass(frozen=True)
class Place:
    """Images of a camera that their place does not tell, and the files of their objects."""

    images: str
    boxes: str


FORMS: Mapping[str, tuple[Place, ...]] = {
    "YOLO": (
        Place("images/{part}/{stem}", "labels/{part}/{stem}.txt"),
        Place("{part}/images/{stem}", "{part}/labels/{stem}.txt"),
        Place("images/{stem}", "labels/{stem}.txt"),
        Place("{stem}", "{stem}.txt"),
    ),
    "Pascal VOC": (
        Place("JPEGImages/{stem}", "Annotations/{stem}.xml"),
        Place("images/{stem}", "annotations/{stem}.xml"),
        Place("{stem}", "{stem}.xml"),
        Place("{part}/{stem}", "{part}/{stem}.xml"),
    ),
    "COCO": (
        Place("images/{part}/{stem}", "annotations/*.json"),
        Place("images/{stem}", "annotations/*.json"),
        Place("{part}/{stem}", "annotations/*.json"),
        Place("{part}/{stem}", "{part}/*.json"),
        Place("images/{part}/{stem}", "*.json"),
        Place("images/{stem}", "*.json"),
        Place("data/{stem}", "*.json"),
        Place("{stem}", "*.json"),
    ),
}
"""By form of the boxes; the first place that has images with boxes is the one."""
