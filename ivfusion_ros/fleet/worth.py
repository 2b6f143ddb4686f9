"""Which moments are worth a label: cameras that disagree, scores that are middling, faults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ivfusion_ros.detection import suppress
from ivfusion_ros.graphs import box_iou
from ivfusion_ros.types import Detections

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ivfusion_ros.fleet.moments import Moment

SAME_IOU = 0.3
"""Of boxes in two cameras' images: registration leaves them some pixels apart."""
_ONE_IOU = 0.5
"""Of boxes that are one object, when all are put together."""
_MOST = 300
"""Objects of a moment."""


@dataclass(frozen=True)
class Worth:
    """Of a moment: objects that one camera alone shows surely, unsure ones in the fused image, faults."""

    disagreements: int
    middling: int
    faults: tuple[str, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Words; none where a label would teach little."""
        said = {"disagree": self.disagreements, "middling": self.middling, "fault": self.faults}
        return tuple(word for word, present in said.items() if present)

    @property
    def strength(self) -> int:
        """A fault counts once, since it lasts."""
        return self.disagreements + self.middling + bool(self.faults)


def worth_of(moment: Moment, thermal: Detections, rgb: Detections, sure: float) -> Worth:
    """thermal, rgb: what each camera's image shows, in the same pixels. sure: score from which on it is."""
    apart = alone(thermal, rgb, sure) + alone(rgb, thermal, sure)
    return Worth(apart, middling(moment.objects, sure), moment.faults)


def middling(found: Detections, sure: float) -> int:
    """Objects whose score is reported, and not yet sure."""
    return int((found.scores < sure).sum())


def alone(found: Detections, other: Detections, sure: float) -> int:
    """Sure objects where the other has none of their class, however unsure."""
    count = 0
    for index in np.flatnonzero(found.scores >= sure):
        same = other.class_ids == found.class_ids[index]
        shares = box_iou(found.boxes_xyxy[index], other.boxes_xyxy[same])
        count += not (shares >= SAME_IOU).any()
    return count


def looked_at(moments: Sequence[Moment], every_s: float, sure: float) -> Mapping[int, Moment]:
    """By stamp, one moment of each span of every_s seconds: the one of which most is known by now."""
    best: dict[int, Moment] = {}
    for moment in moments:
        span = (moment.stamp_ns - moments[0].stamp_ns) // max(1, int(every_s * 1e9))
        known = best.get(span)
        if known is None or _known(moment, sure) > _known(known, sure):
            best[span] = moment
    return {moment.stamp_ns: moment for moment in best.values()}


def _known(moment: Moment, sure: float) -> int:
    return middling(moment.objects, sure) + bool(moment.faults)


def together(parts: Iterable[Detections]) -> Detections:
    """Objects of several images of a moment, each once: where boxes overlap, the surest."""
    parts = list(parts)
    boxes = np.concatenate([part.boxes_xyxy for part in parts])
    scores = np.concatenate([part.scores for part in parts])
    class_ids = np.concatenate([part.class_ids for part in parts])
    kept = suppress(boxes, scores, class_ids, _ONE_IOU, _MOST)
    return Detections(boxes[kept], scores[kept], class_ids[kept], parts[0].class_names)
