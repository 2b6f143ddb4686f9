"""`ivfusion eval-detection` on made-up scenes whose precision can be worked out by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("pycocotools", reason="needs pycocotools: the extra `eval`")
pytest.importorskip("onnx")

from detector_samples import write_dynamic_detector

from ivfusion_ros.cli import main
from ivfusion_ros.evaluation.detection import find
from ivfusion_ros.evaluation.detection.curves import write_curves
from ivfusion_ros.evaluation.detection.find import Found
from ivfusion_ros.evaluation.detection.gain import draw, gains
from ivfusion_ros.evaluation.detection.precision import Precision, matches, missed, precisions
from ivfusion_ros.evaluation.detection.results import Entry
from ivfusion_ros.evaluation.detection.scenes import Scene, Truth, is_night, read_scenes
from ivfusion_ros.evaluation.detection.sheet import worst
from ivfusion_ros.evaluation.fusion.pairs import Pair
from ivfusion_ros.graphs.onnx_file import read_metadata
from ivfusion_ros.images.files import read_image
from ivfusion_ros.models import read_models
from ivfusion_ros.types import Detections

NAMES = ("person", "car")
WIDTH, HEIGHT = 640, 64
HALF = 51 / 101
"""AP where one of two objects is found and nothing else: precision 1 at recalls from 0 to 0.5."""


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Lamps of 8x8 px, seen by the thermal camera, the RGB camera or both, by day and by night."""
    scenes = {
        "x_001D": ((8, 8, "both"), (80, 16, "rgb")),
        "x_002D": ((200, 8, "both"), (400, 40, "both")),
        "x_003N": ((16, 16, "thermal"), (320, 8, "thermal")),
        "x_004N": ((16, 16, "thermal"), (600, 8, "both")),
    }
    folder = tmp_path / "lamps"
    for kind in ("thermal", "rgb"):
        (folder / "images" / "val" / kind).mkdir(parents=True)
        (folder / "labels" / "val" / kind).mkdir(parents=True)
        for stem, lamps in scenes.items():
            image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
            for x, y, seen_by in lamps:
                if seen_by in (kind, "both"):
                    image[y : y + 8, x : x + 8] = 255
            cv2.imwrite(str(folder / "images" / "val" / kind / f"{stem}.png"), image)
            lines = [
                f"0 {(x + 4) / WIDTH} {(y + 4) / HEIGHT} {8 / WIDTH} {8 / HEIGHT}\n" for x, y, _ in lamps
            ]
            (folder / "labels" / "val" / kind / f"{stem}.txt").write_text("".join(lines), encoding="utf-8")
    (folder / "data.yaml").write_text("path: .\nnames:\n  0: class_0\n", encoding="utf-8")
    return folder


@pytest.fixture
def detector(tmp_path: Path) -> Path:
    return write_dynamic_detector(tmp_path / "lamps.onnx")


def run(dataset: Path, detector: Path, model: Path, *more: str) -> Path:
    out = dataset.parent / "out"
    words = ["eval-detection", "--data", dataset, "--detector", detector, "--model", f"blend={model}"]
    status = main(
        [*map(str, words), "--backend", "onnxruntime", "--threads", "1", "--out", str(out), *more]
    )
    assert status == 0
    return out


def test_fused_images_show_what_either_camera_sees(
    dataset: Path, detector: Path, blend_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = run(dataset, detector, blend_model)
    with (out / "results.csv").open(encoding="utf-8") as file:
        table = {(row["subset"], row["images"]): row for row in csv.DictReader(file)}
    expected = {
        ("day", "thermal"): 76 / 101, ("day", "rgb"): 1, ("day", "blend"): 1,
        ("night", "thermal"): 1, ("night", "rgb"): 26 / 101, ("night", "blend"): 1,
        ("all", "thermal"): 88 / 101, ("all", "rgb"): 63 / 101, ("all", "blend"): 1,
    }  # fmt: skip
    assert table.keys() == expected.keys()
    for key, value in expected.items():
        assert float(table[key]["AP50 class_0"]) == pytest.approx(value, abs=1e-5), key
        assert float(table[key]["AP50:95 all"]) == pytest.approx(value, abs=1e-5), key
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert results["detector"]["model"] == "lamps.onnx" and not results["skipped"]
    everything = results["results"][0]
    assert everything["scenes"] == 4 and everything["classes"]["class_0"]["objects"] == 8
    page = (out / "results.md").read_text(encoding="utf-8")
    assert "## night: 2 scenes; 4 class_0" in page and "| blend | **1.0000** |" in page
    for name in ("curves.png", "calibration.png", "misses.png"):
        assert f"({name})" in page and cv2.imread(str(out / name)) is not None

    assert "## Thresholds" in page and results["thresholds"]["blend"]["found"] == 1

    assert "| day | blend | +0.000 over rgb (+0.000 to +0.000) |" in page
    added = {(row["subset"], row["class_name"]): row for row in results["added_by_fusion"]}
    whole = added["all", "class_0"]
    assert (whole["method"], whole["camera"]) == ("blend", "thermal")
    assert whole["added"] == pytest.approx(13 / 101) and whole["low"] == 0 < whole["high"] < 1

    # Again, now from the journal alone.
    monkeypatch.setattr(find.DetectorUnderTest, "__call__", lambda *_: pytest.fail("detected again"))
    first = (out / "results.csv").read_bytes()
    run(dataset, detector, blend_model)
    assert (out / "results.csv").read_bytes() == first


def test_a_detector_of_two_images_sees_the_thermal_one_beside_each(
    dataset: Path, tmp_path: Path, blend_model: Path
) -> None:
    two = write_dynamic_detector(tmp_path / "two.onnx", thermal=True)
    out = run(dataset, two, blend_model)
    with (out / "results.csv").open(encoding="utf-8") as file:
        table = {(row["subset"], row["images"]): row for row in csv.DictReader(file)}
    # It looks at thermal alone, which is black beside RGB alone, as where that camera is silent.
    for images, expected in (("thermal", 88 / 101), ("blend", 88 / 101), ("rgb", 0)):
        assert float(table["all", images]["AP50 class_0"]) == pytest.approx(expected, abs=1e-5), images


def test_a_scene_that_one_method_lacks_counts_for_none(
    dataset: Path, detector: Path, blend_model: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    for path in sorted((dataset / "images" / "val" / "thermal").iterdir())[1:]:
        (theirs / path.name).write_bytes(path.read_bytes())
    out = run(dataset, detector, blend_model, "--fused", f"theirs={theirs}")
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [(row["scene"], row["images"]) for row in results["skipped"]] == [("x_001D", "theirs")]
    assert {row["scenes"] for row in results["results"] if row["subset"] == "all"} == {3}


def found(boxes: list[list[float]], scores: list[float], class_ids: list[int]) -> Found:
    pair = Pair("x", "1N", Path("t"), Path("r"))
    detections = Detections(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(class_ids, np.int64),
        NAMES,
    )
    return Found(Scene(pair, True, truth([], [])), "m", (640, 480), detections)


def truth(boxes: list[list[float]], class_ids: list[int]) -> Truth:
    return Truth(np.array(boxes, np.float32).reshape(-1, 4), np.array(class_ids, np.int64))


BOX, FAR = [100.0, 100, 140, 180], [300.0, 100, 340, 180]


def test_precisions_by_class_and_overlap() -> None:
    # An overlap of 0.778 (a box moved by 5 of 40 px) counts up to the threshold of 0.75: six of ten.
    moved = [105.0, 100, 145, 180]
    person, car = precisions(
        [truth([BOX, FAR], [0, 0]), truth([], [])],
        [found([moved, FAR], [0.9, 0.8], [0, 1]), found([BOX], [0.3], [0])],
        NAMES,
    )
    assert (person.objects, person.class_name) == (2, "person")
    assert person.ap50 == pytest.approx(HALF) and person.ap50_95 == pytest.approx(0.6 * HALF)
    assert person.curve[:51] == pytest.approx(np.ones(51)) and not person.curve[51:].any()
    assert (car.objects, car.ap50, car.ap50_95) == (0, None, None)
    # A surer false object in front halves the precision.
    (first, _) = precisions([truth([BOX], [0])], [found([FAR, BOX], [0.9, 0.8], [0, 0])], NAMES)
    assert first.ap50 == pytest.approx(0.5)
    (nothing, _) = precisions([truth([BOX], [0])], [found([], [], [])], NAMES)
    assert nothing.ap50 == 0


def random_scenes(count: int, seed: int) -> tuple[list[Truth], list[Found]]:
    """Objects of two classes, of which some are found; and as many boxes where nothing is."""
    random = np.random.default_rng(seed)
    truths, items = [], []
    for _ in range(count):
        number = int(random.integers(0, 5))
        places = random.uniform(0, 300, (number, 2)).astype(np.float32)
        boxes, class_ids = np.hstack([places, places + 40]), random.integers(0, 2, number)
        truths.append(Truth(boxes, class_ids))
        boxes = np.concatenate([boxes + random.normal(0, 8, boxes.shape), boxes + 200])
        scores = random.uniform(0, 1, 2 * number)
        items.append(found(boxes.tolist(), scores.tolist(), np.tile(class_ids, 2).tolist()))
    return truths, items


def test_a_scene_that_counts_twice_is_judged_as_two() -> None:
    truths, items = random_scenes(12, seed=3)
    for times in (np.ones(12, int), np.random.default_rng(1).multinomial(12, [1 / 12] * 12)):
        chosen = [scene for scene, count in enumerate(times) for _ in range(count)]
        expected = precisions([truths[i] for i in chosen], [items[i] for i in chosen], NAMES)
        weighted = [own.ap50(times.astype(float)) for own in matches(truths, items, NAMES)]
        assert weighted == pytest.approx([item.ap50 for item in expected], abs=1e-9)
    assert all(0 < value < 1 for value in weighted)


def test_what_fusion_adds_has_an_interval() -> None:
    truths, good = random_scenes(40, seed=5)
    worse = [found([], [], []) if place % 2 else item for place, item in enumerate(good)]
    images = {"thermal": worse, "rgb": [found([], [], [])] * 40, "blend": good, "same": worse}
    places = {"all": list(range(40)), "night": [0, 2, 4]}
    own = {
        (item.subset, item.method, item.class_name): item for item in gains(truths, images, NAMES, places)
    }
    assert len(own) == 2 * 2 * 3 and {item.camera for item in own.values()} == {"thermal"}
    sure = own["all", "blend", "person"]
    assert 0 < sure.low < sure.added < sure.high < 1
    same, night = own["all", "same", "all"], own["night", "blend", "person"]
    assert (same.low, same.added, same.high) == (night.low, night.added, night.high) == (0, 0, 0)
    assert not gains(truths, {"thermal": worse, "blend": good}, NAMES, places)
    weights = draw(40, [0, 2, 4])
    assert (weights.sum(axis=1) == 3).all() and not weights[:, [1, 3]].any()


def test_misses_are_what_is_not_reported() -> None:
    truths = [truth([BOX, FAR], [0, 0]), truth([BOX, FAR], [1, 0])]
    items = [found([BOX, FAR], [0.9, 0.2], [0, 0]), found([BOX, FAR], [0.9, 0.9], [0, 0])]
    assert missed(truths, items, NAMES, np.full(len(NAMES), 0.25)) == [[1], [0]]
    small = truth([[0, 0, 10, 10]] * 3, [0] * 3)
    assert worst([small, *truths], [[[0, 1, 2], [], [0]]]) == [2, 0, 1]


def test_day_and_night(tmp_path: Path) -> None:
    def pair(stem: str, level: int) -> Pair:
        path = tmp_path / f"{stem}.png"
        cv2.imwrite(str(path), np.full((8, 8, 3), level, np.uint8))
        return Pair("x", stem, path, path)

    assert is_night(pair("msrs_00012N", 250)) and not is_night(pair("00012D", 3))
    assert is_night(pair("frame_N", 20)) and not is_night(pair("frame_D", 120))


def test_what_is_missing_is_named(
    dataset: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "eval-detection",
        "--data",
        str(dataset),
        "--detector",
        str(detector),
        "--out",
        str(tmp_path / "o"),
    ]
    (dataset / "labels" / "val" / "rgb" / "x_001D.txt").rename(tmp_path / "away.txt")
    assert main(words) == 7 and "has no labels in" in capsys.readouterr().err
    (tmp_path / "away.txt").rename(dataset / "labels" / "val" / "rgb" / "x_001D.txt")
    assert len(read_scenes(dataset, "val", limit=2)[0]) == 2
    assert main([*words, "--part", "train"]) == 7
    assert "--images thermal rgb" in capsys.readouterr().err
    assert main([*words, "--model", f"rgb={detector}"]) != 0
    (dataset / "data.yaml").write_text("names: [unicorn, class_0]\n", encoding="utf-8")
    assert main(words) == 2 and "unicorn" in capsys.readouterr().err
    (dataset / "data.yaml").write_text("names: [class_0]\n", encoding="utf-8")
    (dataset / "labels" / "val" / "rgb" / "x_001D.txt").write_text("7 0.5 0.5 0.1 0.1\n", encoding="utf-8")
    assert main(words) == 7 and "has class 7, but data.yaml names 1" in capsys.readouterr().err
    words[2] = str(tmp_path / "absent")
    assert main(words) == 7 and "make a data set with `ivfusion dataset`" in capsys.readouterr().err


def test_a_folder_of_one_camera_is_judged_as_it_is(
    dataset: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """COCO's form, of the thermal images alone; the class map makes lamps of dogs."""
    folder = tmp_path / "published"
    (folder / "val").mkdir(parents=True)
    images, objects = [], []
    for number, path in enumerate(sorted((dataset / "images" / "val" / "thermal").iterdir())):
        (folder / "val" / path.name).write_bytes(path.read_bytes())
        images.append({"id": number, "file_name": path.name})
        labels = dataset / "labels" / "val" / "thermal" / f"{path.stem}.txt"
        for line in labels.read_text("utf-8").splitlines():
            x, y, width, height = (float(word) for word in line.split()[1:])
            box = [(x - width / 2) * WIDTH, (y - height / 2) * HEIGHT, width * WIDTH, height * HEIGHT]
            objects.append({"image_id": number, "category_id": 17, "bbox": box})
    (folder / "annotations").mkdir()
    content = {"images": images, "annotations": objects, "categories": [{"id": 17, "name": "dog"}]}
    (folder / "annotations" / "val.json").write_text(json.dumps(content))
    (tmp_path / "names.yaml").write_text("dog: car\n")
    named = write_dynamic_detector(tmp_path / "cars.onnx", name="car")
    words = ["eval-detection", "--data", folder, "--detector", named, "--out", tmp_path / "out",
             "--backend", "onnxruntime"]  # fmt: skip
    assert main([*map(str, words), "--classes", str(tmp_path / "names.yaml")]) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8"))
    row = results["results"][0]
    assert row["images"] == "thermal" and row["classes"]["car"]["objects"] == 8
    assert row["AP50"] == pytest.approx(88 / 101, abs=1e-5)
    capsys.readouterr()
    assert main([*map(str, words)]) == 7 and "give a class map" in capsys.readouterr().err
    assert main([*map(str, words), "--classes", str(tmp_path / "names.yaml"), "--model", "mst"]) == 7
    assert "has no pairs to fuse" in capsys.readouterr().err


def judged(words: list[object], tmp_path: Path) -> dict[str, int]:
    """Objects by class of what eval-detection judges, in RGB images."""
    out = tmp_path / "judged"
    asked = ["eval-detection", *words, "--backend", "onnxruntime", "--camera", "rgb", "--out", out]
    assert main([*map(str, asked)]) == 0
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))["results"][0]
    return {name: item["objects"] for name, item in results["classes"].items()}


@pytest.fixture
def wild(tmp_path: Path) -> Path:
    """Four images in YOLO's form, with two deer and a drone each, and a map that leaves deer out."""
    folder = tmp_path / "wild"
    for kind in ("images", "labels"):
        (folder / kind / "train").mkdir(parents=True)
    for number in range(4):
        cv2.imwrite(str(folder / "images" / "train" / f"{number}.png"), np.zeros((64, 64, 3), np.uint8))
        lines = "".join(f"{name} 0.5 {place} 0.1 0.1\n" for name, place in ((1, 0.2), (1, 0.5), (0, 0.8)))
        (folder / "labels" / "train" / f"{number}.txt").write_text(lines)
    (folder / "data.yaml").write_text("names: [Drone, Deer]\n")
    return folder


def test_a_detector_of_other_classes_is_judged_on_those(
    wild: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deer = write_dynamic_detector(tmp_path / "deer.onnx", name="deer")
    words = ["--data", wild, "--detector", deer]
    assert judged(words, tmp_path) == {"deer": 8}
    assert (
        "4 boxes are left out: 4 of class drone (known: deer); a class map says" in capsys.readouterr().err
    )
    # Its own numbers: 0 is the drone, whatever COCO's 0 is.
    (tmp_path / "map.yaml").write_text("0: deer\n")
    assert judged([*words, "--classes", tmp_path / "map.yaml"], tmp_path) == {"deer": 4}
    assert "8 of class deer (known: deer); " in capsys.readouterr().err
    (tmp_path / "map.yaml").write_text("0: car\n")
    asked = ["eval-detection", *words, "--classes", tmp_path / "map.yaml", "--out", tmp_path / "o"]
    assert main([*map(str, asked)]) == 2 and "one of deer, or nothing" in capsys.readouterr().err


def test_classes_that_a_detector_lacks_are_left_out_of_a_data_set(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a set by `ivfusion dataset` only the classes with objects count."""
    (dataset / "data.yaml").write_text("names: [person, car, bicycle]\n", encoding="utf-8")
    path = dataset / "labels" / "val" / "rgb" / "x_001D.txt"
    path.write_text(path.read_text("utf-8") + "1 0.5 0.5 0.1 0.1\n", encoding="utf-8")
    people = write_dynamic_detector(tmp_path / "people.onnx", name="person")
    assert judged(["--data", dataset, "--detector", people], tmp_path) == {"person": 8}
    assert "1 boxes are left out: 1 of class car (known: person);" in capsys.readouterr().err


def test_a_threshold_is_written_into_the_model(dataset: Path, detector: Path, blend_model: Path) -> None:
    files = [path for path in dataset.rglob("*D.*") if path.parent.name in ("thermal", "rgb")]
    for number, path in ((number, path) for number in range(15) for path in files):
        (path.parent / f"copy{number:02}_{path.name}").write_bytes(path.read_bytes())
    run(dataset, detector, blend_model, "--set-threshold")
    # Nothing that it finds is wrong.
    assert read_metadata(detector)["ivfusion.threshold"] == "0.001"


def test_thresholds_of_classes_are_written_and_judged_with(
    dataset: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["eval-detection", "--data", dataset, "--out", tmp_path / "o", "--detector"]
    assert main([*map(str, words), str(detector), "--set-threshold", "person=0.3"]) == 2
    assert "since the file's metadata names no classes" in capsys.readouterr().err
    detector = write_dynamic_detector(tmp_path / "people.onnx", name="person")
    words.append(detector)
    before = detector.read_bytes()
    assert main([*map(str, words), "--set-threshold", "person=0.3"]) == 7, "class_0 alone is in the data"
    assert detector.read_bytes() == before
    (dataset / "data.yaml").write_text("path: .\nnames:\n  0: person\n", encoding="utf-8")
    for given, message in (
        ("persn=0.3", "'persn', did you mean person? expected one of"),
        ("person=1.3", "--set-threshold person is 1.3, expected a score from 0 to 1"),
        ("person=high", "--set-threshold person is 'high', expected a score"),
        ("person", "--set-threshold is 'person', expected NAME=VALUE"),
    ):
        assert main([*map(str, words), "--set-threshold", given]) == 2
        assert message in " ".join(capsys.readouterr().err.split())
        assert detector.read_bytes() == before
    assert main([*map(str, words), "--set-threshold", "person=0.875"]) == 0
    assert read_metadata(detector)["ivfusion.threshold"] == "0.875"
    assert (
        json.loads((tmp_path / "o" / "results.json").read_text())["detector"]["thresholds"]["person"]
        == 0.875
    )
    assert "own threshold is" in (tmp_path / "o" / "results.md").read_text()


def test_a_threshold_needs_images_and_a_file_of_ones_own(
    dataset: Path, detector: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = detector.read_bytes()
    words = ["eval-detection", "--data", dataset, "--out", tmp_path / "o", "--detector"]
    assert main([*map(str, words), str(detector), "--set-threshold"]) == 7
    assert "has 8 images, of all kinds together" in capsys.readouterr().err
    assert detector.read_bytes() == before
    assert main([*map(str, words), str(detector)]) == 0
    assert "Thresholds by 4 images (wrong boxes in all: 0) say little" in capsys.readouterr().out
    shipped = read_models()["yolov5n"].path
    for name in ("yolov5n", str(shipped)):
        assert main([*map(str, words), name, "--set-threshold"]) == 2
        assert f"cp {shipped} yolov5n_mine.onnx" in capsys.readouterr().err


def test_curves_have_a_panel_for_each_class_that_is_there(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="needs matplotlib")
    there, none = Precision("car", 3, 0.5, 0.2, np.ones(101)), Precision("bus", 0, None, None, np.zeros(0))
    for name, classes in {"one": (there, none, none), "two": (there, none, there)}.items():
        write_curves(tmp_path / f"{name}.png", [Entry("all", "rgb", 1, classes)])
    widths = [read_image(tmp_path / f"{name}.png").shape[1] for name in ("one", "two")]
    assert np.allclose(widths, [110 * (1.5 + 3.4), 110 * (1.5 + 6.8)], atol=1)
