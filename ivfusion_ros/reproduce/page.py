"""A made table as Markdown and as HTML: of each row the paper's values, ours, and the difference."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from ivfusion_ros.evaluation.fusion.tables import to_markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ivfusion_ros.reproduce.job import Job, Outcome

_STYLE = (
    "body{font:15px system-ui,sans-serif;margin:2em;color:#222}table{border-collapse:collapse}"
    "td,th{padding:.25em .7em;text-align:right;border-bottom:1px solid #ddd}"
    "td:nth-child(-n+2),th:nth-child(-n+2){text-align:left}tr.difference td{color:#666}"
)

Line = dict[str, str]
"""Cells by column."""


def lines(job: Job, outcome: Outcome) -> list[Line]:
    """The rows as text: of each the paper's values, and where there are any, ours and the difference."""
    found = []
    for name, row in job.rows().items():
        paper = dict(zip(job.table.columns, row.paper, strict=True))
        own = outcome.values.get(name, {})
        ours = {title: own.get(measure) for title, measure in job.table.columns.items()}
        parts = {"paper": paper, "ours": ours, "difference": _differences(paper, ours)}
        form = {"paper": "", "ours": "", "difference": "+"}
        for part, values in parts.items():
            cells = {title: _cell(value, form[part], job.table.digits) for title, value in values.items()}
            if any(cells.values()):
                found.append({"method": name, "of": part, **cells})
    return found


def _differences(paper: dict[str, float | None], ours: dict[str, float | None]) -> dict[str, float | None]:
    return {
        title: None if printed is None or (own := ours[title]) is None else own - printed
        for title, printed in paper.items()
    }


def _cell(value: float | None, sign: str, digits: int) -> str:
    return "" if value is None else f"{value:{sign}.{digits}f}"


def _title(job: Job) -> str:
    return f"Table {job.table.number} of {job.paper.name}: {job.table.title}"


def _notes(job: Job, outcome: Outcome) -> Iterator[str]:
    if job.paper.quick:
        yield "made with --quick, at toy size: the figures say nothing about the networks"
    yield from outcome.notes


def markdown_page(job: Job, outcome: Outcome) -> str:
    """The table with a title and notes."""
    notes = "".join(f"- {note}\n" for note in _notes(job, outcome))
    return f"# {_title(job)}\n\n{to_markdown(lines(job, outcome))}\n{notes}"


def html_page(job: Job, outcome: Outcome) -> str:
    """The same as one file that needs no other."""
    title = html.escape(_title(job))
    content = lines(job, outcome)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in content[0])
    body = "\n".join(
        f'<tr class="{line["of"]}">'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in line.values())
        + "</tr>"
        for line in content
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in _notes(job, outcome))
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body><h1>{title}</h1>\n<table>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody></table>\n<ul>{notes}</ul></body></html>\n"
    )
