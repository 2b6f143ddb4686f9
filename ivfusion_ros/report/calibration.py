"""The page of a calibration: its picture, what was said, and all figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ivfusion_ros.report.page import Page, figure_texts
from ivfusion_ros.report.shot import page_image

if TYPE_CHECKING:
    from ivfusion_ros.calibrate import Outcome


def calibration_page(title: str, outcome: Outcome) -> Page:
    """An outcome as a page; its picture as large as it is."""
    figures = {**outcome.calibration.quality, **outcome.findings}
    words = {f"note {number}": line for number, line in enumerate(outcome.warnings, 1)}
    said = {f"result {number}": line for number, line in enumerate(outcome.lines, 1)}
    picture = page_image(outcome.report, outcome.report.shape[1])
    return Page(title, {**said, **words, **figure_texts(figures)}, pictures=[("what was seen", picture)])
