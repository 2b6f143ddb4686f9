"""The loss of YOLOv5 with anchors, as in its release (Jocher et al., YOLOv5 v6.0).

An object belongs to each anchor whose sides differ from its own by less than a factor, in its cell and the
two nearest ones. Boxes by complete IoU (Zheng et al. 2020), objectness learns that IoU, classes and
objectness by cross-entropy. The default constants are those of YOLOv5's fine-tuning.

Labels are never complete, and what they leave out would be unlearned. Where another detector's answers come
with a batch (see memory.py), a cell that no label speaks of learns those, each by how sure it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from ivfusion_ros.networks.yolov5 import BOX_VALUES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ivfusion_ros.training.detector.config import AnchorLossConfig

_LEAST_SURE = 0.05
"""Of an answer that counts."""


class Targets(NamedTuple):
    """What some cells of one stride should say, one row each.

    image, anchor, row, column: (N,) int64, which cell. boxes: (N, 4), centre from the cell's corner and
    size, in cells. sizes: (N, 2) of the anchors, in cells. classes: (N,) int64.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    boxes: Tensor
    sizes: Tensor
    classes: Tensor


class AnchorLoss:
    """Called with what AnchorHead gives and a batch of ultralytics."""

    def __init__(self, anchors: Tensor, strides: Sequence[int], constants: AnchorLossConfig) -> None:
        """anchors: (3, 3, 2) widths and heights in pixels by stride."""
        self._anchors, self._strides, self._constants = anchors, strides, constants

    def __call__(self, predictions: Any, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Tensor]]:
        """(loss times the batch size, the three terms by name).

        batch: `batch_idx` (N,), `cls` (N, 1), `bboxes` (N, 4) as centre and size, shares of the image; and
        `answers`, if there are any, another detector's logits of these images.
        """
        levels = predictions[1] if isinstance(predictions, tuple) else predictions
        device = levels[0].device
        columns = batch["batch_idx"].view(-1, 1), batch["cls"].view(-1, 1), batch["bboxes"].view(-1, 4)
        objects = torch.cat([column.float() for column in columns], 1).to(device)
        terms = torch.zeros(3, device=device)
        answers = batch.get("answers", [None] * len(levels))
        for level, (logits, answer) in enumerate(zip(levels, answers, strict=True)):
            terms = terms + self._of_level(logits, objects, level, answer)
        names = ("box_loss", "cls_loss", "obj_loss")
        return terms.sum() * len(levels[0]), dict(zip(names, terms.detach(), strict=True))

    def _of_level(self, logits: Tensor, objects: Tensor, level: int, answer: Tensor | None) -> Tensor:
        targets = self._targets(objects, level, logits.shape)
        wanted = torch.zeros_like(logits[..., 4])
        cell = targets.image, targets.anchor, targets.row, targets.column
        values = logits[cell]
        overlap = complete_iou(self._boxes(values, targets.sizes), targets.boxes)
        truth = functional.one_hot(targets.classes, logits.shape[4] - BOX_VALUES).to(values.dtype)
        classes = functional.binary_cross_entropy_with_logits(
            values[:, BOX_VALUES:], truth, reduction="none"
        ).mean(1)
        sums = torch.stack(((1 - overlap).sum(), classes.sum()))
        weight = sums.new_tensor(float(len(overlap)))
        # Of several objects in one cell the best box counts.
        order = overlap.detach().argsort()
        wanted[tuple(part[order] for part in cell)] = overlap.detach().clamp(min=0)[order]
        if answer is not None:
            labelled = torch.zeros_like(wanted, dtype=torch.bool)
            labelled[cell] = True
            sure, more = self._of_answers(logits, answer.float(), labelled, level)
            wanted, sums, weight = torch.maximum(wanted, sure), sums + more, weight + sure.sum()
        objectness = functional.binary_cross_entropy_with_logits(logits[..., 4], wanted)
        own = self._constants
        box, of_classes = sums / weight.clamp(min=1e-6)
        share = own.object_weight * own.level_balance[level]
        return torch.stack((own.box_weight * box, own.class_weight * of_classes, share * objectness))

    def _of_answers(
        self, logits: Tensor, answer: Tensor, labelled: Tensor, level: int
    ) -> tuple[Tensor, Tensor]:
        """(how sure the answers are of each cell that no label speaks of, summed distances to them).

        The distances, of boxes and of classes, count by how sure an answer is.
        """
        scores = answer[..., BOX_VALUES:].sigmoid()
        sure = answer[..., 4].sigmoid() * scores.amax(4)
        sure = torch.where(labelled | (sure < _LEAST_SURE), torch.zeros_like(sure), sure)
        cell = sure.nonzero(as_tuple=True)
        weights, values, said = sure[cell], logits[cell], answer[cell]
        sizes = (self._anchors[level].to(logits.device) / self._strides[level])[cell[1]]
        overlap = complete_iou(self._boxes(values, sizes), self._boxes(said, sizes))
        classes = functional.binary_cross_entropy_with_logits(
            values[:, BOX_VALUES:], scores[cell], reduction="none"
        ).mean(1)
        return sure, torch.stack((((1 - overlap) * weights).sum(), (classes * weights).sum()))

    @staticmethod
    def _boxes(values: Tensor, sizes: Tensor) -> Tensor:
        """(N, 4) centre from the cell's corner and size, in cells, of logits and their anchors."""
        share = values[:, :4].sigmoid()
        return torch.cat((share[:, :2] * 2 - 0.5, (share[:, 2:] * 2) ** 2 * sizes), 1)

    def _targets(self, objects: Tensor, level: int, shape: Sequence[int]) -> Targets:
        height, width = shape[2:4]
        sizes = self._anchors[level].to(objects.device) / self._strides[level]
        boxes = objects[:, 2:] * objects.new_tensor([width, height, width, height])
        ratio = boxes[None, :, 2:] / sizes[:, None]
        fits = torch.maximum(ratio, 1 / ratio).amax(2) < self._constants.max_ratio
        anchor, which = fits.nonzero(as_tuple=True)
        cells, place = _nearest_cells(boxes[which, :2], (width, height))
        anchor, which = anchor[place], which[place]
        offset = boxes[which, :2] - cells
        return Targets(
            image=objects[which, 0].long(),
            anchor=anchor,
            row=cells[:, 1].long(),
            column=cells[:, 0].long(),
            boxes=torch.cat((offset, boxes[which, 2:]), 1),
            sizes=sizes[anchor],
            classes=objects[which, 1].long(),
        )


def _nearest_cells(centres: Tensor, limit: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """(M, 2) cells (column, row) that centres (N, 2) lie in or nearest to, and (M,) of which centre."""
    border = centres.new_tensor(limit)
    home = torch.minimum(centres.floor(), border - 1)
    inside = centres - home
    cells, places = [home], [torch.arange(len(centres), device=centres.device)]
    for axis in (0, 1):
        for step, near in ((-1, inside[:, axis] < 0.5), (1, inside[:, axis] > 0.5)):
            neighbour = home.clone()
            neighbour[:, axis] += step
            there = near & (neighbour[:, axis] >= 0) & (neighbour[:, axis] < border[axis])
            cells.append(neighbour[there])
            places.append(there.nonzero()[:, 0])
    return torch.cat(cells), torch.cat(places)


def complete_iou(boxes: Tensor, others: Tensor) -> Tensor:
    """(N,) complete IoU of boxes (N, 4) with others (N, 4), each as centre and size; 1: equal."""
    centre, size, other_centre, other_size = boxes[:, :2], boxes[:, 2:], others[:, :2], others[:, 2:]
    low, high = centre - size / 2, centre + size / 2
    other_low, other_high = other_centre - other_size / 2, other_centre + other_size / 2
    shared = (torch.minimum(high, other_high) - torch.maximum(low, other_low)).clamp(min=0).prod(1)
    iou = shared / (size.prod(1) + other_size.prod(1) - shared + 1e-7)
    hull = torch.maximum(high, other_high) - torch.minimum(low, other_low)
    apart = ((other_centre - centre) ** 2).sum(1) / ((hull**2).sum(1) + 1e-7)
    angle, other_angle = (torch.atan(side[:, 0] / (side[:, 1] + 1e-7)) for side in (size, other_size))
    shape = 4 / math.pi**2 * (other_angle - angle) ** 2
    with torch.no_grad():
        trade = shape / (shape - iou + 1 + 1e-7)
    return iou - apart - trade * shape
