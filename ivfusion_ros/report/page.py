"""What a page holds, and how it becomes one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import write_whole
from ivfusion_ros.report.chart import HEIGHT, WIDTH, Chart
from ivfusion_ros.report.shot import Shot

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Page:
    """figures: names and texts of the table on top. shots: in order. charts: over all `count` results.

    notable: what to look at first: a reason and the index of a shot. pictures: a caption and a data URI.
    """

    title: str
    figures: Mapping[str, str]
    shots: Sequence[Shot]
    charts: Sequence[Chart]
    count: int
    notable: Sequence[tuple[str, int]] = ()
    pictures: Sequence[tuple[str, str]] = ()


def render(page: Page) -> str:
    """The page as HTML that needs no other file and no network. Raises ConfigError without jinja2."""
    environment = _jinja2().Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=_jinja2().StrictUndefined
    )
    folder = files("ivfusion_ros.report")
    parts = {name: (folder / f"page.{name}").read_text(encoding="utf-8") for name in ("html", "css", "js")}
    shots = [asdict(shot) for shot in page.shots]
    return str(
        environment.from_string(parts["html"]).render(
            page=page, shots=shots, style=parts["css"], script=parts["js"], width=WIDTH, height=HEIGHT
        )
    )


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
