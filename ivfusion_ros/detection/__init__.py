"""YOLOv5 on the fused image: letterbox, network, decode, NMS."""

from ivfusion_ros.detection.class_names import names_from_yaml
from ivfusion_ros.detection.detector import Detector
from ivfusion_ros.detection.nms import suppress
from ivfusion_ros.faces import later

__getattr__, _later = later(
    __name__,
    {
        "native": ("PointMap", "Views", "with_native_boxes", "with_temperatures"),
        "tracking": ("ByteTracker",),
    },
)

__all__ = ["Detector", "names_from_yaml", "suppress", *_later]
