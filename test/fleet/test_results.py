"""What a fleet left, as those who search it see it."""

from types import SimpleNamespace

from ivfusion_ros.fleet import Results


def test_recordings_without_a_table_of_detections_are_told() -> None:
    rows = [{"folder": f"job/{name}", "error": "broken" if name == "c" else None} for name in "abc"]
    tables = {"a/detections.parquet", "c/detections.parquet"}
    results = Results(SimpleNamespace(names=lambda _: tables), "job", rows)
    assert results.moments() == ["job/a/detections.parquet"]
    assert results.without_moments().startswith("1 of 2 recordings have no table of detections")
    assert Results(results.store, "job", [rows[0], rows[2]]).without_moments() == ""
