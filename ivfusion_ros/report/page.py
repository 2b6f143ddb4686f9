"""What a page holds, and how it becomes one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import write_whole
from ivfusion_ros.report import bars, chart
from ivfusion_ros.report.bars import Bars
from ivfusion_ros.report.chart import Chart
from ivfusion_ros.report.shot import Shot
from ivfusion_ros.report.table import Table

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Page:
    """figures: names and texts of a table. shots: in order. charts: over all `count` results.

    notable: what to look at first: a reason and the index of a shot. pictures: a caption and a data URI.
    ranked: by metric (place, text, index of a shot or None). curves: charts over something else.
    """

    title: str
    figures: Mapping[str, str]
    shots: Sequence[Shot] = ()
    charts: Sequence[Chart] = ()
    count: int = 0
    notable: Sequence[tuple[str, int]] = ()
    pictures: Sequence[tuple[str, str]] = ()
    tables: Sequence[Table] = ()
    bars: Sequence[Bars] = ()
    curves: Sequence[Chart] = ()
    ranked: Mapping[str, Sequence[tuple[str, str, int | None]]] = field(default_factory=dict)


def render(page: Page) -> str:
    """The page as HTML that needs no other file and no network. Raises ConfigError without jinja2."""
    return render_template(
        "page.html",
        page=page,
        shot_count=len(page.shots),
        shots=[asdict(shot) for shot in page.shots],
        tables=[asdict(table) for table in page.tables],
        style=page_file("viewer.css"),
        script=page_file("viewer.js") + page_file("page.js"),
        width=chart.WIDTH,
        height=chart.HEIGHT,
        bar_width=bars.WIDTH,
        bar_height=bars.HEIGHT,
    )


def render_template(name: str, **values: Any) -> str:
    """A template of this room, which may include others of it. Raises ConfigError without jinja2."""
    jinja2 = _jinja2()
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(page_file),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return str(environment.get_template(name).render(**values))


def page_file(name: str) -> str:
    """A template, style or script of this room."""
    return (files("ivfusion_ros.report") / name).read_text(encoding="utf-8")


def figure_texts(figures: Mapping[str, Any]) -> dict[str, str]:
    """Figures as a page's table has them."""
    return {name.replace("_", " "): figure_text(value) for name, value in figures.items()}


def figure_text(value: Any) -> str:
    """A figure as a page writes it; nested ones in a line."""
    if isinstance(value, dict):
        return ", ".join(f"{name} {figure_text(item)}" for name, item in value.items()) or "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(figure_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def write_page(path: Path, page: Page) -> None:
    """Render into a file, which is there whole or not at all. Raises as render, and OSError."""
    write_whole(path, render(page))


def check_renderer() -> None:
    """Raise ConfigError where the library for pages is missing, before any work."""
    _jinja2()


def _jinja2() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise ConfigError("a page needs jinja2: pip install jinja2, or this package[report]") from error
    return jinja2
