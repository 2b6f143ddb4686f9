"""The report of an evaluation: all figures as JSON, and a page of Markdown for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ivfusion_ros import __version__
from ivfusion_ros.evaluation.fusion.pairs import pair_files
from ivfusion_ros.evaluation.fusion.scores import LOWER_IS_BETTER
from ivfusion_ros.evaluation.fusion.tables import (
    ALL,
    Row,
    cost_columns,
    finite,
    image_rows,
    mean_rows,
    metric_names,
    to_markdown,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ivfusion_ros.evaluation.fusion.judge import Result
    from ivfusion_ros.evaluation.fusion.methods import Method
    from ivfusion_ros.evaluation.fusion.pairs import Pair
    from ivfusion_ros.evaluation.speed.cost import Cost

MAX_SKIPPED = 50
"""Skipped images that the page lists; the JSON has all."""


def figures(
    results: Sequence[Result], methods: Sequence[Method], costs: Mapping[str, Cost], pairs: Sequence[Pair]
) -> Row:
    """Everything, for JSON; infinite values are None."""
    names = metric_names(results)
    networks: dict[str, Any] = {method.label: method.details() for method in methods}
    for label, cost in costs.items():
        networks[label]["cost"] = vars(cost)
    content = {
        "version": __version__,
        "metrics": names,
        "lower_is_better": [name for name in names if name in LOWER_IS_BETTER],
        "networks": networks,
        "means": mean_rows(results, {}),
        "images": image_rows(results),
        "skipped": skipped_rows(results),
        "pairs": pair_files(pairs),
    }
    return dict(finite(content))


def page(results: Sequence[Result], costs: Mapping[str, Cost], pictures: Sequence[str]) -> str:
    """Markdown: a table of means per data set, cost, pictures, and what was skipped."""
    rows, names = mean_rows(results, {}), metric_names(results)
    parts = ["# Fusion networks compared\n"]
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [{key: row[key] for key in row if key != "data"} for row in rows if row["data"] == data]
        note = ": means over the images of all data sets" if data == ALL else ""
        parts.append(f"## {data}{note}\n\n{to_markdown(own, names)}")
        if len({row["images"] for row in own}) > 1:
            parts.append("The networks were not scored on the same images: compare with care.\n")
    if costs:
        table = [{"network": label, **cost_columns(cost)} for label, cost in costs.items()]
        parts.append(f"## Cost\n\n{to_markdown(table)}")
    parts += [f"![{name}]({name})\n" for name in pictures]
    skipped = skipped_rows(results)
    if skipped:
        rest = len(skipped) - MAX_SKIPPED
        more = f"\nand {rest} more, see results.json\n" if rest > 0 else ""
        parts.append(f"## {len(skipped)} skipped\n\n{to_markdown(skipped[:MAX_SKIPPED])}{more}")
    return "\n".join(parts)


def skipped_rows(results: Sequence[Result]) -> list[Row]:
    """What could not be scored, and why."""
    return [
        {"data": item.data, "pair": item.pair, "network": item.method, "reason": item.reason}
        for item in results
        if not item.scores
    ]
