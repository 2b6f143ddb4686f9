"""The page of a fleet: the worst first, sums over all, rates by hour, links that lead somewhere."""

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

pytest.importorskip("duckdb", reason="needs duckdb")
pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")
pytest.importorskip("jinja2", reason="needs jinja2")

from ivfusion_ros.cli import main
from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet import MomentTable, fleet_page, open_results, write_rows
from ivfusion_ros.types import Detections, FusionResult

HOUR_NS = 3600 * 10**9
NAMES = ("person", "car")
SEEN = {"calm": (7, [[], [0], [0, 1], []]), "late": (31, [[1, 1], [1]])}
"""By recording the hour since 1970 of its pairs, and the classes in each."""


def result(hour: int, classes: list[int]) -> FusionResult:
    count = len(classes)
    found = Detections(
        np.tile(np.array([0, 0, 5, 5], np.float32), (count, 1)), np.full(count, 0.5, np.float32),
        np.array(classes, np.int64), NAMES,
    )  # fmt: skip
    image = np.zeros((8, 8, 3), np.uint8)
    return FusionResult(image, image[..., 0], image, hour * HOUR_NS + 5, detections=found)


@pytest.fixture
def destination(tmp_path):
    """A job of four recordings: calm, dropping frames, faulty with losses, and one that failed."""

    def row(name, **values):
        given = {"recording": f"/drives/{name}.mcap", "key": name, "folder": f"job/{name}", "error": "",
                 "attempts": 1, "host": "one", "pairs": 100, "seconds": 10.0, "wall_s": 20.0,
                 "pairs_per_second": 10.0, "drops": {}, "failed_pairs": {}, "faults": {}, "detections": {},
                 "skipped_messages": {}, "losses": []}  # fmt: skip
        return given | values

    rows = [
        row("calm", detections={"person": 4, "car": 2}, pairs_per_second=30.0),
        row("late", drops={"rgb_late": 50}, detections={"car": 3}, seconds=40.0),
        row("a b#c", faults={"rgb_dark": 80}, losses=["the end is missing"], pairs=100, host="two"),
        row("gone", error="BagError: <b>damaged</b>", pairs=None, pairs_per_second=None, attempts=3),
    ]
    job = tmp_path / "out" / "job"
    for each in rows[:3]:
        (job / each["key"]).mkdir(parents=True)
    for name, (hour, pairs) in SEEN.items():
        with MomentTable(job / name / "detections.parquet", name) as table:
            for classes in pairs:
                table.add(result(hour, classes))
    (job / "calm" / "fused.html").write_text("page")
    (job / "recordings.parquet").write_bytes(write_rows(rows))
    return tmp_path / "out"


def test_the_worst_come_first_with_links_that_lead_there(destination, tmp_path) -> None:
    (tmp_path / "pages").mkdir()
    html = tmp_path / "pages" / "fleet.html"
    page = fleet_page(open_results(str(destination)), html)
    (table,) = page.tables
    names = [row[0] for row in table.rows]
    assert [Path(name).stem for name in names] == ["gone", "a b#c", "late", "calm"]
    shares = {Path(row[0]).stem: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert shares["late"]["frames dropped"] == 0.2 and shares["a b#c"]["faults a pair"] == 0.8
    assert shares["gone"]["error"] == "BagError: <b>damaged</b>"
    assert shares["gone"]["frames dropped"] is None
    assert table.links[0] is None
    places = [(html.parent / unquote(link)).resolve() for link in table.links[1:]]
    job = destination / "job"
    assert places == [job / "a b#c", job / "late", job / "calm" / "fused.html"]
    assert all(link.startswith("./") and "#" not in link and " " not in link for link in table.links[1:])


def test_sums_and_rates_by_hour(destination, tmp_path) -> None:
    page = fleet_page(open_results(str(destination)), tmp_path / "fleet.html")
    figures = page.figures
    assert (figures["recordings"], figures["failed"], figures["pairs"]) == ("4", "BagError 1", "300")
    assert (figures["machines"], figures["recordings with losses"]) == ("2", "1")
    assert figures["pairs a second of a replica"] == "5.0" and figures["drops"] == "rgb_late 50"
    assert figures["detections"] == "car 5, person 4"
    bars = {each.title: each for each in page.bars}
    assert [bar.text for bar in bars["pairs with a fault"].rows] == ["80"]
    hours = bars["objects a pair, by hour of the day (UTC)"]
    assert hours.keys == ["car", "person"]
    # 31 hours since 1970 are 7 o'clock too: 2 persons and 4 cars in 6 pairs.
    (row,) = hours.rows
    assert row.name == "07:00, 6 pairs" and row.text == "1"
    assert [width for _, _, width in row.parts] == [666.7, 333.3]


def test_the_command_writes_it_beside_the_results(destination, tmp_path, capsys) -> None:
    assert main(["report", str(destination)]) == 0
    html = (destination / "report.html").read_text()
    assert "Recordings, the worst first" in html and "<b>damaged" not in html
    assert main(["report", str(destination)]) == DataError.exit_code
    assert main(["report", str(destination / "job"), "--html", str(tmp_path / "other.html")]) == 0
    capsys.readouterr()
    assert main(["report", "memory://fleets/out"]) == DataError.exit_code
    assert "a page of memory://fleets/out has no place of its own" in capsys.readouterr().err


def test_results_behind_a_url_have_a_page(destination, tmp_path) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(str(destination), "/page/out", recursive=True)
    words = ["report", "memory://page/out", "--html", str(tmp_path / "fleet.html")]
    assert main(words) == 0
    assert "by hour of the day" in (tmp_path / "fleet.html").read_text()
    files.rm("/page", recursive=True)
