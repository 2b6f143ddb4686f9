"""A long recording cut into pieces: joined, it is as without the cut, but for the tracks' numbers."""

import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")

from pyarrow import parquet

from ivfusion_ros.bags import BagReader, BagWriter, deserialize
from ivfusion_ros.errors import BagError
from ivfusion_ros.fleet import Fleet, Job, Replicas, Store, find_recordings
from ivfusion_ros.fleet import pieces as pieces_module
from ivfusion_ros.fleet.pieces import Piece, pieces_of
from ivfusion_ros.types import CameraInfo, Frame

PAIRS, STEP_NS, START_NS = 120, 10**8, 10**18
SEAMS_S = (4.0, 8.0)
MINUTES = 4.01 / 60


@pytest.fixture
def long_drive(tmp_path):
    """Twelve seconds whose temperatures drift, so that a stretch without a past is another one."""
    rng = np.random.default_rng(5)
    (tmp_path / "long").mkdir()
    info = CameraInfo(96, 64, k=(80.0, 0, 48, 0, 80, 32, 0, 0, 1))
    with BagWriter(tmp_path / "long" / "a.mcap") as writer:
        for index in range(PAIRS):
            stamp_ns = START_NS + index * STEP_NS
            level = 29000 + 300 * np.sin(index / 3)
            thermal = (level + 400 * rng.random((64, 96))).astype(np.uint16)
            rgb = rng.integers(0, 200, (64, 96, 3), np.uint8)
            # One camera tells its intrinsics once.
            told = info if index == 0 else None
            writer.write_frame("thermal", Frame(thermal, stamp_ns + 5_000_000))
            writer.write_frame("rgb", Frame(rgb, stamp_ns, "rgb", told))
    return tmp_path / "long" / "a.mcap"


@pytest.fixture
def whole_job(job, box_model):
    config = job.config
    return Job(
        replace(
            config,
            detection=replace(config.detection, model=str(box_model), backend="onnxruntime", threads=1),
            thermal=replace(config.thermal, smoothing_s=0.1),
            tracking=replace(config.tracking, tracker="bytetrack"),
        ),
        detections=True,
    )


def fleet_of(job, drive, tmp_path, name="out"):
    store = Store(str(tmp_path / name))
    return Fleet(job, find_recordings([str(drive.parent)]), store), store


def fused(job, drive, tmp_path, here, name="out"):
    """The folder of the only recording's result."""
    fleet, store = fleet_of(job, drive, tmp_path, name)
    (row,) = fleet.fuse(here(job, store))
    assert row["error"] == ""
    return tmp_path / name / row["folder"] if "folder" in row else next((tmp_path / name).glob("*/a-*"))


def messages(folder):
    """(topic, seconds, what it says but for numbers of tracks) of a result's bag."""
    found = []
    with BagReader(folder / "fused.mcap") as reader:
        for topic, log_ns, data in reader.messages():
            message = deserialize(data, topic.type)
            for item in getattr(message, "detections", ()):
                object.__setattr__(item, "id", "")
            found.append((topic.name, (log_ns - START_NS) / 1e9, repr_of(message)))
    return found


def repr_of(message) -> str:
    with np.printoptions(threshold=10**9, precision=17):
        return repr(message)


@pytest.fixture
def three_seconds(monkeypatch):
    """Thirty time constants of the job's stretch, as thirty seconds are more than of the usual one."""
    monkeypatch.setattr(pieces_module, "OVERLAP_S", 3.0)


def test_joined_pieces_are_the_whole(whole_job, long_drive, tmp_path, here, three_seconds) -> None:
    whole = fused(whole_job, long_drive, tmp_path, here, "whole")
    cut_job = replace(whole_job, piece_minutes=MINUTES)
    assert cut_job.identity != whole_job.identity
    cut = fused(cut_job, long_drive, tmp_path, here, "cut")
    assert messages(cut) == messages(whole) and len(messages(whole)) > 3 * PAIRS

    tables = [parquet.read_table(folder / "detections.parquet").to_pylist() for folder in (cut, whole)]
    tracks = [{row.pop("track") for row in table} for table in tables]
    assert tables[0] == tables[1] and [row["pair"] for row in tables[0]] == list(range(PAIRS))
    # Numbers of their own.
    assert tracks[1] == {1} and tracks[0] == {1, 1_000_001, 2_000_001}
    figures = [json.loads((folder / "figures.json").read_text()) for folder in (cut, whole)]
    assert figures[0]["pieces"] == 3
    for name in ("pairs", "faults", "detections", "drops", "failed_pairs", "recording", "key", "topics"):
        assert figures[0][name] == figures[1][name], name
    assert sorted(path.name for path in cut.iterdir()) == [
        "detections.parquet",
        "figures.json",
        "fused.mcap",
    ]


def test_without_what_came_before_the_beginnings_of_pieces_differ(
    whole_job, long_drive, tmp_path, here, monkeypatch
) -> None:
    """So the overlap is what makes them equal."""
    monkeypatch.setattr(pieces_module, "OVERLAP_S", 0.0)
    whole = messages(fused(whole_job, long_drive, tmp_path, here, "whole"))
    cut = messages(fused(replace(whole_job, piece_minutes=MINUTES), long_drive, tmp_path, here, "cut"))
    differing = {time for name, time, said in set(whole) ^ set(cut) if name == "/fused/image_raw"}
    behind = {time - max(seam for seam in SEAMS_S if seam - 0.1 < time) for time in differing}
    assert len(differing) > 10 and max(behind) < 2


def test_what_the_refinement_of_pieces_did_adds_up() -> None:
    counted = {name: {} for name in ("topics", "frames", "drops", "failed_pairs", "skipped_messages")}
    piece = counted | {"faults": {}, "detections": {}, "pairs": 5, "seconds": 1.0, "wall_s": 1.0}
    piece |= {"losses": [], "skew_ms": {"max": 0.0}}
    counts = [{"bumps": 1, "bumps_by_matcher": 1, "matcher_asked": 4}, {"bumps": 1, "matcher_asked": 2}]
    whole = pieces_module.joined([piece | {"refinement": own} for own in counts])
    assert whole["refinement"] == {"bumps": 2, "bumps_by_matcher": 1, "matcher_asked": 6}
    assert "refinement" not in pieces_module.joined([piece, piece])


def test_pieces_on_ray(cluster, whole_job, long_drive, tmp_path, here) -> None:
    """Whose workers fuse them with the usual overlap."""
    whole = fused(whole_job, long_drive, tmp_path, here, "whole")
    job = replace(whole_job, piece_minutes=MINUTES)
    fleet, store = fleet_of(job, long_drive, tmp_path)
    with Replicas(job, store.root, count=2) as replicas:
        (row,) = fleet.fuse(replicas)
    assert (row["error"], row["pairs"], row["attempts"]) == ("", PAIRS, 1)
    assert messages(next((tmp_path / "out").glob("*/a-*"))) == messages(whole)


class Breaking:
    """Replicas whose worker is lost at a task."""

    def __init__(self, replicas, number):
        self.replicas, self.number = replicas, number

    def do(self, tasks):
        for count, task in enumerate(tasks):
            if count == self.number:
                raise KeyboardInterrupt
            yield from self.replicas.do([task])


def test_pieces_that_are_done_stay(whole_job, long_drive, tmp_path, here, three_seconds) -> None:
    job = replace(whole_job, piece_minutes=MINUTES)
    fleet, store = fleet_of(job, long_drive, tmp_path)
    with pytest.raises(KeyboardInterrupt):
        list(fleet.fuse(Breaking(here(job, store), 2)))
    done = sorted(path.parent.name for path in (tmp_path / "out").rglob("figures.json"))
    assert done == ["1-of-3", "2-of-3"]
    fleet, store = fleet_of(job, long_drive, tmp_path)
    replicas = here(job, store)
    (row,) = fleet.fuse(replicas)
    # A piece, and the joining.
    assert (row["error"], row["pairs"], len(replicas.fused)) == ("", PAIRS, 2)
    assert not fleet_of(job, long_drive, tmp_path)[0].left


def test_a_piece_that_fails_costs_its_recording(
    whole_job, long_drive, tmp_path, here, three_seconds
) -> None:
    job = replace(whole_job, piece_minutes=MINUTES)
    fleet, store = fleet_of(job, long_drive, tmp_path)
    replicas = here(job, store)
    fuse_piece = replicas.worker.fuse_piece

    def failing(recording, piece, scratch):
        if piece.number == 1:
            raise BagError("it is unreadable")
        return fuse_piece(recording, piece, scratch)

    replicas.worker.fuse_piece = failing
    (row,) = fleet.fuse(replicas)
    assert row["error"] == "piece 2 of 3: BagError: it is unreadable"
    assert len(fleet_of(job, long_drive, tmp_path)[0].left) == 1


def test_a_piece_without_pairs_is_nothing_wrong(whole_job, long_drive, tmp_path, here, monkeypatch) -> None:
    """As where the cameras stood still for longer than a piece."""
    monkeypatch.setattr(pieces_module, "OVERLAP_S", 0.5)
    hole = tmp_path / "hole" / "a.mcap"
    hole.parent.mkdir()
    with BagReader(long_drive) as reader, BagWriter(hole) as writer:
        for topic, log_ns, data in reader.messages():
            if not 2 < (log_ns - START_NS) / 1e9 < 10:
                writer.write_raw(topic, log_ns, data)
    whole = fused(whole_job, hole, tmp_path, here, "whole")
    cut = fused(replace(whole_job, piece_minutes=MINUTES), hole, tmp_path, here, "cut")
    stamps = [time for name, time, _ in messages(cut) if name == "/fused/image_raw"]
    assert stamps == [time for name, time, _ in messages(whole) if name == "/fused/image_raw"]
    assert json.loads((cut / "figures.json").read_text())["pairs"] == len(stamps) == 40


def test_where_a_recording_is_cut(long_drive, small_bag) -> None:
    first, second, third = pieces_of(long_drive, MINUTES)
    assert [piece.folder for piece in (first, second, third)] == [f"pieces/{n}-of-3" for n in (1, 2, 3)]
    assert first.end_ns == second.start_ns and second.end_ns == third.start_ns
    seams = [(piece.start_ns - START_NS) / 1e9 for piece in (second, third)]
    assert seams == pytest.approx(SEAMS_S, abs=0.1)
    assert first.start_ns < 0 and third.end_ns > 2**62
    assert second.between == (second.start_ns - 30 * 10**9, second.end_ns + 30 * 10**9)
    assert not pieces_of(small_bag, 0.1)


def test_the_ends_of_time_do_not_overflow() -> None:
    piece = Piece(0, 1, -(2**63), 2**63 - 1)
    assert piece.between == (-(2**63), 2**63 - 1)
