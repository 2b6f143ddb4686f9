"""What is asked of a fleet's moments: the language, its answers against Python's, the clips."""

import operator
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("duckdb", reason="needs duckdb")
pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")

from bag_samples import START_NS, STORE, cdr, header, two_cameras, write_rosbag2

from ivfusion_ros.bags import BagReader, BagTopic, BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ConfigError, DataError
from ivfusion_ros.fleet import (
    Clip,
    Fleet,
    Job,
    MomentTable,
    Results,
    Store,
    cut,
    find,
    find_recordings,
    fleet_page,
    open_results,
    parse,
    unknown_classes,
)
from ivfusion_ros.types import Detections, FaultReport, FusionResult

NAMES = ("person", "traffic light", "car")
ZERO_C = 273.15


def moment(index: int, rng: np.random.Generator) -> FusionResult:
    """A result of up to three objects, some of whose temperatures are not known."""
    count = int(rng.integers(0, 4))
    corner = rng.integers(0, 40, (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(1, 40, (count, 2))], axis=1).astype(np.float32)
    kelvin = rng.choice(np.array([np.nan, 290, 305, 309, 315], np.float32), count)
    found = Detections(
        boxes,
        np.sort(rng.uniform(0.2, 1, count).astype(np.float32))[::-1],
        rng.integers(0, len(NAMES), count),
        NAMES,
        max_kelvin=kelvin,
        mean_kelvin=kelvin - 3,
    )
    labels = [(), ("thermal_frozen",), ("rgb_dark", "rgb_flat")][int(rng.integers(0, 3))]
    rgb = np.full((8, 8, 3), rng.choice([10, 54, 56, 200]), np.uint8)
    stamp_ns = 1_700_000_000_000_000_000 + index * 1_700_000_000_000
    return FusionResult(
        rgb,
        rgb[..., 0],
        rgb,
        stamp_ns,
        faults=FaultReport(labels),
        detections=found,
        received_ns=stamp_ns + 5,
    )


@pytest.fixture(scope="module")
def moments():
    rng = np.random.default_rng(3)
    return [moment(index, rng) for index in range(120)]


@pytest.fixture(scope="module")
def results(moments, tmp_path_factory) -> Results:
    store = Store(str(tmp_path_factory.mktemp("fleet")))
    folder = tmp_path_factory.mktemp("made")
    with MomentTable(folder / "detections.parquet", "k") as table:
        for result in moments:
            table.add(result)
    store.put(folder / "detections.parquet", "job/a-k/detections.parquet")
    return Results(store, "job", [{"key": "k", "recording": "a.mcap", "folder": "job/a-k", "error": ""}])


COMPARED = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "=": operator.eq,
    "!=": operator.ne,
}


def compared(text: str, value_of, values, unit: str = "", offset: float = 0.0):
    """Strategy of (text, predicate) for `text SIGN VALUE unit`."""
    return st.tuples(st.sampled_from(sorted(COMPARED)), st.sampled_from(values)).map(
        lambda drawn: (
            f"{text} {drawn[0]} {drawn[1]}{unit}",
            lambda item: COMPARED[drawn[0]](np.float32(value_of(item)), np.float32(drawn[1] + offset)),
        )
    )


def objects(result):
    found = result.detections
    return [
        (
            NAMES[found.class_ids[i]],
            *found.boxes_xyxy[i],
            found.scores[i],
            found.max_kelvin[i],
            found.mean_kelvin[i],
        )
        for i in range(len(found))
    ]


def known(test, place):
    """What is not known fits nothing, not even !=."""
    text, holds = test
    return text, lambda item: not np.isnan(item[place]) and holds(item)


CONDITIONS = st.one_of(
    compared("", lambda item: item[6], [20, 33.5, 37], " C", ZERO_C).map(lambda test: known(test, 6)),
    compared("mean", lambda item: item[7], [20, 33.5], "°C", ZERO_C).map(lambda test: known(test, 7)),
    compared("hottest", lambda item: item[6], [300, 309.5], "k").map(lambda test: known(test, 6)),
    compared("score", lambda item: item[5], [0.3, 0.6, 0.9]),
    compared("height", lambda item: item[4] - item[2], [10, 25]),
    compared("width", lambda item: item[3] - item[1], [10, 25]),
)


@st.composite
def of_objects(draw):
    count = draw(st.sampled_from(["", "2 "]))
    name = draw(st.sampled_from(["person", "PERSON", '"traffic light"', "object"]))
    conditions = draw(st.lists(CONDITIONS, max_size=2))
    plain = name.strip('"').lower()

    def fits(result):
        own = [item for item in objects(result) if plain in ("object", item[0])]
        return sum(all(holds(item) for _, holds in conditions) for item in own) >= (2 if count else 1)

    return f"{count}{name} {' '.join(text for text, _ in conditions)}", fits


def brightness(result):
    return result.rgb[0, 0, 0]


def hour(result):
    return result.stamp_ns / 3.6e12 % 24


TESTS = st.one_of(
    of_objects(),
    st.just(("night", lambda result: brightness(result) < 55)),
    st.just(("day", lambda result: brightness(result) >= 55)),
    st.just(("fault", lambda result: bool(result.faults.labels))),
    st.just(("fault rgb_flat", lambda result: "rgb_flat" in result.faults.labels)),
    compared("brightness", brightness, [10, 55]),
    compared("hour", hour, [6, 22.5]),
)


def joined(parts):
    return st.one_of(
        st.lists(parts, min_size=2, max_size=3).map(
            lambda own: ("(" + " and ".join(t for t, _ in own) + ")", lambda r: all(f(r) for _, f in own))
        ),
        st.lists(parts, min_size=2, max_size=3).map(
            lambda own: ("(" + " OR ".join(t for t, _ in own) + ")", lambda r: any(f(r) for _, f in own))
        ),
        parts.map(lambda own: (f"not {own[0]}", lambda r: not own[1](r))),
    )


@given(st.recursive(TESTS, joined, max_leaves=6))
def test_finds_are_those_of_python(results, moments, drawn) -> None:
    text, fits = drawn
    spans = find(results, parse(text), gap_s=0.0)
    expected = [result.stamp_ns for result in moments if fits(result)]
    assert [span.start_ns for span in spans] == expected, text
    assert all(span.pairs == 1 and span.start_log_ns == span.start_ns + 5 for span in spans)


@pytest.mark.parametrize("sign", COMPARED)
def test_each_comparison_holds_at_its_edge(results, moments, sign: str) -> None:
    spans = find(results, parse(f"brightness {sign} 54"), gap_s=0.0)
    assert [s.start_ns for s in spans] == [r.stamp_ns for r in moments if COMPARED[sign](brightness(r), 54)]


@pytest.mark.parametrize(
    ("measure", "value_of"),
    [
        ("hottest > 308 K", lambda item: item[6] - 308),
        ("mean > 308 K", lambda item: item[7] - 308),
        ("score > 0.6", lambda item: item[5] - 0.6),
        ("height > 25", lambda item: item[4] - item[2] - 25),
        ("width > 25", lambda item: item[3] - item[1] - 25),
    ],
)
def test_each_measure_is_its_own(results, moments, measure: str, value_of) -> None:
    spans = find(results, parse(f"object {measure}"), gap_s=0.0)
    expected = [r.stamp_ns for r in moments if any(value_of(item) > 0 for item in objects(r))]
    assert [span.start_ns for span in spans] == expected and 0 < len(expected) < len(moments)


def test_units_of_temperatures() -> None:
    for text, kelvin in (("37 C", 310.15), ("37°C", 310.15), ("98.6 F", 310.15), ("310.15K", 310.15)):
        assert parse(f"person > {text}").values == ("person", pytest.approx(kelvin), 1)


def test_and_binds_tighter_than_or(results, moments) -> None:
    stamps = [span.start_ns for span in find(results, parse("day or night and fault"), gap_s=0.0)]
    assert stamps == [r.stamp_ns for r in moments if brightness(r) >= 55 or r.faults.labels]


def test_near_moments_are_one_find(results, moments) -> None:
    """They are 1,700 s apart."""
    lit = np.array([brightness(result) >= 55 for result in moments])
    runs = np.flatnonzero(np.diff(np.concatenate([[0], lit, [0]])))
    spans = find(results, parse("day"), gap_s=1700)
    assert [(round(span.start_s / 1700), round(span.end_s / 1700), span.pairs) for span in spans] == [
        (start, end - 1, end - start) for start, end in runs.reshape(-1, 2).tolist()
    ]
    (whole,) = find(results, parse("object or not object"), gap_s=2000)
    assert (whole.start_s, whole.end_s, whole.pairs) == (0, 119 * 1700, 120)


OWN_WORDS = re.compile(
    "(?:any_value|coalesce|false|latitude|longitude|brightness|stamp_ns|len|list_contains|faults|count|filter|where|class_name|is|not|null|lower"
    '|max_kelvin|mean_kelvin|score|bottom|top|right|left|and|or|55.0|3600e9|24|>= \\?|[ ()*,/%"?<>=-]|0)+'
)


@given(st.one_of(st.text(max_size=60), st.text("person>37Cnight()\"';-, andor19.", max_size=40)))
def test_no_text_becomes_sql(results, text: str) -> None:
    """It is refused, or only values come of it: the statement is made of this language's own words."""
    try:
        condition = parse(text)
    except ConfigError as error:
        assert "expected" in str(error)
        return
    assert condition.sql.count("?") == len(condition.values)
    assert OWN_WORDS.fullmatch(condition.sql), condition.sql
    assert all(span.pairs for span in find(results, condition))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "",
            "found the end, expected a test: night, day, fault, brightness, hour, latitude, longitude, or",
        ),
        ("person > 37", "found the end, expected a temperature's unit, C, F, K"),
        ("person > hot", "found 'hot' at character 10, expected a number"),
        ("person > 37 C night", "found 'night' at character 15, expected and, or, or the end"),
        ("(person or night", "found the end, expected and, or, or )"),
        (
            "fault thermal_frosen",
            "did you mean thermal_frozen? and, or, the end, or one of thermal_shutter",
        ),
        ("brightness night", "found 'night' at character 12, expected one of > >= < <= = !="),
        ("0 person", "found '0' at character 1, expected a whole number of objects from 1 on"),
        ("2 night", "found 'night' at character 3, expected an object's class, for example person"),
        ("person; drop table moments", "found ';' at character 7, expected words, numbers"),
        ("night'--", 'found "\'" at character 6'),
        ("(" * 100 + "night" + ")" * 100, "expected at most 40 brackets"),
        ("night " * 1000, "6000 characters, expected at most 2000"),
    ],
)
def test_a_mistake_names_what_was_found_and_what_was_expected(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        parse(text)


def test_a_class_that_nobody_saw_is_told(results) -> None:
    assert unknown_classes(results, parse("night and persn or Car")) == [
        "no 'persn' was detected; did you mean person? the tables have car, person, traffic light"
    ]


def messages(path):
    with BagReader(path) as reader:
        return [(topic.name, log_ns, bytes(data)) for topic, log_ns, data in reader.messages()]


def test_a_fleet_is_searched_and_cut(hot_job, drive, tmp_path, fuse, capsys) -> None:
    fleet = fuse(hot_job, drive)
    words = ["find", "person > 37 C and night", str(tmp_path / "out"), "--clips", str(tmp_path / "clips")]
    assert main([*words, "--around", "0.2", "--json", str(tmp_path / "found.json")]) == 0
    assert f"{drive}  1.0 s to 1.4 s  2001-09-09 01:46:41Z  5 pairs" in capsys.readouterr().out
    (clip,) = (tmp_path / "clips").iterdir()
    assert re.fullmatch(r"a-[0-9a-f]{12}_1\.0_1\.4\.mcap", clip.name)

    start_ns = 10**18 + 2 * 10**9
    first, last = start_ns + 8 * 10**8, start_ns + 16 * 10**8
    expected = [row for row in messages(drive) if first <= row[1] <= last]
    assert messages(clip) == expected and len(expected) == 2 * 9
    assert main(words) == DataError.exit_code
    assert "1 of the outputs exist already" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0

    # One job of several has to be named.
    assert (
        open_results(str(tmp_path / "out" / fleet.folder)).rows == open_results(str(tmp_path / "out")).rows
    )
    other = Job(hot_job.config, compressed=True, detections=True)
    fuse(other, drive)
    out, first = tmp_path / "out", min(fleet.folder, other.identity)
    commands = {
        ("find", "person > 37 C", str(out)): f"`ivfusion find 'person > 37 C' {out}/{first}`",
        (
            "mine",
            str(out),
            "--out",
            str(tmp_path / "mined"),
        ): f"`ivfusion mine {out}/{first} --out {tmp_path}",
        ("report", str(out), "--html", str(tmp_path / "page.html")): f"`ivfusion report {out}/{first}`",
    }
    for command, advice in commands.items():
        assert main(list(command)) == DataError.exit_code
        said = capsys.readouterr().err
        assert f"{out} has results of 2 jobs: {first} (recordings 1, compressed " in said
        assert f"{fleet.folder} (recordings 1, compressed False)" in said
        assert f"{other.identity} (recordings 1, compressed True)" in said
        assert advice in said
    with pytest.raises(DataError, match=rf"name it, as in {out}/{first}$"):
        open_results(str(out))


def test_a_recording_that_changed_is_not_cut(hot_job, drive, tmp_path, fuse, capsys) -> None:
    fuse(hot_job, drive)
    drive.write_bytes(drive.read_bytes() + b"more")
    words = ["find", "person", str(tmp_path / "out"), "--clips", str(tmp_path / "clips")]
    assert main(words) == DataError.exit_code
    assert "a.mcap has changed since it was fused" in capsys.readouterr().err


def test_tables_are_written_later_too(hot_job, drive, tmp_path, fuse, capsys) -> None:
    """Without fusing into another folder; and a fleet without them says how to get them."""
    plain = Job(hot_job.config)
    assert plain.identity == hot_job.identity
    fuse(plain, drive)
    assert main(["find", "night", str(tmp_path / "out")]) == DataError.exit_code
    assert "again with --detections" in capsys.readouterr().err
    fuse(hot_job, drive)
    assert main(["find", "not night", str(tmp_path / "out"), "--gap", "0.15"]) == 0
    assert [line.split("  ")[1] for line in capsys.readouterr().out.splitlines()] == [
        "0.0 s to 0.4 s",
        "1.5 s to 2.9 s",
    ]
    assert not Fleet(hot_job, find_recordings([str(drive.parent)]), Store(str(tmp_path / "out"))).left


def test_a_clip_begins_with_what_holds_from_before(tmp_path) -> None:
    """All static transforms, and the newest intrinsics; not what is over."""
    tf = "tf2_msgs/msg/TFMessage"
    early = [("/tf_static", tf, START_NS - 2, cdr(tf, transforms=[]))]
    early += [("/tf", tf, START_NS - 1, cdr(tf, transforms=[]))]
    source = write_rosbag2(tmp_path / "whole", [*early, *two_cameras(10)])
    step = 10_000_000
    first = Clip(tmp_path / "first.mcap", START_NS + 2 * step + 1, START_NS + 4 * step)
    second = Clip(tmp_path / "second.mcap", START_NS + 3 * step + 1, START_NS + 100 * step)
    never = Clip(tmp_path / "never.mcap", START_NS + 200 * step, START_NS + 300 * step)
    assert list(cut(source, [second, never, first])) == [first, second]
    whole = messages(source)
    for clip, info in ((first, START_NS + 2 * step), (second, START_NS + 3 * step)):
        (static,) = [data for topic, _, data in whole if topic == "/tf_static"]
        (newest,) = [data for topic, log_ns, data in whole if (topic, log_ns) == ("/rgb/camera_info", info)]
        assert messages(clip.path) == [
            ("/tf_static", clip.start_ns, static),
            ("/rgb/camera_info", clip.start_ns, newest),
            *[row for row in whole if clip.start_ns <= row[1] <= clip.end_ns],
        ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.mcap", "second.mcap", "whole"]


def test_tables_behind_a_url(results, moments) -> None:
    import fsspec

    files = fsspec.filesystem("memory")
    files.put(f"{results.store.root}/job", "/found/job", recursive=True)
    there = Results(Store("memory://found"), "job", results.rows)
    condition = parse("person > 30 C")
    assert find(there, condition) == find(results, condition) != []
    files.rm("/found", recursive=True)


def test_a_fleet_knows_where_it_was(hot_job, drive, tmp_path, fuse, capsys) -> None:
    """By the newest fix; before the first one nobody knows, and a receiver without a fix says nothing."""
    text = "sensor_msgs/msg/NavSatFix"
    status = STORE.types["sensor_msgs/msg/NavSatStatus"]
    topic = BagTopic("/gps/fix", text)
    placed = tmp_path / "placed" / "a.mcap"
    placed.parent.mkdir()
    with BagReader(drive) as reader, BagWriter(placed) as writer:
        for number, (other, log_ns, data) in enumerate(reader.messages()):
            if number in (20, 30, 40):
                fields = {
                    "header": header(log_ns, "gps"),
                    "longitude": 11.5 + number / 1000,
                    "altitude": 5.0,
                }
                fix = cdr(
                    text,
                    **fields,
                    status=status(status=-1 if number == 30 else 0, service=1),
                    latitude=48.0,
                    position_covariance=np.zeros(9),
                    position_covariance_type=0,
                )
                writer.write_raw(topic, log_ns, fix)
            writer.write_raw(other, log_ns, data)
    fuse(hot_job, placed)
    capsys.readouterr()
    for asked, first, last in (("longitude = 11.52", 1.0, 1.9), ("longitude > 11.53", 2.0, 2.9)):
        assert main(["find", f"{asked} and latitude > 47", str(tmp_path / "out")]) == 0
        (said,) = capsys.readouterr().out.splitlines()
        start, end = (float(word) for word in re.findall(r"(\d\.\d) s", said))
        # The reader is a few frames ahead of the pairs that come out.
        assert first - 0.5 <= start <= first and last - 0.5 <= end <= last
    pytest.importorskip("jinja2", reason="needs jinja2")
    page = fleet_page(open_results(str(tmp_path / "out")), tmp_path / "page.html")
    (bars,) = [each for each in page.bars if "by place" in each.title]
    places = [row.name.rsplit(", ", 1)[0] for row in bars.rows]
    assert sorted(places) == ["48.00, 11.52", "48.00, 11.54"] and {row.text for row in bars.rows} == {"1"}
