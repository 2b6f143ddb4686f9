"""Pages of evaluations, benchmarks, bags and any other result."""

import json
import os
import re

import numpy as np
import pytest

from ivfusion_ros.bags import BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.errors import BagError, DataError, ImageError
from ivfusion_ros.report import (
    Page,
    any_page,
    objects_page,
    quality_page,
    recorded_page,
    render,
    speed_page,
)
from ivfusion_ros.report.bars import WIDTH, spread_bars, stacked_bars
from ivfusion_ros.report.heat import heat_of, histogram_of
from ivfusion_ros.report.table import in_turn, ranked, table_of
from ivfusion_ros.types import FusionResult

pytest.importorskip("jinja2", reason="needs jinja2")


def evaluation(pairs: int, networks=("one", "two")) -> dict:
    random = np.random.default_rng(3)
    rows = [
        {
            "data": "street",
            "pair": f"p{pair:04d}",
            "network": network,
            "VIF": float(random.uniform(0.3, 1.2)),
            "MSE": float(random.uniform(500, 4000)),
        }
        for pair in range(pairs)
        for network in networks
    ]
    return {
        "version": "0",
        "metrics": ["VIF", "MSE"],
        "lower_is_better": ["MSE"],
        "networks": {name: {"model": name} for name in networks},
        "means": [{"data": "street", "network": name, "VIF": 0.7, "MSE": 2000.0} for name in networks],
        "images": rows,
        "skipped": [],
    }


def pictures(key) -> dict:
    noise = np.random.default_rng(int(key[1][1:])).integers(0, 256, (48, 64, 3), np.uint8)
    return {"thermal": noise[..., 0], "rgb": noise, "one": noise, "two": noise}


def test_the_worst_pairs_are_those_that_the_metrics_say() -> None:
    figures = evaluation(30)
    page = quality_page("ev", figures, pictures)

    def mean(pair: str, metric: str) -> float:
        return float(np.mean([row[metric] for row in figures["images"] if row["pair"] == pair]))

    names = [f"p{pair:04d}" for pair in range(30)]
    for metric, worst in (("VIF", min), ("MSE", max)):
        place, text, index = page.ranked[metric][0]
        expected = worst(names, key=lambda name: mean(name, metric))
        assert place == "worst" and text.startswith(expected)
        assert page.shots[index].title == f"{expected} of street"
    every = page.tables[1]
    assert len(every.rows) == 60 and every.best == {"VIF": "high", "MSE": "low"}
    first = page.shots[0].title.split()[0]
    assert every.shots[[cells[0] for cells in every.rows].index(first)] == 0


def test_two_thousand_pairs_fit_into_15_mb() -> None:
    # As large and as hard to compress as no picture of a camera is.
    noise = np.random.default_rng(0).integers(0, 256, (768, 1024, 3), np.uint8)
    images = {"thermal": noise[..., 0], "rgb": noise, "one": noise, "two": noise}
    figures = evaluation(2000)
    for row in figures["images"]:
        row |= {f"metric {number}": row["VIF"] * number for number in range(12)}
    html = render(quality_page("ev", figures, lambda key: images))
    assert 5e6 < len(html.encode()) < 15e6


def test_a_picture_that_is_gone_costs_its_shot_only() -> None:
    def some(key):
        if key[1] != "p0001":
            raise ImageError("gone")
        return pictures(key)

    page = quality_page("ev", evaluation(4), some)
    assert [shot.title for shot in page.shots] == ["p0001 of street"]
    assert all(index in (None, 0) for cells in page.ranked.values() for _, _, index in cells)


def test_ranks_take_the_worst_of_every_metric_first() -> None:
    values = {
        "a": {("x",): 1.0, ("y",): 2.0, ("z",): 3.0, ("w",): float("nan")},
        "b": {("y",): 1.0, ("z",): 9.0},
    }
    places = ranked(values, ["b"])
    assert [(row.metric, row.key[0]) for row in places if row.place == "worst"] == [("a", "x"), ("b", "z")]
    assert in_turn(places)[:2] == [("x",), ("z",)]


def test_bars_stand_where_their_values_are() -> None:
    bars = stacked_bars(
        "ms", {"net": {"fuse": 3.0, "detect": 5.0}, "lite": {"fuse": 1.0}}, late={"net": 10.0}
    )
    assert bars.most == 10.0 and bars.keys == ["fuse", "detect"]
    assert bars.rows[0].parts == [("fuse", 0.0, 0.3 * WIDTH), ("detect", 0.3 * WIDTH, 0.5 * WIDTH)]
    assert bars.rows[0].line == (0.8 * WIDTH, WIDTH)
    spread = spread_bars("VIF", {"net": [0.0, 1.0, 2.0, 3.0, 4.0], "nothing": [float("nan")]})
    assert spread is not None
    (row,) = spread.rows
    assert row.mark == WIDTH / 2 and row.parts == [("", WIDTH / 4, WIDTH / 2)] and row.line == (0, WIDTH)


def test_temperatures_have_their_scale() -> None:
    kelvin = np.full((120, 320), 290.15, np.float32)
    kelvin[:, 160:] = 310.15
    kelvin[:10] = np.nan
    heat = heat_of(kelvin)
    assert heat is not None and heat.size == (160, 60)
    assert (heat.least, heat.most, heat.unit) == (17.0, 37.0, "°C")
    histogram = histogram_of(kelvin, np.zeros((120, 320), np.uint8))
    assert (histogram.least, histogram.most, histogram.unit) == (17.0, 37.0, "°C")
    assert histogram.counts[0] == histogram.counts[-1] == 110 * 160
    assert heat_of(np.full((4, 4), np.nan, np.float32)) is None


def detection() -> dict:
    def entry(images: str, ap50: float) -> dict:
        own = {"objects": 4, "AP50": ap50, "AP50:95": ap50 / 2, "curve": [1.0] * 51 + [0.0] * 50}
        return {
            "subset": "all",
            "images": images,
            "scenes": 2,
            "AP50": ap50,
            "AP50:95": 0.2,
            "classes": {"person": own},
        }

    box = {"class": "person", "score": 0.9, "box_xyxy": [10, 10, 20, 40]}
    missed = {"class": "person", "box_xyxy": [40, 10, 50, 40]}
    scene = {"data": "street", "size": [64, 48], "objects": 2, "boxes": [box]}
    return {
        "version": "0",
        "detector": {"model": "d.onnx", "backend": "it", "thresholds": {"person": 0.25}, "tiles": 1},
        "methods": {},
        "results": [entry("thermal", 0.5), entry("fused", 0.75)],
        "added_by_fusion": [],
        "thresholds": {},
        "skipped": [],
        "scenes": [
            {
                **scene,
                "scene": "p0001",
                "images": "thermal",
                "missed": 1,
                "false_alarms": 0,
                "missed_boxes": [missed],
            },
            {
                **scene,
                "scene": "p0001",
                "images": "one",
                "missed": 0,
                "false_alarms": 0,
                "missed_boxes": [],
            },
        ],
    }


def test_missed_objects_are_shown_where_they_are() -> None:
    def double(key):
        return {name: np.repeat(np.repeat(image, 2, 0), 2, 1) for name, image in pictures(key).items()}

    page = objects_page("ev", detection(), double)
    (shot,) = page.shots
    assert shot.size == (128, 96)
    assert [box.get("missed", False) for box in shot.own_boxes["thermal"]] == [False, True]
    assert shot.own_boxes["thermal"][1]["box_xyxy"] == [80, 20, 100, 80]
    assert page.bars[0].rows[1].parts == [("", 0.0, 750.0)]
    assert "person" in render(page)


def test_a_benchmark_and_any_other_json_have_pages() -> None:
    times = {"median": 5.0, "p95": 6.0, "max": 7.0}
    figures = {
        "machine": "x",
        "networks": {"n": {**times, "least_ms": 1.0}},
        "pipelines": {"n": {**times, "pairs_per_second": 90.0, "stages": {"fuse": times}}},
        "steps": {"warp": times},
    }
    page = speed_page("bench", figures)
    assert [table.title for table in page.tables] == ["Networks, ms", "Pipelines, ms", "Steps, ms"]
    assert page.bars[0].rows[0].mark is not None
    sheet = "epoch,loss\n1,3.5\n2,2.5\n"
    other = any_page("run", {"a": 1, "rows": [{"x": 1}, {"x": 2, "y": "z"}]}, {"curves.csv": sheet}, {})
    assert other.figures == {"a": "1"} and [chart.title for chart in other.curves][-1] == "curves.csv: loss"
    assert other.tables[0].rows == [[1, None], [2, "z"]]


def test_report_of_a_bag_and_of_what_is_no_result(
    small_bag, blend_model, box_model, tmp_path, capsys
) -> None:
    fused = tmp_path / "fused.mcap"
    models = ["--model", str(blend_model), "--detector", str(box_model), "--backend", "onnxruntime"]
    assert main(["replay", str(small_bag), str(fused), "--registered", *models]) == 0
    assert main(["report", str(fused)]) == 0
    assert capsys.readouterr().out.strip().endswith("fused.html")
    html = (tmp_path / "fused.html").read_text("utf-8")
    # What is there may be the replay's own page.
    (tmp_path / "fused.html").write_text("mine")
    assert main(["report", str(fused)]) == DataError.exit_code
    assert "--force" in capsys.readouterr().err and (tmp_path / "fused.html").read_text() == "mine"
    assert main(["report", str(fused), "--html", str(tmp_path / "other.html")]) == 0
    assert main(["report", str(fused), "--force"]) == 0
    assert (
        (tmp_path / "fused.html").read_text("utf-8") == html == (tmp_path / "other.html").read_text("utf-8")
    )
    stored = re.search(r'<script type="application/json" id="shots">(.*?)</script>', html, re.DOTALL)
    assert stored is not None
    shots = json.loads(stored[1])["shots"]
    assert (
        len(shots) == 10
        and set(shots[0]["images"]) == {"thermal", "fused"}
        and shots[0]["boxes"][0]["class"] == "person"
    )
    with pytest.raises(BagError, match="replay"):
        recorded_page(small_bag)
    (tmp_path / "nothing").mkdir()
    assert main(["report", str(tmp_path / "nothing")]) == DataError.exit_code
    assert "no JSON, CSV or pictures" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("summary.json", b"[" * 200_000, "summary.json as JSON cannot be read (RecursionError"),
        ("summary.json", b'{"a":' * 900 + b"1" + b"}" * 900, "cannot be read (RecursionError"),
        ("summary.json", b'{"images": 3, "networks": 4}', "cannot be read ("),
        ("summary.json", None, "summary.json as JSON: not a regular file"),
        ("sheet.csv", b"a,b\n1," + b"x" * 300_000, "sheet.csv cannot be read (Error: field larger"),
        ("sheet.csv", None, "not a regular file"),
    ],
)
def test_of_a_damaged_result_the_report_says_what_is_wrong(tmp_path, capsys, name, content, reason) -> None:
    if content is None:
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).write_bytes(content)
    assert main(["report", str(tmp_path)]) == DataError.exit_code
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_moments_marked_while_recording_are_on_the_page(tmp_path) -> None:
    first_ns, step_ns, count = 10**18, 40_000_000, 200
    grey = np.zeros((16, 24), np.uint8)
    with BagWriter(tmp_path / "run.mcap") as writer:
        for index in range(count):
            fused = np.full((16, 24, 3), index, np.uint8)
            writer.write_result(FusionResult(fused, grey, fused, first_ns + index * step_ns))
        writer.write_mark(first_ns + 57 * step_ns, "mark 1")
        # After the last result that was recorded.
        writer.write_mark(first_ns + 500 * step_ns, "mark <2>")
    page = recorded_page(tmp_path / "run.mcap")
    assert page.notable == [("pair 57, 2.28 s: mark 1", 57), ("pair 199, 7.96 s: mark <2>", 199)]
    assert {shot.index for shot in page.shots} >= {57, 199}
    assert page.charts[0].marks == tuple(1000 * (index + 0.5) / count for index in (57, 199))
    html = render(page)
    assert 'data-index="57">pair 57, 2.28 s: mark 1</a>' in html and "mark &lt;2&gt;" in html


def test_tables_sort_and_filter_in_a_browser(tab, tmp_path) -> None:
    page = quality_page("ev", evaluation(40), pictures)
    (tmp_path / "page.html").write_text(render(page), encoding="utf-8")
    tab.goto((tmp_path / "page.html").as_uri())
    table = tab.locator("#table-1")

    def column(name: str) -> list[str]:
        place = ["pair", "network", "data", "VIF ↑", "MSE ↓"].index(name)
        return table.locator(f"tbody td:nth-child({place + 1})").all_text_contents()

    assert len(column("pair")) == 25
    table.get_by_role("button", name="MSE").click()
    shown = [float(text) for text in column("MSE ↓")]
    assert shown == sorted(shown)
    table.get_by_role("button", name="MSE").press("Enter")
    shown = [float(text) for text in column("MSE ↓")]
    assert shown == sorted(shown, reverse=True) and len(shown) == 25
    table.get_by_role("button", name="all 80 rows").click()
    assert len(column("pair")) == 80
    table.locator("input").fill("two p0007")
    assert column("pair") == ["p0007"]
    tab.locator(".ranked a").nth(3).click()
    assert tab.text_content("#title").startswith(
        tab.locator(".ranked a").nth(3).text_content().split(":")[0]
    )
    tab.select_option("#layer", "two")
    assert tab.text_content("#name-fused") == "two"
    # Narrower than a phone, nothing but tables needs a scroll to the side.
    tab.set_viewport_size({"width": 360, "height": 700})
    assert tab.evaluate("document.documentElement.scrollWidth") <= 360


def test_rows_of_a_table_lead_to_other_pages(tab, tmp_path) -> None:
    rows = [{"recording": name, "drops": drops} for name, drops in (("b", 1), ("a", 2), ("none", 3))]
    table = table_of("Recordings", rows, links=["./one%20job/b/", "./one%20job/a.html", None])
    (tmp_path / "page.html").write_text(render(Page("fleet", {}, tables=[table])), encoding="utf-8")
    (tmp_path / "one job").mkdir()
    (tmp_path / "one job" / "a.html").write_text("the page of a")
    tab.goto((tmp_path / "page.html").as_uri())
    tab.get_by_role("button", name="recording").click()
    assert tab.locator("tbody td:first-child").all_text_contents() == ["a", "b", "none"]
    assert tab.locator("tbody a").all_text_contents() == ["a", "b"]
    tab.get_by_role("link", name="a", exact=True).click()
    assert tab.text_content("body") == "the page of a"
