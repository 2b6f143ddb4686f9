"""Average precisions by subset (all, day, night), method and class: rows, JSON and a page of Markdown."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ivfusion_ros import __version__
from ivfusion_ros.detection.thresholds import told_thresholds
from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.detection.find import (
    CONFIDENCE,
    MAX_DETECTIONS,
    OVERLAP,
    DetectorUnderTest,
    Found,
)
from ivfusion_ros.evaluation.detection.gain import section
from ivfusion_ros.evaluation.detection.levels import ENOUGH_IMAGES, FALSE_ALARMS
from ivfusion_ros.evaluation.detection.precision import ALL, Precision, mean, precisions
from ivfusion_ros.evaluation.detection.scenes import read_truth
from ivfusion_ros.evaluation.fusion.pairs import pair_files
from ivfusion_ros.evaluation.fusion.tables import Row, to_markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ivfusion_ros.evaluation.detection.calibration import Calibration
    from ivfusion_ros.evaluation.detection.gain import Gain
    from ivfusion_ros.evaluation.detection.scenes import Truth
    from ivfusion_ros.evaluation.fusion.methods import Method
    from ivfusion_ros.evaluation.fusion.pairs import Pair


@dataclass(frozen=True, eq=False)
class Entry:
    """How one method did on one subset, class by class."""

    subset: str
    method: str
    images: int
    classes: tuple[Precision, ...]

    @property
    def ap50(self) -> float | None:
        """Mean over the classes that there are."""
        return mean([item.ap50 for item in self.classes])

    @property
    def ap50_95(self) -> float | None:
        """Mean over the classes that there are."""
        return mean([item.ap50_95 for item in self.classes])


def complete(results: list[Found]) -> tuple[list[Truth], dict[str, list[Found]], list[Found]]:
    """The scenes of which every method has an image, by method; and what is missing.

    Raises DataError where there is none.
    """
    skipped = [item for item in results if item.reason]
    incomplete = {item.scene for item in skipped}
    found: dict[str, list[Found]] = {}
    for item in results:
        if item.scene not in incomplete:
            found.setdefault(item.method, []).append(item)
    if not found:
        raise DataError(f"no scene can be evaluated; the first: {skipped[0].reason}")
    some = next(iter(found.values()))
    truths = [read_truth(item.scene, item.size) for item in some]
    return truths, found, skipped


def judge(
    truths: Sequence[Truth], found: dict[str, list[Found]], class_names: Sequence[str]
) -> list[Entry]:
    """Entries of all subsets that hold a scene; truths[i] belongs to found[method][i]."""
    entries = []
    for subset, chosen in subsets(found).items():
        own_truths = [truths[index] for index in chosen]
        for method, items in found.items():
            classes = precisions(own_truths, [items[index] for index in chosen], class_names)
            entries.append(Entry(subset, method, len(chosen), tuple(classes)))
    return entries


def subsets(found: Mapping[str, Sequence[Found]]) -> dict[str, list[int]]:
    """Places of the scenes of each subset: of all, and of day and night where there are both."""
    nights = [item.scene.night for item in next(iter(found.values()))]
    places = {ALL: list(range(len(nights)))}
    if len(set(nights)) > 1:
        places["day"] = [index for index, night in enumerate(nights) if not night]
        places["night"] = [index for index, night in enumerate(nights) if night]
    return places


def rows(entries: Sequence[Entry]) -> list[Row]:
    """One row per entry: AP50 of each class and their mean, then AP50:95, in [0, 1]."""
    return [
        {"subset": entry.subset, "images": entry.method}
        | {f"AP50 {item.class_name}": item.ap50 for item in entry.classes}
        | {f"AP50 {ALL}": entry.ap50}
        | {f"AP50:95 {item.class_name}": item.ap50_95 for item in entry.classes}
        | {f"AP50:95 {ALL}": entry.ap50_95}
        for entry in entries
    ]


def page(
    entries: Sequence[Entry],
    detector: DetectorUnderTest,
    skipped: Sequence[Found],
    pictures: Sequence[str],
    scored: Mapping[str, Calibration] | None = None,
    added: Sequence[Gain] = (),
) -> str:
    """Markdown: a table per subset (as Table 4 of RefineFuse's paper), pictures, what was skipped."""
    parts = [
        f"# Objects found by {detector.path.name}\n",
        "Average precision as COCO defines it, in [0, 1]: at an overlap of 0.5 (AP50) and its mean over "
        f"0.5 to 0.95 (AP50:95). The same protocol for all: scores from {CONFIDENCE:g}, suppression at an "
        f"overlap of {OVERLAP:g}, at most {MAX_DETECTIONS} objects per image.\n",
    ]
    table = rows(entries)
    for subset in dict.fromkeys(entry.subset for entry in entries):
        first = next(entry for entry in entries if entry.subset == subset)
        objects = ", ".join(f"{item.objects} {item.class_name}" for item in first.classes)
        own = [
            {key: row[key] for key in row if key != "subset"} for row in table if row["subset"] == subset
        ]
        best = [name for name in own[0] if name != "images" and own[0][name] is not None]
        parts.append(f"## {subset}: {first.images} scenes; {objects}\n\n{to_markdown(own, best)}")
    if added:
        parts.append(section(added))
    if scored:
        parts.append(_thresholds(scored, detector))
    parts += [f"![{name}]({name})\n" for name in pictures]
    if skipped:
        parts.append(f"## Left out\n\n{to_markdown(skipped_rows(skipped))}")
    return "\n".join(parts)


def _thresholds(scored: Mapping[str, Calibration], detector: DetectorUnderTest) -> str:
    """The table of thresholds at equal false alarms, beside what the model's own gives."""
    table: list[Row] = []
    for name, own in scored.items():
        at = own.threshold()
        row: Row = {
            "images": name,
            f"threshold at {FALSE_ALARMS:g} false alarms": at,
            "found": own.found(at),
        }
        its = detector.thresholds[own.class_ids]
        row |= {"found at its own": own.found(its), "false alarms at its own": own.false_alarms(its)}
        table.append({**row, "calibration error": own.error()})
    told = told_thresholds(detector.thresholds, detector.class_names)
    text = (
        "False alarms are wrong boxes per image; found is the share of all objects. The detector's own "
        f"threshold is {told}."
    )
    images = min(own.images for own in scored.values())
    if images < ENOUGH_IMAGES:
        wrong = int(FALSE_ALARMS * images)
        text += (
            f" Thresholds by {images} images (wrong boxes in all: {wrong}) say little; take at least "
            f"{ENOUGH_IMAGES}."
        )
    return f"## Thresholds\n\n{text}\n\n{to_markdown(table)}"


def figures(
    entries: Sequence[Entry],
    methods: Sequence[Method],
    detector: DetectorUnderTest,
    skipped: Sequence[Found],
    scored: Mapping[str, Calibration],
    added: Sequence[Gain],
    scenes: Sequence[Row],
    pairs: Iterable[Pair],
) -> dict[str, Any]:
    """Everything, for JSON; the curves are precision at recalls of 0, 0.01 to 1. scenes: by scene_rows."""
    return {
        "version": __version__,
        "detector": detector.details(),
        "methods": {method.label: method.details() for method in methods},
        "results": [
            {
                "subset": entry.subset,
                "images": entry.method,
                "scenes": entry.images,
                "AP50": entry.ap50,
                "AP50:95": entry.ap50_95,
                "classes": {
                    item.class_name: {
                        "objects": item.objects,
                        "AP50": item.ap50,
                        "AP50:95": item.ap50_95,
                        "curve": [round(value, 4) for value in item.curve.tolist()],
                    }
                    for item in entry.classes
                },
            }
            for entry in entries
        ],
        "added_by_fusion": [vars(item) for item in added],
        "thresholds": {
            name: {
                "threshold": own.threshold(),
                "found": own.found(own.threshold()),
                "calibration_error": own.error(),
            }
            for name, own in scored.items()
        },
        "skipped": skipped_rows(skipped),
        "scenes": list(scenes),
        "pairs": pair_files(pairs),
    }


def skipped_rows(skipped: Sequence[Found]) -> list[Row]:
    """Images that there are not, and why: their scenes count for no method."""
    return [
        {"scene": item.scene.pair.stem, "images": item.method, "reason": item.reason} for item in skipped
    ]
