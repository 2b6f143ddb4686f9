"""What is taken to be labelled: of moments made by hand, and of a drive, as trainings read it."""

import csv
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("duckdb", reason="needs duckdb")
pytest.importorskip("pyarrow", reason="needs pyarrow")
pytest.importorskip("fsspec", reason="needs fsspec")
onnx = pytest.importorskip("onnx", reason="needs onnx")

from ivfusion_ros.cli import main
from ivfusion_ros.config.pipeline import FaultConfig
from ivfusion_ros.errors import DataError
from ivfusion_ros.fleet import Job, read_moments
from ivfusion_ros.fleet.moments import Moment
from ivfusion_ros.fleet.worth import alone, looked_at, together, worth_of
from ivfusion_ros.images import read_boxes, read_image
from ivfusion_ros.sources import find_pairs, find_scenes
from ivfusion_ros.types import Detections

NAMES = ("person", "car")
BOX, NEAR, FAR = (0, 0, 10, 20), (4, 0, 14, 20), (7, 0, 17, 20)
"""The second shares 6/14 with the first, the third 3/17."""


def found(*objects: tuple[tuple[int, ...], float, int]) -> Detections:
    return Detections(
        np.array([box for box, _, _ in objects], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in objects], np.float32),
        np.array([class_id for _, _, class_id in objects], np.int64),
        NAMES,
    )


@pytest.mark.parametrize(
    ("one", "other", "count"),
    [
        ([(BOX, 0.6, 0)], [], 1),
        ([(BOX, 0.4, 0)], [], 0),
        ([(BOX, 0.6, 0)], [(NEAR, 0.26, 0)], 0),
        ([(BOX, 0.6, 0)], [(FAR, 0.9, 0)], 1),
        ([(BOX, 0.6, 0)], [(BOX, 0.9, 1)], 1),
        ([(BOX, 0.6, 0), (FAR, 0.5, 0)], [(BOX, 0.3, 0)], 1),
    ],
)
def test_a_sure_object_that_the_other_camera_does_not_show(one, other, count: int) -> None:
    assert alone(found(*one), found(*other), 0.5) == count


def moment(pair: int, objects: Detections, *faults: str) -> Moment:
    return Moment(pair, 10**18 + pair * 10**8, 90.0, faults, objects)


def test_reasons() -> None:
    sure, unsure = found((BOX, 0.9, 0)), found((BOX, 0.9, 0), (FAR, 0.3, 0))
    assert worth_of(moment(0, sure), sure, sure, 0.5).reasons == ()
    assert worth_of(moment(0, sure), found(), sure, 0.5).reasons == ("disagree",)
    worth = worth_of(moment(0, unsure, "rgb_dark"), sure, found((FAR, 0.8, 1)), 0.5)
    assert (worth.disagreements, worth.middling, worth.faults) == (2, 1, ("rgb_dark",))
    assert worth.reasons == ("disagree", "middling", "fault") and worth.strength == 4


def test_one_moment_of_each_second_that_of_which_most_is_known() -> None:
    sure, unsure = found((BOX, 0.9, 0)), found((BOX, 0.3, 0))
    moments = [moment(index, sure) for index in range(30)]
    moments[13] = moment(13, unsure)
    moments[17] = moment(17, unsure, "rgb_flat")
    chosen = looked_at(moments, 1.0, 0.5)
    assert [each.pair for each in chosen.values()] == [0, 17, 20]
    assert list(chosen) == [each.stamp_ns for each in chosen.values()]
    assert len(looked_at(moments, 0.1, 0.5)) == 30 and not looked_at([], 1.0, 0.5)


def test_objects_of_all_images_each_once() -> None:
    whole = together([found((BOX, 0.3, 0)), found((BOX, 0.8, 0), (FAR, 0.6, 0)), found((BOX, 0.5, 1))])
    assert whole.boxes_xyxy.tolist() == [list(BOX), list(FAR), list(BOX)]
    assert whole.scores.tolist() == pytest.approx([0.8, 0.6, 0.5]) and whole.class_ids.tolist() == [0, 0, 1]


@pytest.fixture
def bright_model(tmp_path):
    """A detector of one person at (10, 20)-(30, 60), twice as sure as the image is bright."""
    helper, types, arrays = onnx.helper, onnx.TensorProto, onnx.numpy_helper
    boxes, score = np.zeros((1, 6, 126), np.float32), np.zeros((1, 6, 126), np.float32)
    boxes[0, :4, 0] = [20, 40, 20, 40]
    score[0, 4, 0] = 2
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["score", "mean"], ["scored"]),
        helper.make_node("Add", ["boxes", "scored"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("images", types.FLOAT, [1, 3, 64, 96])],
        [helper.make_tensor_value_info("output0", types.FLOAT, [1, 6, 126])],
        [arrays.from_array(boxes, "boxes"), arrays.from_array(score, "score")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    helper.set_model_props(model, {"names": "{0: 'person', 1: 'car'}"})
    onnx.save(model, tmp_path / "bright.onnx")
    return tmp_path / "bright.onnx"


DARK = range(5, 15)
"""Of drive: there RGB scores below 0.2, else 0.7 as thermal does; the fused image 0.45."""


@pytest.fixture
def bright_job(hot_job, bright_model):
    """Noise is no fault."""
    detection = replace(hot_job.config.detection, model=str(bright_model))
    faults = replace(hot_job.config.faults, least_contrast=0.0)
    return Job(replace(hot_job.config, detection=detection, faults=faults), detections=True)


@pytest.fixture
def out(bright_job, drive, fuse, tmp_path):
    fuse(bright_job, drive)
    return tmp_path / "out"


def mined(folder) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def rows_of(folder) -> list[dict[str, str]]:
    (path,) = (folder / "provenance").iterdir()
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_drive_is_mined(out, drive, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    words = ["mine", str(out), "--out", str(data)]
    assert main([*words, "--every", "0.1"]) == 0
    rows = rows_of(data)
    assert [int(row["pair"]) for row in rows] == list(DARK)
    assert {(row["reasons"], row["disagreements"], row["middling"]) for row in rows} == {
        ("disagree middling", "1", "1")
    }
    assert {row["recording"] for row in rows} == {str(drive)}

    pairs, scenes = find_pairs(data), find_scenes(data)
    assert (
        [pair.stem for pair in pairs] == [scene.stem for scene in scenes] == [row["stem"] for row in rows]
    )
    rng = np.random.default_rng(0)
    for index in range(15):
        thermal = rng.integers(29400, 29500, (64, 96), np.uint16).astype(float) / 100
        rgb = rng.integers(0, 40 if index in DARK else 200, (64, 96, 3), np.uint8)
        if index in DARK:
            pair = pairs[index - DARK[0]]
            assert np.array_equal(read_image(pair.rgb), rgb)
            thermal[20:60, 10:30] += 17 if index >= 10 else 0
            expected = np.clip((thermal - 280) / 40, 0, 1) * 255
            assert np.abs(read_image(pair.thermal) - expected).max() <= 1
            boxes, class_ids = read_boxes(pair.boxes, (96, 64))
            np.testing.assert_allclose(boxes, [[10, 20, 30, 60]], atol=0.01)
            assert class_ids.tolist() == [0] and scenes[index - DARK[0]].names == NAMES


def test_it_goes_on_and_refuses_other_settings(out, tmp_path, capsys) -> None:
    data = tmp_path / "data"
    words = ["mine", str(out), "--out", str(data), "--every", "0.2", "--most", "3"]
    assert main(words) == 0
    before = mined(data)
    rows = rows_of(data)
    assert len(rows) == 3 and sum(name.startswith("rgb/") for name in before) == 3
    # Killed before its end: the same again.
    (provenance,) = (data / "provenance").iterdir()
    provenance.unlink()
    (data / "boxes" / f"{rows[0]['stem']}.txt").unlink()
    assert main(words) == 0 and mined(data) == before
    capsys.readouterr()
    assert main(words) == 0
    assert "0 moments of 0 recordings, 1 were there" in capsys.readouterr().err
    assert main([*words, "--sure", "0.6"]) == DataError.exit_code
    assert "with other settings" in capsys.readouterr().err


def test_faults_are_a_reason(bright_job, drive, fuse, tmp_path) -> None:
    """All of it is noise, which is a fault after a while."""
    fuse(Job(replace(bright_job.config, faults=FaultConfig()), detections=True), drive)
    data = tmp_path / "data"
    assert main(["mine", str(tmp_path / "out"), "--out", str(data), "--every", "0.1", "--most", "99"]) == 0
    faults = {int(row["pair"]): row["faults"] for row in rows_of(data) if "fault" in row["reasons"]}
    assert faults[3] == faults[29] == "thermal_flat rgb_flat" and not {0, 1, 2} & faults.keys()


def test_a_recording_that_is_gone_costs_itself(out, drive, tmp_path, capsys) -> None:
    drive.unlink()
    assert main(["mine", str(out), "--out", str(tmp_path / "data")]) == DataError.exit_code
    assert str(drive) in capsys.readouterr().err
    assert not list((tmp_path / "data" / "provenance").iterdir())


def test_it_is_read_as_a_data_set_of_a_detector(out, tmp_path) -> None:
    pytest.importorskip("torch", reason="the room of detectors' trainings needs torch")
    from ivfusion_ros.training.detector import write_dataset
    from ivfusion_ros.training.detector.kinds import Kind

    assert main(["mine", str(out), "--out", str(tmp_path / "data"), "--every", "0.2"]) == 0
    made = tmp_path / "made"
    # Of one short recording nothing is held out.
    counts = write_dataset([tmp_path / "data"], made, [Kind("thermal"), Kind("rgb")], None)
    assert counts["train"].pairs >= 4 and counts["val"].pairs == 0
    labels = [path.read_text() for path in (made / "labels").rglob("*.txt")]
    assert len(labels) >= 8 and set(labels) == {"0 0.208333 0.625000 0.208333 0.625000\n"}


def test_a_table_is_read_as_it_was_written(out) -> None:
    (path,) = out.glob("*/*/detections.parquet")
    moments = read_moments(path.read_bytes(), NAMES)
    assert [each.pair for each in moments] == list(range(30))
    assert {len(each.objects) for each in moments} == {1}
    with pytest.raises(DataError, match="expected one whose classes are car"):
        read_moments(path.read_bytes(), ("car",))


def test_a_fleet_without_a_detector_is_refused(job, drive, fuse, tmp_path, capsys) -> None:
    fuse(Job(job.config, detections=True), drive)
    assert main(["mine", str(tmp_path / "out"), "--out", str(tmp_path / "data")]) == DataError.exit_code
    assert "was fused without a detector" in capsys.readouterr().err
