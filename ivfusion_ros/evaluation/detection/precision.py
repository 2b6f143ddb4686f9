"""Average precision as COCO defines it, by pycocotools; and what was missed."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ivfusion_ros.errors import BackendError
from ivfusion_ros.evaluation.detection.find import MAX_DETECTIONS, Found
from ivfusion_ros.types import Boxes, Floats, Mask

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.evaluation.detection.scenes import Truth
ALL = "all"
"""The subset of every scene, and the mean over classes."""

RECALLS: Floats = np.linspace(0, 1, 101)
"""Where COCO samples a precision-recall curve."""


@dataclass(frozen=True, eq=False)
class Precision:
    """Of one class in the images of one method.

    objects: how many there are. ap50, ap50_95: in [0, 1], None without objects.
    curve: (101,) precision at RECALLS by an overlap of 0.5, empty without objects.
    """

    class_name: str
    objects: int
    ap50: float | None
    ap50_95: float | None
    curve: Floats


@dataclass(frozen=True, eq=False)
class Matches:
    """One class in the images of one method at an overlap of 0.5, from which any scenes can be judged.

    Of each of N boxes, the surest first: scene (N,) where it is, right (N,) whether an object is there.
    objects (S,): how many each scene has.
    """

    scene: npt.NDArray[np.int64]
    right: Mask
    objects: Floats

    def ap50(self, weights: Floats) -> float:
        """AP50 where scene i counts weights[i] times; NaN without objects."""
        objects = float(self.objects @ weights)
        if not objects:
            return float("nan")
        counted = weights[self.scene]
        hits = np.cumsum(counted * self.right)
        precision = hits / np.maximum(np.cumsum(counted), np.spacing(1))
        best = np.maximum.accumulate(precision[::-1])[::-1]
        # COCO's place of a recall; beyond the last there is none.
        places = np.searchsorted(hits / objects, RECALLS, side="left")
        return float(np.append(best, 0.0)[places].mean())


def precisions(
    truths: Sequence[Truth], found: Sequence[Found], class_names: Sequence[str]
) -> list[Precision]:
    """By class, for the images of one method; truths[i] belongs to found[i].

    Raises BackendError where pycocotools is missing.
    """
    table = _evaluated(truths, found, class_names).eval["precision"][:, :, :, 0, 0]
    results = []
    for index, name in enumerate(class_names):
        objects = sum(int(np.count_nonzero(truth.class_ids == index)) for truth in truths)
        if not objects:
            results.append(Precision(name, 0, None, None, np.zeros(0)))
            continue
        own = table[:, :, index]
        results.append(Precision(name, objects, float(own[0].mean()), float(own.mean()), own[0]))
    return results


def matches(truths: Sequence[Truth], found: Sequence[Found], class_names: Sequence[str]) -> list[Matches]:
    """By class, what COCO counts as found in the images of one method; truths[i] belongs to found[i].

    Raises BackendError where pycocotools is missing.
    """
    entries = [entry for entry in _evaluated(truths, found, class_names).evalImgs if entry is not None]
    results = []
    for index in range(len(class_names)):
        own = [entry for entry in entries if entry["category_id"] == index]
        scene = np.array([entry["image_id"] for entry in own for _ in entry["dtIds"]], np.int64)
        scores = np.array([score for entry in own for score in entry["dtScores"]])
        right = np.array([match > 0 for entry in own for match in entry["dtMatches"][0]], bool)
        order = np.argsort(-scores, kind="mergesort")
        objects = np.array([np.count_nonzero(truth.class_ids == index) for truth in truths], np.float64)
        results.append(Matches(scene[order], right[order], objects))
    return results


def missed(
    truths: Sequence[Truth], found: Sequence[Found], class_names: Sequence[str], thresholds: Floats
) -> list[list[int]]:
    """Of each image, the objects (places in its Truth) without a reported box of their class on them.

    Reported are scores from those of (classes,) thresholds on; a box is on an object by an overlap of 0.5.
    Raises BackendError where pycocotools is missing.
    """
    evaluation = _evaluated(truths, found, class_names, thresholds)
    places = [(image, place) for image, truth in enumerate(truths) for place in range(len(truth.class_ids))]
    results: list[list[int]] = [[] for _ in truths]
    for entry in evaluation.evalImgs:
        if entry is None:
            continue
        for number, match in zip(entry["gtIds"], entry["gtMatches"][0], strict=True):
            if not match:
                image, place = places[number - 1]
                results[image].append(place)
    return [sorted(result) for result in results]


def false_alarms(
    truths: Sequence[Truth], found: Sequence[Found], class_names: Sequence[str], thresholds: Floats
) -> list[int]:
    """Of each image, the boxes that are reported, as missed has it, on no object of their class.

    Raises BackendError where pycocotools is missing.
    """
    counts = [0] * len(truths)
    for entry in _evaluated(truths, found, class_names, thresholds).evalImgs:
        if entry is not None:
            counts[entry["image_id"]] += int(np.count_nonzero(entry["dtMatches"][0] == 0))
    return counts


def mean(values: Sequence[float | None]) -> float | None:
    """Over the classes that there are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _evaluated(
    truths: Sequence[Truth],
    found: Sequence[Found],
    class_names: Sequence[str],
    thresholds: Floats | None = None,
) -> Any:
    """A COCOeval that has run, over all sizes of objects."""
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise BackendError(
            f"average precision needs pycocotools ({error}); run: pip install pycocotools"
        ) from error
    objects, boxes = [], []
    for image, (truth, item) in enumerate(zip(truths, found, strict=True)):
        objects += _annotations(image, truth.boxes_xyxy, truth.class_ids)
        least = 0 if thresholds is None else thresholds[item.detections.class_ids]
        sure = item.detections.scores >= least
        rows = _annotations(image, item.detections.boxes_xyxy[sure], item.detections.class_ids[sure])
        for row, score in zip(rows, item.detections.scores[sure].tolist(), strict=True):
            boxes.append({**row, "score": score})
    frame = {
        "images": [{"id": image} for image in range(len(truths))],
        "categories": [{"id": index, "name": name} for index, name in enumerate(class_names)],
    }
    # It prints its progress, which is none of ours.
    with contextlib.redirect_stdout(io.StringIO()):
        pair = []
        for annotations in (objects, boxes):
            coco = COCO()
            coco.dataset = {**frame, "annotations": _numbered(annotations)}
            coco.createIndex()
            pair.append(coco)
        evaluation = COCOeval(*pair, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.params.maxDets = [MAX_DETECTIONS]
        evaluation.params.recThrs = RECALLS
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _annotations(image: int, boxes_xyxy: Boxes, class_ids: npt.NDArray[np.int64]) -> list[dict[str, Any]]:
    rows = []
    for (left, top, right, bottom), class_id in zip(boxes_xyxy.tolist(), class_ids.tolist(), strict=True):
        width, height = right - left, bottom - top
        box = [left, top, width, height]
        rows.append(
            {"image_id": image, "category_id": class_id, "bbox": box, "area": width * height, "iscrowd": 0}
        )
    return rows


def _numbered(annotations: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    # From 1 on: pycocotools takes a match with number 0 for none.
    return [{**row, "id": number} for number, row in enumerate(annotations, start=1)]
