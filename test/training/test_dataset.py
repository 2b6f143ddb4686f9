import zlib
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml
from training_samples import m3fd_folder

from ivfusion_ros.cli import main
from ivfusion_ros.commands import dataset as dataset_command
from ivfusion_ros.detection.classes import CLASS_NAMES, M3FD_NAMES, read_class_map
from ivfusion_ros.errors import ConfigError, DataError, ImageError, ModelError
from ivfusion_ros.files import read_yaml
from ivfusion_ros.images.files import read_image
from ivfusion_ros.images.labels import read_boxes
from ivfusion_ros.images.names import RUN_GAP
from ivfusion_ros.images.objects import Hints, boxes_of, without_nested
from ivfusion_ros.images.pairs import PairPaths, hold_out
from ivfusion_ros.sources.layouts import find_pairs
from ivfusion_ros.training.detector.dataset import Counts, write_dataset, written_data
from ivfusion_ros.training.detector.haze import with_haze
from ivfusion_ros.training.detector.kinds import Kind
from ivfusion_ros.training.detector.split import draw_scenes, hold_out_scenes, share_of
from ivfusion_ros.training.detector.teacher import Teacher
from ivfusion_ros.training.fusion.config import TrainConfig
from ivfusion_ros.types import Boxes, Detections

PERSON, CAR, BICYCLE = range(3)
LABEL = {CAR: 1, PERSON: 2, BICYCLE: 3}


def scene(*objects: tuple[int, int, int, int, int]) -> np.ndarray:
    """A map with rectangles (class id, left, top, right, bottom)."""
    labels = np.zeros((120, 160), np.uint8)
    for class_id, left, top, right, bottom in objects:
        labels[top:bottom, left:right] = LABEL[class_id]
    return labels


def hint(*boxes: tuple[int, int, int, int], score: float = 0.9) -> Hints:
    return Hints(np.array(boxes, np.float32), np.full(len(boxes), score, np.float32))


def found(labels: np.ndarray, hints: dict[int, Hints] | None = None) -> list[tuple[int, ...]]:
    boxes, class_ids = boxes_of(labels, hints or {})
    return sorted((int(c), *map(int, box)) for c, box in zip(class_ids, boxes, strict=True))


def test_each_region_is_an_object_of_its_class() -> None:
    labels = scene((PERSON, 10, 20, 20, 50), (CAR, 60, 30, 110, 60), (BICYCLE, 130, 40, 150, 60))
    labels[100:110, 10:60] = 6  # a guardrail
    assert found(labels) == [(0, 10, 20, 20, 50), (1, 60, 30, 110, 60), (2, 130, 40, 150, 60)]


def test_a_pole_does_not_make_two_cars_but_a_gap_does() -> None:
    assert found(scene((CAR, 20, 30, 50, 60), (CAR, 54, 30, 80, 60))) == [(1, 20, 30, 80, 60)]
    assert len(found(scene((CAR, 20, 30, 50, 60), (CAR, 70, 30, 100, 60)))) == 2
    # Three in a row, close to each other, are no car: they are too long.
    row = scene((CAR, 5, 30, 50, 60), (CAR, 54, 30, 99, 60), (CAR, 103, 30, 148, 60))
    assert len(found(row)) >= 2


def test_a_confident_box_joins_what_a_tree_cuts() -> None:
    labels = scene((CAR, 20, 30, 50, 60), (CAR, 70, 30, 100, 60))
    assert found(labels, {CAR: hint((18, 28, 102, 62))}) == [(1, 20, 30, 100, 60)]
    assert len(found(labels, {CAR: hint((18, 28, 102, 62), score=0.35)})) == 2


def test_people_who_touch_are_divided_by_the_teacher_alone() -> None:
    labels = scene((PERSON, 20, 20, 45, 70))
    assert len(found(labels)) == 1
    teacher = {PERSON: hint((18, 18, 32, 72), (32, 18, 47, 72))}
    assert found(labels, teacher) == [(0, 20, 20, 32, 70), (0, 32, 20, 45, 70)]


def test_what_the_teacher_leaves_over_is_an_object_too() -> None:
    labels = scene((PERSON, 20, 20, 60, 70))
    assert found(labels, {PERSON: hint((19, 19, 33, 71))}) == [(0, 20, 20, 33, 70), (0, 33, 20, 60, 70)]


def test_a_box_without_pixels_of_its_class_is_dropped() -> None:
    labels = scene((CAR, 60, 30, 110, 60))
    assert found(labels, {PERSON: hint((10, 20, 20, 50), (60, 30, 110, 60))}) == [(1, 60, 30, 110, 60)]


def test_specks_are_left_out() -> None:
    assert found(scene((PERSON, 10, 10, 13, 30), (PERSON, 40, 10, 50, 17), (CAR, 80, 80, 84, 84))) == []


def numbered(count: int, start: int = 0) -> list[PairPaths]:
    return [PairPaths(Path(f"{number:05}D.png"), Path(), None) for number in range(start, start + count)]


def test_what_fusion_training_holds_out_is_held_out_here() -> None:
    pairs = [pair for run in range(30) for pair in numbered(20, 100 * run)]
    training, held = hold_out_scenes(pairs)
    for fraction in (0.05, TrainConfig().validation_fraction):
        _, of_fusion = hold_out(pairs, fraction, TrainConfig().seed)
        assert {pair.stem for pair in of_fusion} <= {pair.stem for pair in held}
    assert 0.15 < len(held) / len(pairs) < 0.25
    frames = [[int(pair.stem[:5]) for pair in part] for part in (training, held)]
    assert min(abs(a - b) for a in frames[0] for b in frames[1]) > RUN_GAP


def test_held_out_scenes_of_msrs(shared: Path) -> None:
    training, held = hold_out_scenes(find_pairs(shared / "data" / "msrs"))
    night = sum(pair.stem.endswith("N") for pair in held)
    assert (len(training), len(held), night) == (830, 184, 80)


def test_a_share_is_evenly_spaced() -> None:
    assert share_of(range(10), 0.3) == [3, 6, 9]
    assert share_of(range(10), 1.0) == list(range(10))


@pytest.mark.parametrize("text", ["mst:0", "mst:1.5", "mst:half"])
def test_a_wrong_share_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="share"):
        Kind.parse(text)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 runs of two pairs, each with a person at the same place."""
    random = np.random.default_rng(0)
    for name in ("thermal", "rgb", "labels"):
        (tmp_path / "street" / name).mkdir(parents=True)
    for number in range(20):
        for frame in (100 * number, 100 * number + 1):
            files = [
                tmp_path / "street" / name / f"{frame:05}.png" for name in ("thermal", "rgb", "labels")
            ]
            cv2.imwrite(str(files[0]), random.integers(0, 256, (96, 128), np.uint8))
            cv2.imwrite(str(files[1]), random.integers(0, 256, (96, 128, 3), np.uint8))
            labels = np.zeros((96, 128), np.uint8)
            labels[24:72, 32:48] = 2
            cv2.imwrite(str(files[2]), labels)
    return tmp_path / "street"


def test_data_set_of_several_kinds(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    counts = write_dataset([folder], out, [Kind("rgb"), Kind("mst", 0.5)], None)
    training, held = hold_out_scenes(find_pairs(folder))
    assert (counts["train"].pairs, counts["val"].pairs) == (len(training), len(held))
    assert counts["val"].images == 2 * len(held)
    assert counts["train"].images == len(training) + len(training) // 2
    assert counts["val"].objects == dict.fromkeys(CLASS_NAMES, 0) | {"person": len(held)}
    name = f"street_{held[0].stem}"
    image = read_image(out / "images" / "val" / "rgb" / f"{name}.png")
    np.testing.assert_array_equal(image, read_image(held[0].rgb))
    text = (out / "labels" / "val" / "mst" / f"{name}.txt").read_text()
    assert [float(word) for word in text.split()] == [0, 0.3125, 0.5, 0.125, 0.5]
    boxes, class_ids = read_boxes(out / "labels" / "val" / "rgb" / f"{name}.txt", (128, 96))
    assert boxes.tolist() == [[32, 24, 48, 72]] and class_ids.tolist() == [0]
    data = yaml.safe_load((out / "data.yaml").read_text())
    assert data["names"] == dict(enumerate(CLASS_NAMES)) and Path(data["path"]) == out
    assert (out / "preview.png").exists() and not list(out.rglob("*.partial"))


def one_recording(folder: Path, count: int, faces: str) -> Path:
    """Frames of the RGB camera alone, named by their numbers, each with a person."""
    for name in (faces, "boxes"):
        (folder / name).mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(folder / faces / f"{number:05}.png"), np.full((64, 64, 3), number, np.uint8))
        (folder / "boxes" / f"{number:05}.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    return folder


def test_each_rule_says_how_many_scenes_it_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    folder = one_recording(tmp_path / "walk", 200, "rgb")
    counts = write_dataset([folder], tmp_path / "set", [Kind("rgb", 0.5)], None)
    held = {int(path.stem[-5:]) for path in (tmp_path / "set" / "images" / "val" / "rgb").iterdir()}
    near = {n for n in range(200) if n not in held and any(abs(n - other) <= RUN_GAP for other in held)}
    assert len(held) == 40 and len(near) in (RUN_GAP, 2 * RUN_GAP)
    away = 200 - len(held) - len(near)
    shown = counts["train"].pairs
    assert shown == away // 2
    assert (
        f"walk: 200 scenes, {shown} to train on, 40 held out; left out: {len(near)} within {RUN_GAP} frame "
        f"numbers of a held-out one, {away - shown} not in the share of any kind of images"
    ) in caplog.text


def test_what_no_asked_camera_saw_is_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folders = one_recording(tmp_path / "a", 8, "rgb"), one_recording(tmp_path / "b", 8, "thermal")
    write_dataset(folders, tmp_path / "set", [Kind("rgb")], None)
    assert "b: 8 scenes, 0 to train on, 0 held out; left out: 8 not seen by the cameras" in caplog.text
    assert "nothing of it is held out" in caplog.text


def test_folders_of_one_name_are_refused(tmp_path: Path) -> None:
    folders = [one_recording(tmp_path / name / "walk", 2, "rgb") for name in ("a", "b")]
    with pytest.raises(DataError, match="would both be walk_00000"):
        write_dataset(folders, tmp_path / "set", [Kind("rgb")], None)


def test_a_second_run_writes_what_is_missing_only(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    write_dataset([folder], out, [Kind("rgb")], None)
    kept, *_, lost = sorted((out / "images" / "val" / "rgb").iterdir())
    before, content = kept.stat().st_mtime_ns, lost.read_bytes()
    lost.unlink()
    write_dataset([folder], out, [Kind("rgb")], None)
    assert kept.stat().st_mtime_ns == before and lost.read_bytes() == content


def test_pairs_without_labels_need_a_teacher(folder: Path, tmp_path: Path, box_model: Path) -> None:
    for file in (folder / "labels").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"scenes, the first is .*street/rgb/00000.png"):
        write_dataset([folder], tmp_path / "set", [Kind("thermal")], None)
    counts = write_dataset([folder], tmp_path / "set", [Kind("thermal")], Teacher(box_model))
    # This teacher finds the same in whatever it looks at, and so another person in the mirror.
    assert counts["val"].objects["person"] == 2 * counts["val"].pairs


def test_command(folder: Path, tmp_path: Path, box_model: Path) -> None:
    words = ["dataset", "--data", str(folder), "--out", str(tmp_path / "set"), "--images", "thermal"]
    assert main([*words, "--teacher", str(box_model)]) == 0
    assert main([*words, "rgb", "rgb"]) == ConfigError.exit_code
    assert sorted(path.name for path in (tmp_path / "set").iterdir()) == [
        "data.yaml", "images", "labels", "made_of.yaml", "preview.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("counts", "told"), [((1, 1), "1 scene, 1 image;"), ((0, 2), "0 scenes, 2 images;")]
)
def test_one_scene_is_not_told_as_several(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    counts: tuple[int, int],
    told: str,
) -> None:
    made = {"val": Counts(*counts, {"person": 1})}
    monkeypatch.setattr(dataset_command, "write_dataset", lambda *_, **__: made)
    words = ["dataset", "--data", str(tmp_path), "--out", str(tmp_path / "set"), "--images", "thermal"]
    assert main(words) == 0
    assert f"val: {told} objects: 1 person" in capsys.readouterr().err


def test_half_a_person_is_no_second_one() -> None:
    boxes = np.array([[10, 10, 30, 60], [12, 10, 28, 40], [25, 10, 60, 60], [10, 10, 30, 60]], np.float32)
    class_ids = np.array([PERSON, PERSON, PERSON, CAR])
    kept, ids = without_nested(boxes, class_ids)
    np.testing.assert_array_equal(kept, boxes[[0, 2, 3]])
    assert ids.tolist() == [PERSON, PERSON, CAR]
    assert len(without_nested(boxes[:0], class_ids[:0])[0]) == 0


@pytest.fixture
def drone(tmp_path: Path) -> Path:
    """Thermal images only, with boxes of COCO's classes in some of them."""
    folder = tmp_path / "drone"
    (folder / "thermal").mkdir(parents=True)
    (folder / "boxes").mkdir()
    for number in range(0, 2000, 100):
        cv2.imwrite(str(folder / "thermal" / f"{number:05}.png"), np.full((96, 128), 90, np.uint8))
        if number:
            text = "2 0.5 0.5 0.25 0.25\n16 0.1 0.1 0.1 0.1\n"
            (folder / "boxes" / f"{number:05}.txt").write_text(text)
    return folder


def test_boxes_of_one_camera(drone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    out = tmp_path / "set"
    counts = write_dataset([drone], out, [Kind("thermal"), Kind("rgb"), Kind("mst")], None)
    assert {path.name for path in (out / "images" / "train").iterdir()} == {"thermal"}
    assert counts["train"].pairs + counts["val"].pairs == 20
    assert counts["train"].objects["car"] + counts["val"].objects["car"] == 19
    assert "19 boxes are left out" in caplog.text
    assert "drone: 20 scenes" in caplog.text
    # Where no pair is fused, no network is loaded.
    assert "runs in" not in caplog.text
    empty = next(out.glob("labels/*/thermal/drone_00000.txt"))
    assert empty.read_text() == ""


def test_a_class_map_says_what_numbers_mean(drone: Path, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("2: person\n16: bicycle\n")
    class_map = read_class_map(tmp_path / "classes.yaml")
    counts = write_dataset([drone], tmp_path / "set", [Kind("thermal")], None, class_map=class_map)
    both = {name: counts["train"].objects[name] + counts["val"].objects[name] for name in CLASS_NAMES}
    assert both == dict.fromkeys(CLASS_NAMES, 0) | {"person": 19, "bicycle": 19}


@pytest.mark.parametrize("text", ["2: dog\n", "1.5: person\n", "2: [person]\n", ""])
def test_a_wrong_class_map_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"classes.yaml .*expected .* one of person, car"):
        read_class_map(tmp_path / "classes.yaml")


def test_what_a_class_map_leaves_out_and_does_not_need_is_told(
    drone: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    (tmp_path / "classes.yaml").write_text("2: person\n16:\n99: car\nnothing: truck\n")
    class_map = read_class_map(tmp_path / "classes.yaml")
    for _ in range(2):
        write_dataset([drone], tmp_path / "set", [Kind("thermal")], None, class_map=class_map)
    told = [record.getMessage() for record in caplog.records if record.name.endswith("given")]
    # Once: the second time there was nothing left to read.
    assert told == [
        "19 boxes are left out: 19 of class 16 on purpose",
        f"{tmp_path / 'classes.yaml'} names 99, nothing, which no box of these 20 scenes is",
    ]


class Scripted:
    """A detector that finds what is written for each look."""

    class_names = ("person", "truck")

    def __init__(self, *looks: list[tuple[float, int, tuple[float, float, float, float]]]) -> None:
        self.looks = iter(looks)

    def check_alone(self) -> None:
        """One image is enough."""

    def __call__(self, image: np.ndarray) -> Detections:
        found = next(self.looks)
        boxes = np.array([box for *_, box in found], np.float32).reshape(-1, 4)
        scores = np.array([score for score, *_ in found], np.float32)
        ids = np.array([class_id for _, class_id, _ in found], np.int64)
        return Detections(boxes, scores, ids, self.class_names)


def test_the_teacher_counts_what_views_agree_on(box_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def agreed(*looks: list) -> tuple[Boxes, np.ndarray]:
        monkeypatch.setattr("ivfusion_ros.training.detector.teacher.Detector", lambda *_: Scripted(*looks))
        return Teacher(box_model).objects([image, image])

    image = np.zeros((50, 100, 3), np.uint8)
    left, right = (10.0, 10.0, 20.0, 40.0), (80.0, 10.0, 90.0, 40.0)
    # Sure in both views of one image; in one view alone; fair in both images; a truck where a person is.
    boxes, class_ids = agreed(
        [(0.9, 0, left), (0.5, 1, (40, 10, 60, 40))], [(0.8, 0, right), (0.2, 1, right)],
        [(0.2, 1, left)], [],
    )  # fmt: skip
    np.testing.assert_allclose(boxes, [left])
    assert class_ids.tolist() == [0]
    boxes, class_ids = agreed(*[[(0.35, 1, left)], [(0.35, 1, right)]] * 2)
    np.testing.assert_allclose(boxes, [left])
    assert class_ids.tolist() == [5]


def test_a_teacher_looks_at_one_image(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    from detector_samples import write_dynamic_detector

    two = write_dynamic_detector(tmp_path / "two.onnx", "person", thermal=True)
    with pytest.raises(ModelError, match="takes the registered thermal image"):
        Teacher(two)


def test_a_teacher_adds_what_a_map_leaves_out_to_what_is_trained_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box_model: Path
) -> None:
    teacher = Teacher(box_model)
    whole = np.array([[0, 0, 128, 96]], np.float32)
    corner = np.array([[1, 1, 4, 6]], np.float32)
    found = np.concatenate([whole, corner])
    monkeypatch.setattr(teacher, "objects", lambda _: (found, np.array([PERSON, CAR])))
    monkeypatch.setattr(Teacher, "__call__", lambda *_: {})
    plain = write_dataset([folder], tmp_path / "plain", [Kind("rgb")], None)
    counts = write_dataset([folder], tmp_path / "set", [Kind("rgb")], teacher)
    added = {
        name: counts["train"].objects[name] - number for name, number in plain["train"].objects.items()
    }
    # What covers a labelled object may be that one.
    assert added == dict.fromkeys(CLASS_NAMES, 0) | {"car": counts["train"].pairs}
    assert counts["val"].objects == plain["val"].objects


def test_a_teacher_outlines_what_a_map_shows_in_what_is_trained_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, box_model: Path
) -> None:
    teacher = Teacher(box_model)
    monkeypatch.setattr(Teacher, "__call__", lambda *_: {})

    def first(found: list[list[int]], classes: list[int], part: str) -> list[int]:
        """The first object's box in the first scene of a part, where the teacher finds these."""
        result = np.array(found, np.float32), np.array(classes)
        monkeypatch.setattr(teacher, "objects", lambda _: result)
        out = tmp_path / f"{found}{part}"
        write_dataset([folder], out, [Kind("rgb")], teacher)
        label = min((out / "labels" / part / "rgb").iterdir())
        boxes, class_ids = read_boxes(label, (128, 96))
        assert class_ids[0] == PERSON
        return boxes[0].round().astype(int).tolist()

    mapped, longer, wider = [32, 24, 48, 72], [30, 22, 50, 78], [30, 22, 60, 72]
    assert first([wider, longer, mapped], [PERSON, PERSON, CAR], "train") == longer
    assert first([wider, longer, mapped], [PERSON, PERSON, CAR], "val") == mapped
    # Too far off to be the same one.
    assert first([[45, 24, 61, 72]], [PERSON], "train") == mapped


def test_smoke_hides_what_rgb_shows_and_not_what_thermal_shows(folder: Path, tmp_path: Path) -> None:
    kinds = [Kind.parse(text) for text in ("rgb", "rgb+haze", "mst", "mst+haze:0.5")]
    assert kinds[3] == Kind("mst", 0.5, haze=True)
    write_dataset([folder], tmp_path / "set", kinds, None)
    folders = [tmp_path / "set" / "images" / "val" / kind.name for kind in kinds]
    names = [sorted(path.name for path in kind.iterdir()) for kind in folders]
    assert names == [names[0]] * 4
    rgb, in_smoke, clear, hazy = (cv2.imread(str(kind / names[0][0])).astype(int) for kind in folders)
    assert 2 < np.abs(clear - hazy).mean() < np.abs(rgb - in_smoke).mean()
    # One and the same smoke, so that a scene's kinds agree.
    seed = zlib.crc32(names[0][0].removeprefix(f"{folder.name}_").removesuffix(".png").encode())
    expected = with_haze(rgb.astype(np.uint8)[..., ::-1], np.random.default_rng(seed))
    np.testing.assert_array_equal(in_smoke[..., ::-1], expected)


def test_smoke_in_thermal_images_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"thermal images do not show smoke; expected rgb\+haze"):
        Kind.parse("thermal+haze")


def test_smoke_takes_contrast_and_adds_light() -> None:
    rng = np.random.default_rng(3)
    image = rng.integers(0, 120, (96, 128, 3), np.uint8)
    hazy = [with_haze(image, np.random.default_rng(seed)) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(hazy[0], hazy[1])
    assert (hazy[1] != hazy[2]).any()
    for seen in hazy:
        assert seen.std() < image.std() and seen.mean() > image.mean()
    # Far away, at the top, it is denser.
    assert hazy[0][:24].std() < hazy[0][-24:].std()


def test_m3fd_as_published_has_six_classes_in_three_parts(tmp_path: Path) -> None:
    folder, out = m3fd_folder(tmp_path / "m3fd"), tmp_path / "set"
    kinds = [Kind("thermal"), Kind("rgb")]
    counts = write_dataset([folder], out, kinds, None, class_names=M3FD_NAMES, drawn=(8, 1, 1))
    assert [(part, count.pairs, count.images) for part, count in counts.items()] == [
        ("train", 10, 20),
        ("val", 1, 2),
        ("test", 1, 2),
    ]
    assert counts["train"].objects == dict.fromkeys(M3FD_NAMES, 10)
    (text,) = (path.read_text() for path in (out / "labels" / "test" / "rgb").iterdir())
    rows = [[float(word) for word in line.split()] for line in text.splitlines()]
    # Boxes 20 wide from the class's left, 20 to 70 high, of 128x96; the dog is left out.
    expected = [[k, (k + 10) / 128, 45 / 96, 20 / 128, 50 / 96] for k in range(6)]
    np.testing.assert_allclose(rows, expected, atol=1e-5)
    content = read_yaml(out / "data.yaml")
    assert content["test"] == "images/test" and list(content["names"].values()) == list(M3FD_NAMES)
    stems = [
        {path.stem for path in (out / "images" / part / "rgb").iterdir()}
        for part in ("train", "val", "test")
    ]
    assert sum(map(len, stems)) == len(set.union(*stems)) == 12


def test_a_draw_is_always_the_same_and_too_few_scenes_are_told() -> None:
    scenes = [SimpleNamespace(stem=f"{number:03d}") for number in range(4200)]
    parts = draw_scenes(scenes, (8, 1, 1))
    assert [len(parts[name]) for name in ("train", "val", "test")] == [3360, 420, 420]
    assert parts == draw_scenes(scenes, (8, 1, 1)) and parts["test"] != scenes[-420:]
    with pytest.raises(DataError, match="3 scenes are too few to draw 8:1:1: test gets none"):
        draw_scenes(scenes[:3], (8, 1, 1))


def test_a_damaged_annotation_is_named(tmp_path: Path) -> None:
    folder = m3fd_folder(tmp_path / "m3fd")
    path = next((folder / "Annotation").iterdir())
    path.write_text("<annotation><object><name>Car</name></object></annotation>")
    with pytest.raises(DataError, match=rf"{path.name} has no boxes of Pascal VOC's form"):
        write_dataset(
            [folder], tmp_path / "set", [Kind("rgb")], None, class_names=M3FD_NAMES, drawn=(8, 1, 1)
        )


def yolo_set(folder: Path, parts: dict[str, int], text: str = "0 0.5 0.5 0.25 0.5\n") -> Path:
    """Thermal images of YOLO's form with a person each, by part."""
    for part, count in parts.items():
        for number in range(count):
            image = folder / "images" / part / f"{part}{number:03d}.png"
            image.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(image), np.full((64, 64), 90, np.uint8))
            labels = folder / "labels" / part / f"{part}{number:03d}.txt"
            labels.parent.mkdir(parents=True, exist_ok=True)
            labels.write_text(text)
    return folder


def names_in(out: Path, part: str) -> list[str]:
    return sorted(path.stem for path in (out / "images" / part / "thermal").iterdir())


def test_what_a_set_holds_out_itself_is_held_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    folder = yolo_set(tmp_path / "drones", {"train": 4, "val": 2, "test": 1})
    counts = write_dataset([folder], tmp_path / "set", [Kind("thermal")], None)
    assert (counts["train"].pairs, counts["val"].pairs) == (4, 3)
    assert names_in(tmp_path / "set", "train") == [f"drones_train{n:03d}" for n in range(4)]
    assert names_in(tmp_path / "set", "val") == ["drones_test000", "drones_val000", "drones_val001"]
    assert "7 scenes, 4 to train on, 3 held out, its own test and val; left out: none" in caplog.text


def test_a_camera_that_no_scene_has_is_told(tmp_path: Path) -> None:
    folder = yolo_set(tmp_path / "drones", {"train": 3})
    for kind in ("rgb", "mst"):
        told = f"--images is {kind}, but 3 scenes have .* ask for --images thermal"
        with pytest.raises(DataError, match=told):
            write_dataset([folder], tmp_path / "set", [Kind(kind)], None)
    with pytest.raises(DataError, match=r"ask for --images rgb; --camera says whose"):
        write_dataset([folder], tmp_path / "set", [Kind("thermal")], None, camera="rgb")
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("text", ["16 0.5 0.5 0.25 0.5\n", ""])
def test_a_set_without_an_object_of_a_known_class_is_refused(text: str, tmp_path: Path) -> None:
    folder = yolo_set(tmp_path / "drones", {"train": 3}, text)
    found = "3 16" if text else "none"
    with pytest.raises(DataError, match=f"no box in 3 scenes is of person, .*there are: {found}"):
        write_dataset([folder], tmp_path / "set", [Kind("thermal")], None)
    assert not (tmp_path / "set").exists()


def test_a_file_of_boxes_that_cannot_be_read_leaves_nothing(tmp_path: Path) -> None:
    folder = yolo_set(tmp_path / "drones", {"train": 3})
    (folder / "labels" / "train" / "train002.txt").write_text("0 0.5 0.5 0.25\n")
    with pytest.raises(DataError, match=r"train002.txt, line 1"):
        write_dataset([folder], tmp_path / "set", [Kind("thermal")], None)
    assert not (tmp_path / "set").exists()


def test_nothing_of_an_image_that_cannot_be_read_is_trained_on(tmp_path: Path) -> None:
    folder, out = yolo_set(tmp_path / "drones", {"train": 3, "val": 1}), tmp_path / "set"
    broken = folder / "images" / "train" / "train001.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    with pytest.raises(ImageError, match="train001"):
        write_dataset([folder], out, [Kind("thermal")], None, camera="thermal")
    assert not (out / "data.yaml").exists()
    # The same data set goes on, also without that image; what is no longer of it goes.
    first = out / "images" / "train" / "thermal" / "drones_train000.png"
    written = first.stat().st_mtime_ns
    broken.unlink()
    (first.parent / "drones_train001.png").write_bytes(whole)
    counts = write_dataset([folder], out, [Kind("thermal")], None, camera="thermal")
    assert first.stat().st_mtime_ns == written
    assert names_in(out, "train") == ["drones_train000", "drones_train002"] and counts["train"].pairs == 2


def test_two_data_sets_do_not_mix(tmp_path: Path) -> None:
    one, other = (yolo_set(tmp_path / name, {"train": 2, "val": 1}) for name in ("one", "other"))
    out = tmp_path / "set"
    write_dataset([one], out, [Kind("thermal")], None)
    before = sorted(out.rglob("*"))
    for folders, camera in (([other], None), ([one, other], None), ([one], "thermal")):
        with pytest.raises(ConfigError, match="holds a data set of something else"):
            write_dataset(folders, out, [Kind("thermal")], None, camera=camera)
    assert sorted(out.rglob("*")) == before and (out / "data.yaml").exists()
    (out / "made_of.yaml").unlink()
    with pytest.raises(ConfigError, match=r"no made_of.yaml that says of what"):
        write_dataset([one], out, [Kind("thermal")], None)


def test_training_needs_something_held_out_before_anything_is_written(tmp_path: Path) -> None:
    folder = yolo_set(tmp_path / "drones", {"": 3})
    with pytest.raises(DataError, match="leave none for val"):
        written_data(folder, tmp_path / "set")
    assert not (tmp_path / "set").exists()
