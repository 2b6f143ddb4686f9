"""Whether people are still seen: by hand, by files of boxes and by maps, by heads, by day and by night."""

from pathlib import Path

import numpy as np
import pytest
from test_eval import evaluate, make_data, results  # noqa: F401

from ivfusion_ros.errors import DataError
from ivfusion_ros.evaluation.fusion.people import people_scores, read_people
from ivfusion_ros.images.files import write_image

BOXES = np.array([[20, 20, 32, 60], [60, 20, 72, 60], [100, 20, 112, 60]], np.float32)
SIZE = (80, 140)
MAP_PERSON, MAP_CAR = 2, 1


def drawn(*levels: int, background: int = 100) -> np.ndarray:
    """A grey image with a person of each level in BOXES."""
    image = np.full(SIZE, background, np.uint8)
    for level, (left, top, right, bottom) in zip(levels, BOXES.astype(int), strict=False):
        image[top:bottom, left:right] = level
    return image


def write_boxes(path: Path, boxes: np.ndarray = BOXES, class_id: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sizes = np.array([SIZE[1], SIZE[0]] * 2)
    rows = np.concatenate([(boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]], 1) / sizes
    path.write_text("".join(f"{class_id} {' '.join(map(str, row))}\n" for row in rows))
    return path


def write_map(path: Path, boxes: np.ndarray = BOXES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = np.zeros(SIZE, np.uint8)
    labels[2:16, 80:110] = MAP_CAR
    for left, top, right, bottom in boxes.astype(int):
        labels[top:bottom, left:right] = MAP_PERSON
    write_image(path, labels)
    return path


def test_shares_by_hand(tmp_path) -> None:
    """Contrasts 100, 20 and 8 in the better source; 50, 18 and 8 are left of them."""
    thermal, visible = drawn(200, 100, 100), drawn(100, 120, 92)
    fused = drawn(150, 82, 108)
    scores = people_scores((thermal, visible, fused), write_boxes(tmp_path / "a.txt"))
    assert scores == pytest.approx({"people": 3, "people_faded": 1 / 3, "people_faint": 1 / 3})
    # Whom no source shows nobody can lose.
    scores = people_scores((drawn(200), drawn(100), drawn(190)), tmp_path / "a.txt")
    assert scores == pytest.approx({"people": 1, "people_faded": 0, "people_faint": 0})
    empty = people_scores((thermal, visible, fused), None)
    assert np.isnan(list(empty.values())).all() and set(empty) == set(scores)


def test_boxes_and_maps_say_the_same(tmp_path) -> None:
    boxes = read_people(write_boxes(tmp_path / "a.txt"), SIZE)
    np.testing.assert_allclose(boxes, BOXES, atol=1e-4)
    np.testing.assert_array_equal(read_people(write_map(tmp_path / "a.png"), SIZE), BOXES)
    assert read_people(write_boxes(tmp_path / "cars.txt", class_id=2), SIZE).shape == (0, 4)
    with pytest.raises(DataError, match="expected class ids as uint8 of the images' shape"):
        read_people(tmp_path / "a.png", (80, 80))
    (tmp_path / "bad.txt").write_text("person here\n")
    with pytest.raises(DataError, match=r"bad\.txt, line 1, 'person here', .*expected YOLO's class"):
        read_people(tmp_path / "bad.txt", SIZE)


def test_heads_count_and_hours_have_rows_of_their_own(evaluate, tmp_path) -> None:  # noqa: F811
    """By day one of three people is lost, by night one of one; a pair without a file has no columns."""
    data = make_data(tmp_path / "pairs", ("1D", "2N", "3N"), SIZE)
    fused = tmp_path / "fused"
    fused.mkdir()
    for stem, people, shown in (
        ("1D", (200, 200, 200), (200, 200, 100)),
        ("2N", (200,), (150,)),
        ("3N", (), ()),
    ):
        write_image(data / "thermal" / f"{stem}.png", drawn(*people))
        write_image(data / "rgb" / f"{stem}.png", np.repeat(drawn()[..., None], 3, 2))
        write_image(fused / f"{stem}.png", drawn(*shown))
    write_map(data / "labels" / "1D.png")
    # A file of boxes goes before a map.
    write_boxes(data / "boxes" / "2N.txt", BOXES[:1])
    write_map(data / "labels" / "2N.png")
    words = ("--data", data, "--fused", f"mine={fused}", "--metrics", "SD", "people")
    assert evaluate(*words)[0] == 0
    report = results(tmp_path)
    by_set = {row["data"]: row for row in report["means"]}
    assert list(by_set) == ["pairs", "pairs, day", "pairs, night"]
    found = [
        (row["images"], row["people"], row["people_faded"], row["people_faint"]) for row in by_set.values()
    ]
    assert found == [
        (3, 4, 0.5, 0.25),
        (1, 3, pytest.approx(1 / 3), pytest.approx(1 / 3)),
        (2, 1, 1.0, 0.0),
    ]
    assert report["metrics"] == ["SD", "people_faded", "people_faint"]
    assert set(report["lower_is_better"]) == {"people_faded", "people_faint"}
    assert "people_faded" not in next(row for row in report["images"] if row["pair"] == "3N")
    page = (tmp_path / "out" / "results.md").read_text()
    assert "| network | images | people | SD ↑ | people_faded ↓ | people_faint ↓ |" in page.replace(
        "---", ""
    )
    # Again, from the journal: the same; another file of boxes: judged again.
    assert evaluate(*words)[0] == 0 and results(tmp_path)["means"] == report["means"]
    assert len((tmp_path / "out" / "scores.jsonl").read_text().splitlines()) == 3
    write_boxes(data / "boxes" / "2N.txt", BOXES[2:])
    evaluate(*words)
    assert results(tmp_path)["means"][0]["people"] == 3


def test_people_alone_of_data_without_any(evaluate, tmp_path) -> None:  # noqa: F811
    data = make_data(tmp_path / "pairs", ("a",))
    status, told = evaluate("--data", data, "--fused", f"x={data / 'thermal'}", "--metrics", "people")
    assert status and "nothing that people could be computed of" in told
