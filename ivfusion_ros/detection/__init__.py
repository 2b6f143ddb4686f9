"""YOLOv5 on the fused image: letterbox, network, decode, NMS."""

from ivfusion_ros.detection.detector import Detector

__all__ = ["Detector"]
