"""`ivfusion eval`: figures equal to the metrics themselves, whole results, and runs that go on."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros import metrics
from ivfusion_ros.cli import main
from ivfusion_ros.evaluation.fusion import judge as judging
from ivfusion_ros.evaluation.fusion.judge import Result
from ivfusion_ros.evaluation.fusion.pairs import read_pairs
from ivfusion_ros.evaluation.fusion.scores import luminance
from ivfusion_ros.evaluation.fusion.sheet import choose
from ivfusion_ros.evaluation.fusion.tables import means, to_csv, to_markdown
from ivfusion_ros.images.files import read_image, write_image

SIZE = (48, 64)
TABLES = {"images.csv", "images.md", "means.csv", "results.md", "results.json", "scores.jsonl"}
PICTURES = {"plot.png", "sheet.png"}


def make_data(folder: Path, stems=("a", "b", "c"), size=SIZE) -> Path:
    for number, stem in enumerate(stems):
        random = np.random.default_rng(number)
        for kind, shape in (("thermal", size), ("rgb", (*size, 3))):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            image = cv2.GaussianBlur(random.integers(0, 256, shape, np.uint8), (0, 0), 1.5)
            write_image(folder / kind / f"{stem}.png", image)
    return folder


def blend(data: Path, stem: str) -> np.ndarray:
    """What blend_model gives."""
    thermal, rgb = (read_image(data / kind / f"{stem}.png").astype(int) for kind in ("thermal", "rgb"))
    return ((rgb + thermal[..., None]) // 2).astype(np.uint8)


def grey(image: np.ndarray) -> np.ndarray:
    return np.rint(0.299 * image[..., 0] + 0.587 * image[..., 1] + 0.114 * image[..., 2])


def save_blends(data: Path, folder: Path, stems=("a", "b", "c")) -> Path:
    folder.mkdir(parents=True)
    for stem in stems:
        write_image(folder / f"{stem}.png", blend(data, stem))
    return folder


@pytest.fixture
def evaluate(tmp_path, capsys):
    """Run `ivfusion eval` into tmp_path/out in this process: (status, standard error)."""

    def call(*words: object, jobs: int = 1) -> tuple[int, str]:
        fixed = [
            "--out",
            tmp_path / "out",
            "--jobs",
            jobs,
            "--backend",
            "onnxruntime",
            "--threads",
            1,
            "--force",
        ]
        status = main([str(word) for word in ("eval", *fixed, *words)])
        return status, capsys.readouterr().err

    return call


def results(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "out" / "results.json").read_text())


def test_network_and_folder_agree_with_the_metrics(evaluate, blend_model, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    data = make_data(tmp_path / "pairs")
    fused = save_blends(data, tmp_path / "fused")
    status, _ = evaluate("--data", data, "--model", blend_model, "--fused", f"other={fused}")
    assert status == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == TABLES | PICTURES
    report = results(tmp_path)
    assert [(row["pair"], row["network"]) for row in report["images"]] == [
        (stem, network) for stem in "abc" for network in ("blend", "other")
    ]
    for row in report["images"]:
        visible = read_image(data / "rgb" / f"{row['pair']}.png")
        expected = metrics.evaluate(
            read_image(data / "thermal" / f"{row['pair']}.png"),
            grey(visible),
            grey(blend(data, row["pair"])),
        )
        assert {name: row[name] for name in expected} == pytest.approx(expected)
    for row in report["means"]:
        own = [item["VIF"] for item in report["images"] if item["network"] == row["network"]]
        assert row["VIF"] == pytest.approx(sum(own) / 3) and row["images"] == 3
    with (tmp_path / "out" / "images.csv").open() as file:
        table = list(csv.DictReader(file))
    assert float(table[3]["Qabf"]) == pytest.approx(report["images"][3]["Qabf"], rel=1e-5)


def test_pictures_show_what_was_judged(evaluate, blend_model, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    data = make_data(tmp_path / "pairs")
    evaluate("--data", data, "--model", blend_model, "--metrics", "EN", "--rows", 2)
    sheet = read_image(tmp_path / "out" / "sheet.png")
    cell = sheet.shape[1] // 3
    assert cell * SIZE[0] // SIZE[1] * 2 < sheet.shape[0] < cell * SIZE[0] // SIZE[1] * 2 + 100
    entropies = {stem: metrics.entropy(grey(blend(data, stem))) for stem in "abc"}
    best = max(entropies, key=entropies.__getitem__)
    bottom = sheet.shape[0] // 2
    shown = cv2.resize(sheet[bottom - cell * SIZE[0] // SIZE[1] : bottom, -cell:], SIZE[::-1])
    errors = {stem: np.abs(shown.astype(int) - blend(data, stem)).mean() for stem in "abc"}
    assert min(errors, key=errors.__getitem__) == best
    assert read_image(tmp_path / "out" / "plot.png").std() > 0


def test_workers_give_the_same_figures(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "pairs")
    words = ("--data", data, "--model", blend_model, "--metrics", "EN", "VIF")
    evaluate(*words)
    alone = results(tmp_path)["images"]
    (tmp_path / "out" / "scores.jsonl").unlink()
    assert evaluate(*words, jobs=2)[0] == 0
    assert results(tmp_path)["images"] == alone


def test_a_run_goes_on_where_it_stopped(evaluate, blend_model, tmp_path, monkeypatch) -> None:
    data = make_data(tmp_path / "pairs", "abcdef")
    words = ("--data", data, "--model", blend_model, "--metrics", "EN", "SD")
    done: list[str] = []
    score = judging.score

    def counted(shot, names, before):
        if len(done) == 4:
            raise KeyboardInterrupt
        done.append(shot.thermal.stem)
        return score(shot, names, before)

    monkeypatch.setattr(judging, "score", counted)
    assert evaluate(*words)[0] == 130
    journal = tmp_path / "out" / "scores.jsonl"
    assert len(journal.read_text().splitlines()) == 4
    assert not (tmp_path / "out" / "results.json").exists()
    # The last line is torn, as after a power cut.
    journal.write_bytes(journal.read_bytes()[:-7])
    again: list[str] = []
    monkeypatch.setattr(
        judging, "score", lambda shot, *rest: again.append(shot.thermal.stem) or score(shot, *rest)
    )
    assert evaluate(*words)[0] == 0
    assert again == list("def")
    resumed = results(tmp_path)["images"]
    again.clear()
    assert evaluate(*words)[0] == 0 and evaluate(*words[:-1])[0] == 0
    assert again == []
    journal.unlink()
    evaluate(*words)
    assert results(tmp_path)["images"] == resumed


def test_what_changed_is_scored_again(evaluate, blend_model, tmp_path, monkeypatch) -> None:
    data = make_data(tmp_path / "pairs")
    fused = save_blends(data, tmp_path / "fused")
    words = ("--data", data, "--fused", f"other={fused}", "--metrics", "EN")
    evaluate(*words)
    write_image(fused / "b.png", np.zeros((*SIZE, 3), np.uint8))
    again: list[str] = []
    score = judging.score
    monkeypatch.setattr(
        judging, "score", lambda shot, *rest: again.append(shot.thermal.stem) or score(shot, *rest)
    )
    evaluate(*words)
    assert again == ["b"]
    assert [row["EN"] == 0 for row in results(tmp_path)["images"]] == [False, True, False]
    evaluate(*words, "SD")
    assert again == list("babc")


def test_what_cannot_be_scored_is_skipped_and_counted(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "pairs", "abcde")
    fused = save_blends(data, tmp_path / "fused", "abce")
    (data / "rgb" / "a.png").write_bytes(b"no image")
    write_image(data / "thermal" / "b.png", np.zeros((20, 20), np.uint8))
    write_image(fused / "e.png", np.zeros((90, 90), np.uint8))
    status, errors = evaluate("--data", data, "--model", blend_model, "--fused", f"other={fused}")
    assert status == 7
    assert "scored 4 images, skipped 6" in errors and "6 of 10 images were skipped" in errors
    skipped = {(row["pair"], row["network"]): row["reason"] for row in results(tmp_path)["skipped"]}
    assert set(skipped) == {(stem, name) for stem in "ab" for name in ("blend", "other")} | {
        ("d", "other"),
        ("e", "other"),
    }
    assert "cannot be decoded" in skipped["a", "other"]
    assert "64x48" in skipped["b", "other"] and "90x90" in skipped["e", "other"]
    assert "no image named d" in skipped["d", "other"]
    assert "compare with care" in (tmp_path / "out" / "results.md").read_text()


def test_only_when_nothing_could_be_scored_it_fails(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "pairs", size=(20, 20))
    status, errors = evaluate("--data", data, "--model", blend_model)
    assert status == 7 and "none of the 3 images could be scored" in errors and "too small" in errors
    assert not (tmp_path / "out" / "results.json").exists()


def test_video_adds_flicker(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "clip", ("f8", "f9", "f10"))
    fused = save_blends(data, tmp_path / "fused", ("f8", "f9", "f10"))
    write_image(fused / "f10.png", 255 - blend(data, "f10"))
    words = ("--data", data, "--model", blend_model, "--fused", f"inverted={fused}", "--metrics", "EN")
    assert evaluate(*words, "--sequence")[0] == 0
    rows = {(row["pair"], row["network"]): row for row in results(tmp_path)["images"]}
    assert [pair for pair, _ in rows] == ["f8", "f8", "f9", "f9", "f10", "f10"]
    assert "Flicker" not in rows["f8", "blend"]
    frames = [
        (
            read_image(data / "thermal" / f"{stem}.png").astype(float),
            grey(read_image(data / "rgb" / f"{stem}.png")),
        )
        for stem in ("f9", "f10")
    ]
    allowed = np.maximum(*(np.abs(after - before) for before, after in zip(*frames, strict=True)))
    change = np.abs(grey(255 - blend(data, "f10")) - grey(blend(data, "f9")))
    assert rows["f10", "inverted"]["Flicker"] == pytest.approx(np.maximum(change - allowed, 0).mean())
    assert rows["f9", "blend"]["Flicker"] < 0.5 < rows["f10", "inverted"]["Flicker"]
    # Without --sequence the frames are pictures like others.
    assert evaluate(*words)[0] == 0
    assert all("Flicker" not in row for row in results(tmp_path)["images"])


def test_frames_of_several_sizes_have_no_flicker_and_that_is_told(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "clip", ("1", "2", "3", "7"))
    for camera in ("thermal", "rgb"):
        image = read_image(data / camera / "2.png")
        write_image(data / camera / "2.png", np.ascontiguousarray(image[:-8]))
    words = ("--data", data, "--model", blend_model, "--metrics", "EN")
    status, errors = evaluate(*words, "--sequence")
    assert status == 0 and "2 of 3 images have no flicker: the frame before has another size" in errors
    flickers = ["Flicker" in row for row in results(tmp_path)["images"]]
    assert flickers == [False, False, False, True]
    assert "flicker" not in evaluate(*words)[1]


def test_folders_of_other_names(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "brains")
    (data / "thermal").rename(data / "MRI")
    (data / "rgb").rename(data / "PET")
    write_image(data / "MRI" / "b.png", np.zeros((20, 20), np.uint8))
    fused = save_blends(make_data(tmp_path / "other"), tmp_path / "fused")
    words = ("--data", data, "--fused", f"m={fused}", "--metrics", "EN")
    assert evaluate(*words)[0] == 7
    assert evaluate(*words, "--folders", "MRI", "PET")[0] == 7
    assert [row["pair"] for row in results(tmp_path)["images"]] == ["a", "c"]
    assert "MRI is 20x20, PET 64x48" in results(tmp_path)["skipped"][0]["reason"]


def test_cost_columns(evaluate, blend_model, tmp_path) -> None:
    pytest.importorskip("onnx")
    data = make_data(tmp_path / "pairs", "a")
    assert evaluate("--data", data, "--model", blend_model, "--metrics", "EN", "--cost")[0] == 0
    with (tmp_path / "out" / "means.csv").open() as file:
        row = next(csv.DictReader(file))
    assert row["size"] == "64x48" and float(row["median_ms"]) > 0
    assert results(tmp_path)["networks"]["blend"]["cost"]["file_bytes"] == blend_model.stat().st_size


def test_results_are_replaced_only_when_asked(blend_model, tmp_path, capsys) -> None:
    data = make_data(tmp_path / "pairs", "a")
    words = ["eval", "--data", data, "--model", blend_model, "--metrics", "EN", "--jobs", "1", "--backend"]
    words = [*map(str, words), "onnxruntime", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    before = (tmp_path / "out" / "results.json").stat().st_mtime_ns
    assert main(words) == 7 and "--force" in capsys.readouterr().err
    assert (tmp_path / "out" / "results.json").stat().st_mtime_ns == before
    assert main([*words, "--force"]) == 0


def test_several_data_sets(evaluate, tmp_path) -> None:
    folders = [make_data(tmp_path / name / "test", stems) for name, stems in (("x", "abc"), ("y", "a"))]
    for folder in folders:
        save_blends(folder, tmp_path / "fused" / folder.parent.name / "test", "a")
    assert [pair.data for pair in read_pairs(folders)] == ["x/test"] * 3 + ["y/test"]
    assert [pair.stem for pair in read_pairs(folders, limit=2)] == ["a", "c", "a"]
    status, _ = evaluate("--data", *folders, "--fused", f"m={tmp_path / 'fused'}", "--metrics", "EN")
    assert status == 7
    assert [(row["data"], row["images"]) for row in results(tmp_path)["means"]] == [
        ("x/test", 1),
        ("y/test", 1),
        ("all", 2),
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "nothing to evaluate"),
        (("--fused", "m=nowhere"), "no folder nowhere"),
        (("--model", "m=refinefuse", "--fused", "m=."), "more than one network is named m"),
        (("--model", "refinefuse", "--limit", "0"), "--limit is 0"),
        (("--model", "refinefuse", "--metrics", "EN", "--sheet-by", "VIF"), "--sheet-by VIF"),
    ],
)
def test_wrong_options_are_named(evaluate, tmp_path, words, expected) -> None:
    data = make_data(tmp_path / "pairs", "a")
    status, errors = evaluate("--data", data, *words)
    assert status != 0 and expected in errors and "Traceback" not in errors


def test_another_file_is_not_taken_for_a_journal(evaluate, blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "pairs", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "scores.jsonl").write_text("something else\n")
    status, errors = evaluate("--data", data, "--model", blend_model)
    assert status == 2 and "not a journal" in errors


def test_scoring_needs_neither_torch_nor_matplotlib(blend_model, tmp_path) -> None:
    data = make_data(tmp_path / "pairs", "a")
    words = ["eval", "--data", data, "--model", blend_model, "--out", tmp_path / "out", "--jobs", "1"]
    program = (
        "import sys\nfor name in ('torch', 'matplotlib', 'onnx', 'openvino'): sys.modules[name] = None\n"
        f"from ivfusion_ros.cli import main\nsys.exit(main({[str(word) for word in words]!r}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "pip install matplotlib" in done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == TABLES | {"sheet.png"}


def test_luminance_is_rounded_bt601() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 9, 9]]], np.uint8)
    assert luminance(colours).tolist() == [[76, 150, 29, 9]]
    same = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert np.array_equal(luminance(np.repeat(same[..., None], 3, 2)), same)
    assert luminance(same) is same or np.array_equal(luminance(same), same)


def test_best_values_are_bold_and_ranks_follow_the_direction(tmp_path) -> None:
    rows = [{"network": "a|b", "MSE": 4.0, "VIF": 0.5}, {"network": "c", "MSE": 2.0, "VIF": 0.25}]
    lines = to_markdown(rows, ("MSE", "VIF")).splitlines()
    assert lines[0] == "| network | MSE ↓ | VIF ↑ |"
    assert lines[2:] == ["| a\\|b | 4.0000 | **0.5000** |", "| c | **2.0000** | 0.2500 |"]
    assert to_csv(rows).splitlines() == ["network,MSE,VIF", "a|b,4,0.5", "c,2,0.25"]
    pairs = read_pairs([make_data(tmp_path / "pairs", "abcde")])
    scored = [
        Result("pairs", pair.stem, "m", {"MSE": value, "VIF": value})
        for pair, value in zip(pairs, (3.0, 1.0, 5.0, 2.0, 4.0), strict=True)
    ]
    assert [pair.stem for pair in choose(pairs, scored, "VIF", 3)] == ["c", "a", "b"]
    assert [pair.stem for pair in choose(pairs, scored, "MSE", 2)] == ["b", "c"]
    assert [pair.stem for pair in choose(pairs, scored, "VIF", 1)] == ["a"]
    assert means(scored)["pairs"]["m"]["VIF"] == 3.0


def test_what_an_image_has_nothing_for_is_left_out_and_not_asked_again(
    evaluate, blend_model, tmp_path, monkeypatch
) -> None:
    data = make_data(tmp_path / "pairs", ("a",))
    flat = make_data(tmp_path / "flat", ("a",))
    for kind, shape in (("thermal", SIZE), ("rgb", (*SIZE, 3))):
        write_image(flat / kind / "a.png", np.full(shape, 90, np.uint8))
    words = (
        "--data",
        data,
        flat,
        "--model",
        blend_model,
        "--metrics",
        "EN",
        "noise_gain",
        "invented_edges",
    )
    assert evaluate(*words)[0] == 0
    first = results(tmp_path)
    scores = {image["data"]: image for image in first["images"]}
    assert scores["flat"]["invented_edges"] == 0 and "noise_gain" not in scores["flat"]
    monkeypatch.setattr(judging, "score", lambda *_: pytest.fail("scored again"))
    assert evaluate(*words)[0] == 0
    assert results(tmp_path) == first
