"""YOLOv5 on the fused image: letterbox, network, decode, NMS."""

from ivfusion_ros.detection.class_names import names_from_metadata, names_from_yaml
from ivfusion_ros.detection.classes import (
    CLASS_NAMES,
    COCO_IDS,
    LEFT_OUT,
    M3FD_NAMES,
    ClassMap,
    read_class_map,
    usual_map,
)
from ivfusion_ros.detection.detector import Detector
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.detection.thresholds import (
    DEFAULT_THRESHOLD,
    THRESHOLD_KEY,
    own_thresholds,
    told_thresholds,
)
from ivfusion_ros.faces import later

__getattr__, _later = later(
    __name__,
    {
        "given": ("Account", "Objects", "given_objects", "known_objects", "told", "words_and_ids"),
        "native": ("PointMap", "Views", "with_native_boxes", "with_temperatures"),
        "positions": ("Locator",),
        "ranges": ("by_method",),
        "rows": ("as_rows",),
        "tracking": ("ByteTracker",),
    },
)

__all__ = [
    "CLASS_NAMES",
    "COCO_IDS",
    "LEFT_OUT",
    "M3FD_NAMES",
    "DEFAULT_THRESHOLD",
    "THRESHOLD_KEY",
    "ClassMap",
    "Detector",
    "names_from_metadata",
    "names_from_yaml",
    "own_thresholds",
    "read_class_map",
    "suppress",
    "told_thresholds",
    "usual_map",
    *_later,
]
