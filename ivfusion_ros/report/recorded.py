"""The page of a bag of results: fused images evenly over it, their objects, and how many there are."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import deserialize
from ivfusion_ros.errors import BagError, ImageError
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.messages import LABELS_TOPIC, LOG, MARKS_TOPIC, to_frame
from ivfusion_ros.report.chart import chart_of
from ivfusion_ros.report.heat import heat_of, histogram_of, measured_values
from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.shot import Shot, page_image
from ivfusion_ros.types import AnyImage, Image

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

_SHOTS = 40
FUSED = ("/fused/image_raw", "/fused/image_raw/compressed")
REGISTERED = ("/thermal/image_registered", "/thermal/image_registered/compressed")
DETECTIONS = "/detections"
LABELS = f"/{LABELS_TOPIC}"
MARKS = f"/{MARKS_TOPIC}"
_MARKS = 40
"""Whose results are shown, at most."""
_LONGEST = 80
"""Of a mark's text: other programs may write some too."""
_LEAST_SPREAD = 1e-6


@dataclass
class _Moment:
    """What a bag has of one stamp."""

    fused: Image | None = None
    measured: AnyImage | None = None
    boxes: list[dict[str, Any]] = field(default_factory=list)


def recorded_page(path: Path) -> Page:
    """Of a bag that a replay or a node wrote. Raises BagError for one without fused images."""
    with BagReader(path) as reader:
        names = {topic.name for topic in reader.topics}
        fused = next((name for name in FUSED if name in names), None)
        if fused is None:
            raise BagError(
                f"{path} has no {FUSED[0]}; expected a bag of `ivfusion replay`: run it, with --html"
            )
        labels = _labels(reader)
        stamps, objects = _overview(reader, fused, labels)
        if not stamps:
            raise BagError(f"{path} has no fused image that could be read")
        marks = _marks(reader, stamps)
        places = {
            *np.linspace(0, len(stamps) - 1, _SHOTS).astype(int).tolist(),
            *(index for _, index in marks),
        }
        chosen = [stamps[place] for place in sorted(places)]
        shots = list(_shots(reader, names, stamps, chosen, labels))
        losses = reader.losses
    seconds = (stamps[-1] - stamps[0]) / 1e9
    classes = Counter(name for found in objects for name in found.elements())
    lines = {name: [float(found[name]) for found in objects] for name, _ in classes.most_common(8)}
    gaps = [0.0, *(np.diff(stamps) / 1e6).tolist()]
    marked = [index for _, index in marks]
    note = "; lines: marked by hand" if marks else ""
    charts = [chart_of(f"time since the result before, ms{note}", {"": gaps}, marked)]
    charts += [chart_of(f"objects{note}", lines, marked)] if lines else []
    titles = {shot.index: shot.title for shot in shots}
    notable = [(f"{titles[index]}: {text}", index) for text, index in marks if index in titles]
    figures = {
        "pairs": len(stamps),
        "seconds": round(seconds, 2),
        "objects": dict(classes),
        "losses": losses,
    }
    return Page(path.name, figure_texts(figures), shots, charts, len(stamps), notable)


def _overview(
    reader: BagReader, fused: str, labels: Mapping[str, str]
) -> tuple[list[int], list[Counter[str]]]:
    """Stamps of all fused images, and the objects of each by class."""
    stamps: list[int] = []
    found: dict[int, Counter[str]] = {}
    for topic, message in _messages(reader, {fused, DETECTIONS}):
        stamp = _stamp_ns(message)
        if topic == DETECTIONS:
            found[stamp] = Counter(box["class"] for box in _boxes(message, labels))
        else:
            stamps.append(stamp)
    return stamps, [found.get(stamp, Counter()) for stamp in stamps]


def _marks(reader: BagReader, stamps: list[int]) -> list[tuple[str, int]]:
    """What was marked by hand while recording, and the index of the result that is nearest in time."""
    own = [topic.name for topic in reader.topics if (topic.name, topic.type) == (MARKS, LOG)]
    found = islice(_messages(reader, own), _MARKS) if own else ()
    times = np.array(stamps, np.int64)
    return [
        (message.msg[:_LONGEST], int(np.abs(times - _ns(message.stamp)).argmin())) for _, message in found
    ]


def _shots(
    reader: BagReader,
    names: set[str],
    stamps: list[int],
    chosen: list[int],
    labels: Mapping[str, str],
) -> Iterator[Shot]:
    moments = {stamp: _Moment() for stamp in chosen}
    for topic, message in _messages(reader, {*FUSED, *REGISTERED, DETECTIONS} & names):
        if moment := moments.get(_stamp_ns(message)):
            with suppress(ImageError):
                _take(moment, topic, message, labels)
    for stamp, moment in moments.items():
        if moment.fused is not None:
            seconds = (stamp - stamps[0]) / 1e9
            index = stamps.index(stamp)
            yield _shot(moment.fused, moment, index, f"pair {index}, {seconds:.2f} s")


def _take(moment: _Moment, topic: str, message: Any, labels: Mapping[str, str]) -> None:
    if topic == DETECTIONS:
        moment.boxes = _boxes(message, labels)
    elif topic in FUSED:
        moment.fused = to_rgb(to_frame(message).image)
    else:
        moment.measured = to_frame(message).image


def _messages(reader: BagReader, names: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Name of the topic and message; one that is damaged is left out."""
    for topic, _, data in reader.messages(names):
        with suppress(BagError):
            yield topic.name, deserialize(data, topic.type)


def _shot(fused: Image, moment: _Moment, index: int, title: str) -> Shot:
    images = {"fused": page_image(fused)}
    heat = histogram = None
    if moment.measured is not None:
        grey = _stretched(moment.measured)
        images = {"thermal": page_image(to_rgb(grey)), **images}
        heat, histogram = heat_of(moment.measured), histogram_of(moment.measured, grey)
    size = (fused.shape[1], fused.shape[0])
    return Shot(index, title, size, images, moment.boxes, histogram, {}, heat)


def _stretched(measured: AnyImage) -> Image:
    """(H, W) uint8: 0 where nothing is known."""
    values, _ = measured_values(measured)
    seen = values[np.isfinite(values)]
    least, most = np.percentile(seen, (1, 99)) if len(seen) else (0.0, 1.0)
    shares = np.nan_to_num((values - least) / max(most - least, _LEAST_SPREAD))
    return np.asarray(np.clip(shares, 0, 1) * 255, np.uint8)


def _stamp_ns(message: Any) -> int:
    return _ns(message.header.stamp)


def _ns(stamp: Any) -> int:
    return int(stamp.sec) * 10**9 + int(stamp.nanosec)


def _labels(reader: BagReader) -> dict[str, str]:
    """Names of the detector's classes by id, as far as the bag has them."""
    for _, message in _messages(reader, {LABELS}):
        return {str(item.class_id): item.class_name for item in message.class_map}
    return {}


def _boxes(message: Any, labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows as as_rows gives them, of a vision_msgs/Detection2DArray of either layout."""
    rows = []
    for found in message.detections:
        result = found.results[0]
        hypothesis = getattr(result, "hypothesis", result)
        centre = found.bbox.center
        middle = getattr(centre, "position", centre)
        wide, high = found.bbox.size_x / 2, found.bbox.size_y / 2
        class_id = str(getattr(hypothesis, "class_id", getattr(hypothesis, "id", "")))
        box = (middle.x - wide, middle.y - high, middle.x + wide, middle.y + high)
        rows.append(
            {
                "class": labels.get(class_id, class_id),
                "score": round(float(hypothesis.score), 4),
                "box_xyxy": [round(float(side), 2) for side in box],
                "track": getattr(found, "id", "") or None,
            }
        )
    return rows
