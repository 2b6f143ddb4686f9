"""Stamps from names and text files in every unit; what is none stays none."""

from pathlib import Path

import pytest

from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.sources.stamps import read_stamp_list, read_stamps, stamps_of

T0_NS = 1_700_000_000_123_456_789


def images(*stems: str) -> dict[str, Path]:
    return {stem: Path(f"{stem}.png") for stem in stems}


def by_names(*stems: str, how: str = "auto") -> list[int] | None:
    found = stamps_of(images(*stems), Path("absent"), how, None)
    return None if found is None else [found[stem] for stem in stems]


@pytest.mark.parametrize(
    ("stem", "stamp_ns"),
    [
        ("1700000000123456789", T0_NS),
        ("1700000000123456", T0_NS // 1000 * 1000),
        ("1700000000123", T0_NS // 10**6 * 10**6),
        ("1700000000", T0_NS // 10**9 * 10**9),
        ("1700000000.123456789", T0_NS),
        ("thermal_1700000000123456789", T0_NS),
        ("rgb-1700000000_123456789", T0_NS),
        ("1700000000_123456", T0_NS // 1000 * 1000),
    ],
)
def test_times_of_this_century_in_names(stem: str, stamp_ns: int) -> None:
    assert by_names(stem) == [stamp_ns]


def test_frame_numbers_and_dates_are_no_times() -> None:
    assert by_names("frame_0", "frame_1") is None
    assert by_names("000001", "000002") is None
    assert by_names("20231115", "20231116") is None
    assert by_names("1700000000123456789", "preview") is None
    assert by_names("1700000000123456789", how="rate") is None


def test_what_is_said_counts() -> None:
    assert by_names("t_5", "t_38", how="names:ms") == [5_000_000, 38_000_000]
    # 33 apart: only in milliseconds a camera.
    assert by_names("t_5", "t_38", how="names") == [5_000_000, 38_000_000]
    assert by_names("t_5000", "t_38000", how="names") == [5_000_000, 38_000_000]
    assert by_names("t_0.033", "t_0.066", how="names") == [33_000_000, 66_000_000]
    with pytest.raises(DataError, match="names of the images in absent are no stamps"):
        by_names("a", "b", how="names")
    with pytest.raises(DataError, match="are no stamps"):
        by_names("1", "b", how="names:s")
    for how in ("name", "names:m", "auto:ns"):
        with pytest.raises(ConfigError, match="expected auto, names, rate or names:UNIT"):
            by_names("1", how=how)


@pytest.mark.parametrize(
    "text",
    [
        "#timestamp [ns],filename\n1700000000123456789,a.png\n1700000000223456789,b.png\n",
        "# timestamp filename\n1700000000.123456789 rgb/a.png\n1700000000.223456789 rgb/b.png\n",
        "file;timestamp_ns\na.png;1700000000123456789\nb.png;1700000000223456789\n",
        "1700000000123456789\n1700000000223456789\n",
        "index,stamp\n0,1700000000123456789\n1,1700000000223456789\n",
    ],
    ids=["EuRoC", "TUM", "semicolons", "in order", "numbered"],
)
def test_text_files(tmp_path: Path, text: str) -> None:
    file = tmp_path / "stamps.csv"
    file.write_text(text)
    assert read_stamps(file, ["a", "b"]) == {"a": T0_NS, "b": T0_NS + 100_000_000}
    assert read_stamp_list(file) == [T0_NS, T0_NS + 100_000_000]


def test_times_since_boot_have_the_unit_that_makes_a_camera(tmp_path: Path) -> None:
    file = tmp_path / "times.txt"
    for text, expected in (
        ("0.5\n0.6\n0.7\n", [500, 600, 700]),
        ("500\n600\n700\n", [500, 600, 700]),
        ("500000\n600000\n700000\n", [500, 600, 700]),
        ("time_us\n5000\n6000\n7000\n", [5, 6, 7]),
    ):
        file.write_text(text)
        assert [stamp / 1e6 for stamp in read_stamp_list(file)] == expected
    file.write_text("1\n1\n1\n")
    with pytest.raises(DataError, match="timestamp_ns"):
        read_stamp_list(file)


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    file = tmp_path / "stamps.txt"
    with pytest.raises(DataError, match="cannot read"):
        read_stamps(file, ["a"])
    file.write_text("no number\n\n1.5\n2.5\n1e400\n1E+9999999\nnan\n")
    with pytest.raises(DataError, match="2 lines with numbers for 3 images"):
        read_stamps(file, ["a", "b", "c"])


def test_a_file_beside_the_images_is_found(tmp_path: Path) -> None:
    folder = tmp_path / "thermal"
    folder.mkdir()
    names = images("x1", "x2")
    assert stamps_of(names, folder, "auto", None) is None
    (tmp_path / "thermal.csv").write_text("1700000000.5,x1.png\n1700000001.5,x2.png\n")
    expected = {"x1": 1_700_000_000_500_000_000, "x2": 1_700_000_001_500_000_000}
    assert stamps_of(names, folder, "auto", None) == expected
    (folder / "timestamps.txt").write_text("not of these images\n")
    assert stamps_of(names, folder, "auto", None) == expected


def test_a_file_of_stamps_that_cannot_be_used_is_named(tmp_path, caplog) -> None:
    (tmp_path / "timestamps.csv").write_text("time\n1700000000.1\n")
    found = stamps_of(images("1700000001", "1700000002"), tmp_path, "auto", None)
    assert found == {"1700000001": 1_700_000_001 * 10**9, "1700000002": 1_700_000_002 * 10**9}
    assert "timestamps.csv has 1 lines" in caplog.text and "left out" in caplog.text
