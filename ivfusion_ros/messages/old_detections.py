"""The layout that detections had up to 0.1, behind detection.message_layout for one release.

class_id is the class name, id the object's place where nothing is tracked, and thermal detections have two
results more: class_id max_kelvin and mean_kelvin, score in kelvin.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ivfusion_ros.messages.detections import make_box, make_hypothesis, no_pose
from ivfusion_ros.messages.make import make_header
from ivfusion_ros.messages.type_names import DETECTIONS

if TYPE_CHECKING:
    from ivfusion_ros.messages.make import Make
    from ivfusion_ros.types import Boxes, CameraName, Detections, Header


def make_old_detections(
    make: Make, header: Header, detections: Detections, camera: CameraName | None = None
) -> Any:
    """Detection2DArray in the pixels of a camera's own image, or in the fused image's."""
    head, found = make_header(make, header), []
    boxes = _boxes(detections, camera)
    for index, box in enumerate([] if boxes is None else boxes.tolist()):
        if all(map(math.isfinite, box)):
            results = _results(make, detections, index, kelvin=camera == "thermal")
            name = str(index) if detections.track_ids is None else detections.id_of(index)
            fields = {"header": head, "results": results, "bbox": make_box(make, box), "id": name}
            found.append(make("vision_msgs/msg/Detection2D", **fields))
    return make(DETECTIONS, header=head, detections=found)


def _boxes(detections: Detections, camera: CameraName | None) -> Boxes | None:
    if camera is None:
        return detections.boxes_xyxy
    return detections.thermal_boxes_xyxy if camera == "thermal" else detections.rgb_boxes_xyxy


def _results(make: Make, detections: Detections, index: int, *, kelvin: bool) -> list[Any]:
    values = {detections.class_names[detections.class_ids[index]]: float(detections.scores[index])}
    temperatures = {"max_kelvin": detections.max_kelvin, "mean_kelvin": detections.mean_kelvin}
    for name, of_all in temperatures.items():
        if kelvin and of_all is not None and math.isfinite(of_all[index]):
            values[name] = float(of_all[index])
    pose = no_pose(make)
    return [make_hypothesis(make, pose, name, value) for name, value in values.items()]
