"""The output layouts of YOLO detectors: telling them apart and decoding them.

classic: (1, anchors, 5 + classes), rows of cx, cy, w, h, objectness, class scores; three anchors per
grid cell. u (ultralytics' anchor-free `yolov5*u`): (1, 4 + classes, anchors), one anchor per cell and
no objectness. u_rows: the same as rows, (1, anchors, 4 + classes). end2end, with NMS or a choice of its
own inside (`nms=True`, YOLOv10, YOLO26): (1, N, 6), rows of x1, y1, x2, y2, score, class. Boxes are in
network pixels, scores in [0, 1] (sigmoid is in the graph).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import ModelError
from ivfusion_ros.types import Boxes, Floats32, Size

if TYPE_CHECKING:
    from collections.abc import Mapping

_RAW_MAP_SIDES = 5
"""(1, 3, rows, columns, 5 + classes): what export.py of YOLOv5 5.0 to 6.1 wrote beside the output."""

_STRIDES = ((8, 16, 32), (8, 16, 32, 64))
"""Of the usual and of the P6 models."""


class Head(NamedTuple):
    """How to read an output. class_count: 0 for one that does not tell, and nobody else does."""

    layout: Literal["classic", "u", "u_rows", "end2end"]
    class_count: int


@dataclass(frozen=True)
class Candidates:
    """Boxes before NMS: boxes_xyxy (N, 4) float32, scores (N,) float32, class_ids (N,) int64."""

    boxes_xyxy: Boxes
    scores: Floats32
    class_ids: npt.NDArray[np.int64]

    def select(self, which: npt.NDArray[Any]) -> Candidates:
        """The candidates of an index or mask array."""
        return Candidates(self.boxes_xyxy[which], self.scores[which], self.class_ids[which])


def detection_output(shapes: Mapping[str, tuple[int | None, ...] | None]) -> str:
    """Name of the output with the detections, by the outputs' shapes; raw maps beside it do not count.

    Raises ModelError for other models.
    """
    ranks = {name: None if shape is None else len(shape) for name, shape in shapes.items()}
    named = [name for name, rank in ranks.items() if rank != _RAW_MAP_SIDES]
    if len(named) == 1:
        return named[0]
    found = f"the detector has the outputs {', '.join(shapes)}"
    if named:
        raise ModelError(
            f"{found}, expected one with detections (raw maps beside it are left out): export a detection "
            "model, not one for segmentation, and with one output for boxes, scores and classes"
        )
    raise ModelError(f"{found}, all raw maps without boxes: export it again without --train")


def identify_head(shape: tuple[int, ...], size: Size, class_count: int | None = None) -> Head:
    """The head that gives this output shape for an input of size (width, height).

    class_count decides where both would fit. Raises ModelError if neither does.
    """
    cells = {sum(-(-size[0] // s) * -(-size[1] // s) for s in strides) for strides in _STRIDES}
    heads: list[Head] = []
    if len(shape) == 3 and shape[0] == 1:
        _, rows, columns = shape
        if rows in {3 * count for count in cells} and columns > 5:
            heads.append(Head("classic", columns - 5))
        if columns in cells and rows > 4:
            heads.append(Head("u", rows - 4))
        if rows in cells and columns > 4 and not heads:
            # Of two classes it has the columns of an end-to-end head, which never has a row for each cell.
            heads.append(Head("u_rows", columns - 4))
        if columns == 6 and not heads:
            heads.append(Head("end2end", class_count or 0))
    if not heads:
        count = min(cells)
        raise ModelError(
            f"output {shape} is not a YOLO detection head; expected (1, {3 * count}, 5 + classes) or "
            f"(1, 4 + classes, {count}) for an input of {size[0]}x{size[1]}, or (1, N, 6) with NMS inside: "
            "export a detection model for a batch of 1, e.g. `yolo export model=yolov5nu.pt format=onnx`"
        )
    return next((head for head in heads if head.class_count == class_count), heads[0])


def decode(output: npt.NDArray[Any], head: Head, confidence: float) -> Candidates:
    """Boxes of a (1, ..., ...) output with a score of at least confidence, each with its best class.

    What is not finite is dropped; boxes may be empty or lie outside the network's input.
    """
    raw = output[0].astype(np.float32, copy=False)
    if head.layout == "end2end":
        return _end2end(raw, confidence)
    if head.layout == "u_rows":
        raw = np.ascontiguousarray(raw.T)
    # A broken network may give inf or nan: they end in nan scores, which no threshold lets through.
    with np.errstate(invalid="ignore", over="ignore"):
        rows, class_scores = (_classic if head.layout == "classic" else _u)(raw, confidence)
        class_ids = class_scores.argmax(axis=1)
        scores = np.take_along_axis(class_scores, class_ids[:, None], axis=1)[:, 0]
        keep = (scores >= confidence) & np.isfinite(scores) & np.isfinite(rows).all(axis=1)
        centre, half = rows[keep, :2], rows[keep, 2:] / 2
        boxes = np.concatenate([centre - half, centre + half], axis=1)
    return Candidates(boxes, np.minimum(scores[keep], 1), class_ids[keep].astype(np.int64))


def _end2end(raw: Floats32, confidence: float) -> Candidates:
    keep = (raw[:, 4] >= confidence) & np.isfinite(raw).all(axis=1) & (raw[:, 5] >= 0)
    # Rows without an object are zeros.
    rows = raw[keep & (raw[:, :4] != 0).any(axis=1)]
    return Candidates(rows[:, :4], np.minimum(rows[:, 4], 1), rows[:, 5].astype(np.int64))


def _classic(raw: Floats32, confidence: float) -> tuple[Floats32, Floats32]:
    """((M, 4) cxcywh, (M, classes) scores) of the anchors that can reach the confidence."""
    rows = raw[raw[:, 4] >= confidence]
    return rows[:, :4], rows[:, 5:] * rows[:, 4:5]


def _u(raw: Floats32, confidence: float) -> tuple[Floats32, Floats32]:
    """((M, 4) cxcywh, (M, classes) scores) of the anchors that reach the confidence."""
    columns = raw[:, raw[4:].max(axis=0) >= confidence]
    return columns[:4].T, columns[4:].T


def box_iou(box: Floats32, others: Boxes) -> Floats32:
    """Intersection over union of one (4,) box with (N, 4) boxes, all xyxy; 0 with an empty one.

    Of more boxes at once where NumPy broadcasts them: (M, 1, 4) with (N, 4) give (M, N).
    """
    # In f64: a broken network's boxes may be so large that their areas are not finite in f32.
    first, rest = box.astype(np.float64), others.astype(np.float64)
    shared = np.minimum(first[..., 2:], rest[..., 2:]) - np.maximum(first[..., :2], rest[..., :2])
    intersection = np.prod(np.maximum(shared, 0), axis=-1)
    area = np.prod(np.maximum(first[..., 2:] - first[..., :2], 0), axis=-1)
    areas = np.prod(np.maximum(rest[..., 2:] - rest[..., :2], 0), axis=-1)
    union = np.maximum(area + areas - intersection, np.finfo(np.float64).tiny)
    result: Floats32 = (intersection / union).astype(np.float32)
    return result
