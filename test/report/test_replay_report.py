"""The page of a replay: what is on it, that it needs nothing else, and that it works in a browser."""

import base64
import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.report import ReplayReport, check_renderer, render
from ivfusion_ros.report.shot import shot_of
from ivfusion_ros.types import Detections, FaultReport, FusionResult, RegistrationReport

SIZE = (96, 64)


def result(index: int, **changes) -> FusionResult:
    width, height = SIZE
    box = np.array([[10, 10, 40, 50]], np.float32)
    found = Detections(box, np.array([0.8], np.float32), np.array([0]), ("<b>person</b>",))
    fields = {
        "stamp_ns": 10**18 + index * 10**8,
        "skew_ns": index % 7 * 10**6,
        "detections": found,
        "registration": RegistrationReport(confidence=0.5),
        "timings_ms": {"fuse": 3.0, "detect": 5.0},
    }
    fused = np.full((height, width, 3), index % 256, np.uint8)
    thermal = np.full((height, width), 200, np.uint8)
    return FusionResult(fused, thermal, np.zeros_like(fused), **{**fields, **changes})


@pytest.fixture(scope="module")
def page():
    report = ReplayReport()
    for index in range(300):
        changes = {}
        if index == 0:
            changes["timings_ms"] = {"fuse": 900.0, "detect": 5.0}
        if index == 123:
            changes["timings_ms"] = {"fuse": 3.0, "detect": 90.0}
        if index == 201:
            changes["faults"] = FaultReport(("thermal_frozen",))
        report.add(result(index, **changes))
    return report.page(
        "drive </script>.mcap", {"pairs": 300, "drops": {"rgb_late": 2}, "losses": [], "interrupted": False}
    )


@pytest.fixture(scope="module")
def html(page):
    pytest.importorskip("jinja2", reason="needs jinja2")
    return render(page)


def test_a_shot_says_that_a_camera_was_moved_and_who_found_it() -> None:
    moved = RegistrationReport(confidence=0.5, bumped=True)
    told = [
        shot_of(result(3, registration=report), 3, "").facts.get("camera")
        for report in (RegistrationReport(0.5), moved, replace(moved, by_matcher=True))
    ]
    assert told == [None, "was moved", "was moved, as the matcher found"]


def test_memory_and_page_are_bounded_and_the_worst_are_there(page) -> None:
    indices = [shot.index for shot in page.shots]
    assert indices == sorted(set(indices)) and 20 < len(indices) < 50
    assert {0, 123, 201} <= set(indices)
    # Evenly, but for the notable ones.
    assert max(np.diff(indices)) <= 2 * 300 / 20
    notable = {index: reason for reason, index in page.notable}
    assert notable[123] == "pair 123, 12.30 s: slowest, 93.0 ms"
    assert notable[201] == "pair 201, 20.10 s: first with fault thermal_frozen"
    assert page.figures == {"pairs": "300", "drops": "rgb_late 2", "losses": "none", "interrupted": "no"}


def test_a_first_pair_does_not_set_the_scale_of_the_others(page) -> None:
    (times,) = [chart for chart in page.charts if chart.title.startswith("time by stage")]
    assert times.top == 90 and [line.name for line in times.lines] == ["fuse", "detect"]
    report = ReplayReport()
    report.add(result(0, timings_ms={"fuse": 900.0}))
    assert report.page("one", {}).charts[0].top == 900


def test_lost_frames_are_counted_over_time() -> None:
    report, counts = ReplayReport(), iter([{}, {"rgb_late": 1}, {"rgb_late": 4}])
    report.drops = lambda: next(counts)
    for index in range(3):
        report.add(result(index, skew_ns=0))
    charts = {chart.title: chart for chart in report.page("lossy", {}).charts}
    lost = charts["frames without a partner, so far"]
    assert lost.top == 4 and [line.name for line in lost.lines] == ["rgb_late"]
    heights = [float(point.split(",")[1]) for point in lost.lines[0].points.split()]
    assert heights == pytest.approx([90, 67.5, 0])
    # Frames of one moment have no skew to show.
    assert not any(title.startswith("skew") for title in charts)


def test_where_one_camera_is_alone() -> None:
    report = ReplayReport()
    for index, mode in enumerate(("fused", "rgb_only", "fused", "thermal_only")):
        report.add(result(index, mode=mode))
    (alone,) = [chart for chart in report.page("", {}).charts if chart.title.startswith("one camera alone")]
    heights = {
        line.name: [float(point.split(",")[1]) for point in line.points.split()] for line in alone.lines
    }
    assert heights == {"rgb only": [90, 0, 90, 90], "thermal only": [90, 90, 90, 0]}


def test_a_shot_shows_what_the_result_held(page) -> None:
    (shot,) = [shot for shot in page.shots if shot.index == 123]
    assert shot.title == "pair 123, 12.30 s" and shot.size == SIZE
    content = base64.b64decode(shot.images["fused"].partition("base64,")[2])
    fused = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    assert fused.shape == (64, 96, 3) and abs(fused.astype(int) - 123).max() <= 2
    assert shot.histogram is not None and shot.histogram.unit == "grey levels"
    assert shot.histogram.counts[200 * 32 // 256] == 96 * 64 == sum(shot.histogram.counts)
    assert shot.boxes[0]["box_xyxy"] == [10, 10, 40, 50]


def test_a_large_image_is_reduced() -> None:
    report = ReplayReport()
    shape = (1500, 2000)
    report.add(
        FusionResult(
            np.zeros((*shape, 3), np.uint8), np.zeros(shape, np.uint8), np.zeros((*shape, 3), np.uint8), 1
        )
    )
    (shot,) = report.page("", {}).shots
    content = base64.b64decode(shot.images["rgb"].partition("base64,")[2])
    assert cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR).shape == (600, 800, 3)
    assert shot.size == (2000, 1500)


class Links(HTMLParser):
    """What a page's elements point to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("src", "href", "action", "data")]


def test_the_page_asks_for_nothing_outside_and_runs_no_text(html) -> None:
    parser = Links()
    parser.feed(html)
    assert parser.found and all(link.startswith("#") for link in parser.found)
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    assert "drive </script>" not in html and "<b>person" not in html
    stored = re.search(r'<script type="application/json" id="shots">(.*?)</script>', html, re.DOTALL)
    assert stored and json.loads(stored[1])["shots"][0]["boxes"][0]["class"] == "<b>person</b>"


def test_a_run_without_results_has_a_page_too() -> None:
    pytest.importorskip("jinja2", reason="needs jinja2")
    assert "<h2>Figures</h2>" in render(ReplayReport().page("none", {"pairs": 0}))


def test_without_jinja2_it_is_said_before_the_work(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError, match="pip install jinja2"):
        check_renderer()


def test_the_viewer_in_a_browser(tab, html, tmp_path) -> None:
    (tmp_path / "page.html").write_text(html, encoding="utf-8")
    tab.goto((tmp_path / "page.html").as_uri())

    def visible(name: str) -> str:
        return str(tab.evaluate(f"getComputedStyle(document.getElementById('{name}')).clipPath"))

    assert tab.title() == "drive </script>.mcap"
    assert tab.text_content("#title") == "pair 0, 0.00 s"
    tab.keyboard.press("ArrowRight")
    assert tab.text_content("#title") != "pair 0, 0.00 s"
    tab.click("text=pair 123, 12.30 s: slowest")
    assert tab.text_content("#title") == "pair 123, 12.30 s"
    assert tab.text_content("#found td") == "<b>person</b>"
    before = visible("thermal")
    handle = tab.locator("#first").bounding_box()
    tab.mouse.move(handle["x"] + 14, handle["y"] + 50)
    tab.mouse.down()
    tab.mouse.move(handle["x"] - 100, handle["y"] + 50)
    tab.mouse.up()
    assert visible("thermal") != before
    tab.keyboard.press("3")
    assert visible("fused") in ("inset(0px)", "inset(0px 0px 0px 0%)")
    tab.keyboard.press("b")
    assert tab.evaluate("document.getElementById('boxes-fused').style.display") == "none"
    chart = tab.locator(".chart").first
    chart.click(position={"x": chart.bounding_box()["width"] - 2, "y": 20})
    assert int(tab.text_content("#title").split()[1].strip(",")) > 280
