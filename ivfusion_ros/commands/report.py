"""`ivfusion report`: a page of a result that another command left."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivfusion_ros.bags.files import is_bag
from ivfusion_ros.errors import DataError, refusing
from ivfusion_ros.files import read_bytes
from ivfusion_ros.fleet import FLEET_TABLE, fleet_page, open_results
from ivfusion_ros.images.encodings import to_rgb
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.names import SUFFIXES
from ivfusion_ros.options.outputs import refuse_existing, refuse_input
from ivfusion_ros.report import (
    any_page,
    check_renderer,
    objects_page,
    quality_page,
    recorded_page,
    speed_page,
    write_page,
)

if TYPE_CHECKING:
    import argparse

    from ivfusion_ros.report import Page
    from ivfusion_ros.types import Image

log = logging.getLogger(__name__)

_MOST_BYTES = 2**28
"""Of a file of figures."""
MAX_PICTURES = 12
"""Of a folder; a training writes one at each validation."""


def run(options: argparse.Namespace) -> None:
    """Write the page. Raises IvfusionError."""
    check_renderer()
    result: Path | str = options.result
    html = options.html or _beside(result)
    if isinstance(result, Path):
        refuse_input(html, result)
    # It may be the page of the command that left the result.
    refuse_existing([html], options.force)
    with refusing(DataError, str(result), "a result of another command"):
        if isinstance(result, str) or _is_fleet(result):
            page = fleet_page(open_results(str(result), ("report", str(result))), html)
        else:
            page = _page(result, result.is_dir())
    write_page(html, page)
    print(html)


def _beside(result: Path | str) -> Path:
    """Where a page goes by itself. Raises DataError."""
    if isinstance(result, str):
        raise DataError(f"a page of {result} has no place of its own; say where it goes: --html FILE")
    if not result.exists():
        raise DataError(f"there is no file or folder {result}; expected a result of another command")
    folder = result.is_dir() and not is_bag(result)
    return result / "report.html" if folder else result.with_suffix(".html")


def _is_fleet(result: Path) -> bool:
    """All of a fleet's results, or one job's."""
    return (result / FLEET_TABLE).is_file() or any(result.glob(f"*/{FLEET_TABLE}"))


def _page(result: Path, folder: bool) -> Page:
    if is_bag(result):
        return recorded_page(result)
    title = result.resolve().name
    figures: dict[str, Any] = {}
    for path in sorted(result.glob("*.json")) if folder else [result]:
        figures |= _read(path)
    if "scenes" in figures and "detector" in figures:
        return objects_page(title, figures, _pictures_again(figures))
    if "images" in figures and "networks" in figures:
        return quality_page(title, figures, _pictures_again(figures))
    if "steps" in figures and "networks" in figures:
        return speed_page(title, figures)
    sheets = {path.name: _text(path) for path in sorted(result.glob("*.csv"))} if folder else {}
    pictures = _pictures(result if folder else result.parent, "" if folder else result.stem)
    if not (figures or sheets or pictures):
        raise DataError(f"{result} has no JSON, CSV or pictures; expected a result of another command")
    return any_page(title, figures, sheets, pictures)


def _pictures_again(figures: dict[str, Any]) -> Any:
    # It brings the evaluations, which a page of other results does without.
    from ivfusion_ros.commands.result_pictures import pictures_again

    return pictures_again(figures)


def _read(path: Path) -> dict[str, Any]:
    with refusing(DataError, f"{path} as JSON", "a bag, a folder or a JSON file"):
        content = json.loads(_text(path))
    return content if isinstance(content, dict) else {path.stem: content}


def _text(path: Path) -> str:
    return read_bytes(path, _MOST_BYTES).decode(errors="replace")


def _pictures(folder: Path, stem: str) -> dict[str, Image]:
    """All in a folder, or those of a stem; the newest where there are many."""
    found = [
        path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES and path.is_file()
    ]
    found = [path for path in found if not stem or path.stem == stem]
    if len(found) > MAX_PICTURES:
        log.warning("%s holds %d pictures; the page shows the last %d", folder, len(found), MAX_PICTURES)
    return {path.name: to_rgb(read_image(path)) for path in found[-MAX_PICTURES:]}
