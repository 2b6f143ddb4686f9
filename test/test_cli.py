"""The command line: main jobs end to end, and one clear message for whatever is wrong with the input."""

import json
import logging
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.bags import BagReader
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.cli import COMMANDS, main
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.types import Frame

OUTPUTS = {"a.mcap", "b.mcap", "c.mcap", "d.mcap", "e.png", "f.mcap"}
FUSION_ONLY = ["--detector", "", "--backend", "onnxruntime"]


@pytest.fixture
def run(capsys):
    """Run a command in this process: (status, what it wrote to standard error)."""

    def call(*words: object) -> tuple[int, str]:
        status = main([str(word) for word in words])
        return status, capsys.readouterr().err

    return call


def test_messages_stand_above_a_progress_bar(monkeypatch, capsys) -> None:
    tqdm = pytest.importorskip("tqdm")

    def work(_: object) -> None:
        with tqdm.tqdm(total=2, ascii=True, ncols=20, file=sys.stderr) as bar:
            bar.update()
            logging.getLogger("ivfusion_ros").info("half of it")

    monkeypatch.setattr("ivfusion_ros.commands.doctor.run", work)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["doctor"]) == 0
    # What a terminal shows: each carriage return starts the line anew.
    lines = [line.rpartition("\r")[2] for line in capsys.readouterr().err.split("\n")]
    assert "half of it" in lines


def test_progress_in_a_log_is_lines(monkeypatch, capsys) -> None:
    tqdm = pytest.importorskip("tqdm")

    def work(_: object) -> None:
        at_once = {"mininterval": 0, "delay": 0}
        layout = {"bar_format": "{desc} {n_fmt}/{total_fmt} {unit}s", "unit": "pair", **at_once}
        for index in tqdm.tqdm(range(2), desc="fused", file=sys.stderr, **layout):
            logging.getLogger("ivfusion_ros").info("message %d", index)
        for _ in tqdm.tqdm(range(1), file=sys.stderr, leave=False, **layout):
            pass
        print("\nend", file=sys.stderr)

    monkeypatch.setattr("ivfusion_ros.commands.doctor.run", work)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().err
    assert "\r" not in said
    assert said.splitlines() == [
        "fused 0/2 pairs", "message 0", "fused 1/2 pairs", "message 1", "fused 2/2 pairs",
        "fused 2/2 pairs", "0/1 pairs", "1/1 pairs", "", "end",
    ]  # fmt: skip


def read_messages(path: Path) -> list[tuple[str, int, bytes]]:
    with BagReader(path) as reader:
        return [(topic.name, log_time, bytes(data)) for topic, log_time, data in reader.messages()]


def test_help_lists_every_command(capsys) -> None:
    text = subprocess.run(
        [sys.executable, "-m", "ivfusion_ros.cli", "--help"], capture_output=True, text=True
    )
    assert text.returncode == 0
    for command in COMMANDS:
        assert command in text.stdout
        with pytest.raises(SystemExit) as stop:
            main([command, "--help"])
        assert stop.value.code == 0
        shown = re.findall(r"\bdefault\b(.{3})", " ".join(capsys.readouterr().out.split()))
        assert all(re.match(r": [^,]", after) for after in shown), (command, shown)


def test_replay_end_to_end(run, small_bag, blend_model, box_model, tmp_path) -> None:
    out, figures = tmp_path / "out.mcap", tmp_path / "figures.json"
    pictures = ["--sheet", tmp_path / "sheet.png", "--video", tmp_path / "film.mp4"]
    models = ["--model", blend_model, "--detector", box_model, "--backend", "onnxruntime"]
    status, said = run("replay", small_bag, out, *models, *pictures, "--originals", "--json", figures)
    assert status == 0
    report = json.loads(figures.read_text())
    assert report["pairs"] == 10
    assert report["drops"] == {} and not report["interrupted"]
    assert report["models"]["detection"].startswith(str(box_model))
    for path in (out, *pictures[1::2]):
        assert str(path) in said
    assert "took /thermal/image_raw (Image mono16)" in said and "thermal: /thermal" not in said
    names = [name for name, _, _ in read_messages(out)]
    for topic in ("/fused/image_raw", "/detections", "/rgb/image_raw", "/thermal/image_raw"):
        assert names.count(topic) == 10, topic
    assert (tmp_path / "sheet.png").exists() and (tmp_path / "film.mp4").exists()
    fused = [frame.image for frame in frames_of(out, "/fused/image_raw")]
    rgb = [frame.image for frame in frames_of(small_bag, "/rgb/image_raw")]
    # The blend is (rgb + thermal) // 2, so that twice the fused image less RGB is grey, give or take one.
    twice = 2 * fused[0].astype(int) - rgb[0]
    assert np.ptp(twice, axis=2).max() <= 1


def frames_of(bag: Path, topic: str) -> list[Frame]:
    with BagReader(bag) as reader:
        return [to_frame(data, kind.type, None) for kind, _, data in reader.messages({topic})]


@pytest.mark.parametrize("layout", ["file", "folder", "compressed"])
def test_the_same_bag_twice_gives_identical_messages(run, small_bag, blend_model, tmp_path, layout) -> None:
    more = ["--compressed"] if layout == "compressed" else []
    written = []
    for name in ("a", "b"):
        out = tmp_path / (name if layout == "folder" else f"{name}.mcap")
        assert run("replay", small_bag, out, "--model", blend_model, *FUSION_ONLY, *more)[0] == 0
        written.append(read_messages(out))
    assert set(Counter(topic for topic, _, _ in written[0]).values()) == {10}
    assert written[0] == written[1]


def test_an_existing_output_is_kept_without_force(run, small_bag, blend_model, tmp_path) -> None:
    out = tmp_path / "out.mcap"
    out.write_bytes(b"precious")
    words = ["replay", small_bag, out, "--model", blend_model, *FUSION_ONLY]
    status, error = run(*words)
    assert status == 4 and "exists already" in error
    assert out.read_bytes() == b"precious"
    assert run(*words, "--force")[0] == 0
    assert out.read_bytes() != b"precious"


def test_no_pairs_leaves_no_output(run, small_bag, blend_model, tmp_path) -> None:
    out = tmp_path / "out.mcap"
    words = ["replay", small_bag, out, "--model", blend_model, *FUSION_ONLY]
    status, error = run(*words, "--set", "pairing.thermal_time_offset_ms=5000")
    assert status == 4
    assert "no thermal frame was paired with an RGB frame: 10 thermal and 10 RGB frames" in error
    assert list(tmp_path.iterdir()) == []


def test_record_then_replay_folders(run, blend_model, tmp_path) -> None:
    for camera, shape in (("thermal", (64, 96)), ("rgb", (64, 96, 3))):
        (tmp_path / camera).mkdir()
        for index in range(4):
            write_image(tmp_path / camera / f"{index:03d}.png", np.full(shape, 40 * index, np.uint8))
    bag = tmp_path / "bag.mcap"
    folders = [tmp_path / "thermal", tmp_path / "rgb", bag]
    status, error = run("record", *folders)
    assert status == 7 and "--rate" in error
    assert run("record", *folders, "--rate", "20")[0] == 0
    frames = frames_of(bag, "/rgb/image_raw")
    assert [frame.stamp_ns for frame in frames] == [1_000_000_000 + 50_000_000 * i for i in range(4)]
    out = tmp_path / "out.mcap"
    assert run("replay", bag, out, "--model", blend_model, *FUSION_ONLY)[0] == 0
    assert [int(frame.image.max()) for frame in frames_of(out, "/fused/image_raw")] == [0, 40, 80, 120]


@pytest.mark.parametrize(("extra", "warned"), [(0, False), (1, False), (20, True)])
def test_record_tells_of_a_camera_that_ends_early(run, tmp_path, extra, warned) -> None:
    for camera, count in (("thermal", 5), ("rgb", 5 + extra)):
        (tmp_path / camera).mkdir()
        for index in range(count):
            write_image(tmp_path / camera / f"{index:03d}.png", np.full((8, 8), 9, np.uint8))
    words = ["record", tmp_path / "thermal", tmp_path / "rgb", tmp_path / "bag.mcap", "--rate", "20"]
    status, said = run(*words)
    assert status == 0
    assert said.count("thermal lasts 0.2 s and RGB 1.2 s") == said.count("thermal lasts") == warned


def test_fuse_and_detect_folders(run, blend_model, box_model, tmp_path) -> None:
    for camera in ("thermal", "rgb"):
        (tmp_path / camera).mkdir()
        for name in ("a", "b", f"only_{camera}"):
            shape = (64, 96) if camera == "thermal" else (64, 96, 3)
            write_image(tmp_path / camera / f"{name}.png", np.full(shape, 100, np.uint8))
    out = tmp_path / "fused"
    options = ["--model", blend_model, "--backend", "onnxruntime"]
    assert run("fuse", tmp_path / "thermal", tmp_path / "rgb", out, *options)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png"]
    assert (read_image(out / "a.png") == 100).all()
    found = tmp_path / "found"
    assert run("detect", out, found, "--detector", box_model)[0] == 0
    rows = json.loads((found / "detections.json").read_text())
    assert rows["a.png"] == [{"class": "person", "score": 0.9, "box_xyxy": [10.0, 20.0, 30.0, 60.0]}]
    status, error = run("detect", out, found, "--detector", "", "--force")
    assert status == 5 and "--detector" in error


def test_bench_reports_ratios(run, blend_model, tmp_path) -> None:
    figures = tmp_path / "bench.json"
    words = ["--model", blend_model, "--backend", "onnxruntime", "--size", "64x48", "--rounds", "2"]
    assert run("bench", *words, "--json", figures)[0] == 0
    report = json.loads(figures.read_text())
    (network,) = report["networks"].values()
    assert network["speed_up"] == 1.0
    # Steps are no alternatives to each other.
    assert all("speed_up" not in row for row in report["steps"].values())
    assert set(report["steps"]) >= {"decode mono16", "thermal scaling", "warp", "serialise fused image"}
    assert report["steps_total_ms"] == pytest.approx(
        sum(row["median"] for row in report["steps"].values()), abs=0.01
    )


def test_verbose_before_and_after_the_command(run, monkeypatch) -> None:
    levels = []
    monkeypatch.setattr(
        "ivfusion_ros.commands.doctor.run", lambda _: levels.append(logging.getLogger().level)
    )
    for words in (["doctor"], ["-v", "doctor"], ["doctor", "-v"]):
        assert run(*words)[0] == 0
    assert levels == [logging.INFO, logging.DEBUG, logging.DEBUG]


def test_what_other_libraries_tell_of_themselves_is_for_verbose(run, monkeypatch) -> None:
    def work(_: object) -> None:
        for name in ("botocore", "ivfusion_ros.fleet"):
            logging.getLogger(name).info("told by %s", name)
        logging.getLogger("botocore").warning("beware")

    monkeypatch.setattr("ivfusion_ros.commands.doctor.run", work)
    assert run("doctor")[1].splitlines() == ["told by ivfusion_ros.fleet", "beware"]
    assert "told by botocore" in run("doctor", "--verbose")[1]


def test_help_keeps_names_as_they_are(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["engine", "--help"])
    assert "Compile ONNX models for this machine's GPU by TensorRT" in capsys.readouterr().out


def test_doctor_names_what_runs(run, capsys, tmp_path) -> None:
    figures = tmp_path / "doctor.json"
    status, logged = run("doctor", "--json", figures)
    assert status == 0 and "runs in" not in logged
    report = json.loads(figures.read_text())
    assert report["backends"]["onnxruntime"].startswith("runs")
    assert report["models"]["refinefuse"].startswith("intact")
    capsys.readouterr()
    assert main(["doctor", "--parameters"]) == 0
    assert "| `pairing.max_skew_ms` | `25.0` | 0 to 1000 | yes |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["replay", "absent.mcap", "out.mcap"], 4, "absent.mcap"),
        (["replay", "{bag}", "out.mcap", "--set", "pairing.max_skew_ms"], 2, "NAME=VALUE"),
        (["replay", "{bag}", "out.mcap", "--set", "pairing.max=1"], 2, "unknown parameter"),
        (["replay", "{bag}", "out.mcap", "--set", "detection.confidence=high"], 2, "expected a number"),
        (["replay", "{bag}", "out.mcap", "--config", "absent.yaml"], 2, "cannot read absent.yaml"),
        (["replay", "{bag}", "out.mcap", "--model", "nonsense"], 5, "unknown model 'nonsense'"),
        (["replay", "{bag}", "out.mcap", "--model", "absent.onnx"], 5, "no model file"),
        (["replay", "{bag}", "out.mcap", "--detector", "absent.onnx"], 5, "no model file"),
        (["replay", "{bag}", "out.mcap", "--thermal-topic", "/ir"], 4, "/thermal/image_raw"),
        (["replay", "{bag}", "{bag}/out.mcap"], 4, "cannot write"),
        (["fuse", "absent.png", "absent.png", "out.png"], 3, "cannot read absent.png"),
        (["fuse", "{model}", "{model}", "out.png"], 3, "cannot read video"),
        (["record", "{model}", "{model}", "out.mcap"], 3, "cannot read video"),
        (["bench", "--size", "640"], 2, "expected WIDTHxHEIGHT"),
        (["export", "absent.pt", "out.onnx"], 5, "absent.pt"),
        (["train", "nonsense", "--data", "absent"], 2, "unknown training config"),
        (["export", "mst", "absent/out.onnx"], 5, "there is no folder absent"),
        (["export", "mst", "out.onnx", "--size", "axb"], 2, "--size is for --detector"),
        (["train", "refinefuse", "--data", "absent"], 7, "there is no folder absent"),
        (["replay", "{bag}", "out.bag"], 4, "must end in .mcap"),
        (["record", "{bag}", "{bag}", "out.mp4"], 4, "must end in .mcap"),
        (["doctor", "--parameters", "--json", "out.json"], 2, "give only one of them"),
    ],
)
def test_one_clear_message(
    run, small_bag, blend_model, tmp_path, monkeypatch, words, status, message
) -> None:
    if words[0] in ("export", "train"):
        pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    words = [word.format(bag=small_bag, model=blend_model) for word in words]
    if words[0] == "replay":
        words += ["--backend", "onnxruntime"]
        words += [] if "--model" in words else ["--model", str(blend_model)]
    found, error = run(*words)
    assert (found, message in error) == (status, True), error
    assert error.strip().splitlines()[-1].startswith(f"ivfusion {words[0]}: ")
    assert [path.name for path in tmp_path.iterdir()] == []


@pytest.mark.parametrize("seed", range(12))
def test_fuzz_broken_files_never_give_a_traceback(
    run, small_bag, blend_model, box_model, tmp_path, monkeypatch, seed
) -> None:
    """Flip, cut or replace bytes of a bag, models, image and config: a status, no traceback, no debris."""
    monkeypatch.chdir(tmp_path)
    dice = random.Random(seed)
    image = tmp_path / "image.png"
    cv2.imwrite(str(image), np.zeros((64, 96, 3), np.uint8))
    config = tmp_path / "config.yaml"
    config.write_text("pairing: {max_skew_ms: 20.0}\ndetection: {confidence: 0.3, classes: [person]}\n")
    broken = {}
    for name, source in (("bag.mcap", small_bag), ("f.onnx", blend_model), ("d.onnx", box_model),
                         ("image.png", image), ("config.yaml", config)):  # fmt: skip
        data = bytearray(source.read_bytes())
        damage = dice.choice(("flip", "cut", "noise", "empty"))
        if damage == "flip":
            for _ in range(20):
                data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        data = {"cut": data[: dice.randrange(len(data))], "noise": dice.randbytes(500), "empty": b""}.get(
            damage, data
        )
        broken[name] = tmp_path / f"broken_{name}"
        broken[name].write_bytes(bytes(data))
    backend = ["--backend", "onnxruntime"]
    good = ["--model", blend_model, "--detector", box_model, *backend]
    for words in (
        ["replay", broken["bag.mcap"], "a.mcap", *good],
        ["replay", small_bag, "b.mcap", "--model", broken["f.onnx"], "--detector", "", *backend],
        ["replay", small_bag, "c.mcap", "--model", blend_model, "--detector", broken["d.onnx"], *backend],
        ["replay", small_bag, "d.mcap", "--config", broken["config.yaml"], *good],
        ["fuse", broken["image.png"], image, "e.png", "--model", blend_model, *backend],
        ["record", broken["bag.mcap"], broken["image.png"], "f.mcap"],
    ):
        status, error = run(*words)
        assert status in (0, 2, 3, 4, 5, 7), error
        assert "Traceback" not in error
        if status:
            assert not OUTPUTS & {path.name for path in tmp_path.iterdir() if path.name in map(str, words)}


@pytest.mark.parametrize(("word", "meant"), [("repaly", "did you mean replay?"), ("zzz", "lists them")])
def test_a_mistyped_command_is_told(word, meant, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main([word, "x"])
    assert stop.value.code == 2 and meant in capsys.readouterr().err


def test_help_is_a_command_too(capsys) -> None:
    for words in ([], ["help"], ["help", "replay"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
    assert "usage: ivfusion replay" in capsys.readouterr().out


def test_models_and_settings_are_guessed(run, tmp_path) -> None:
    _, said = run("fuse", "a.png", "b.png", tmp_path / "c.png", "--model", "refinefus")
    assert "did you mean refinefuse" in said or "there is no" in said
    _, said = run("train", "refinfuse", "--data", tmp_path)
    assert "did you mean refinefuse?" in said


def test_json_to_standard_output_is_all_that_is_there(small_bag, blend_model, tmp_path, capsys) -> None:
    words = [
        "replay",
        small_bag,
        tmp_path / "out.mcap",
        "--model",
        blend_model,
        *FUSION_ONLY,
        "--json",
        "-",
    ]
    assert main(list(map(str, words))) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["pairs"] == 10 and "written:" in printed.err
    assert main(["doctor", "--json", "-"]) == 0
    findings = json.loads(capsys.readouterr().out)
    assert "openvino" in findings["backends"] and "cores" in findings["scheduling"]
    assert not Path("-").exists()


def test_a_dry_run_writes_nothing(small_bag, blend_model, tmp_path, capsys) -> None:
    out = tmp_path / "out.mcap"
    words = ["replay", small_bag, out, "--model", blend_model, *FUSION_ONLY, "--dry-run"]
    assert main(list(map(str, words))) == 0
    said = capsys.readouterr().out
    assert str(small_bag) in said and f"writes: {out}" in said and str(blend_model) in said
    assert f"reads: {small_bag}\n" in said and "replaces" not in said
    pairs = tmp_path / "pairs"
    for camera, image in (("thermal", np.zeros((64, 96))), ("rgb", np.zeros((64, 96, 3)))):
        (pairs / camera).mkdir(parents=True)
        for number in range(5):
            write_image(pairs / camera / f"{number}.png", image.astype(np.uint8))
    words = [
        "train",
        "refinefuse_lite",
        "--data",
        str(pairs),
        "--set",
        "validation_fraction=0",
        "--dry-run",
    ]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"reads: {pairs}\npairs: 5 to train on, 0 held out\n" in said and "stage" not in said
    assert not out.exists()


def test_a_dry_run_as_json(small_bag, blend_model, tmp_path, capsys) -> None:
    out = tmp_path / "out.mcap"
    words = ["replay", small_bag, out, "--model", blend_model, *FUSION_ONLY, "--dry-run", "--json", "-"]
    assert main(list(map(str, words))) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["reads"] == [str(small_bag)] and plan["writes"] == [str(out)]
    assert plan["fusion model"] == str(blend_model) and plan["detection model"] == "none"


def test_a_mistake_is_one_line(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train", "--netwrk", "x", "refinefuse"])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and len(said.splitlines()) == 1
    assert "--netwrk" in said and "did you mean --network?" in said and "`ivfusion train --help`" in said


def test_a_dry_run_refuses_what_the_run_would(small_bag, blend_model, tmp_path, capsys) -> None:
    out = tmp_path / "out.mcap"
    out.write_bytes(b"precious")
    words = ["replay", small_bag, out, "--model", blend_model, *FUSION_ONLY, "--dry-run"]
    assert main(list(map(str, words))) != 0
    assert f"{out} exists already; name another output" in capsys.readouterr().err
    assert main([*map(str, words), "--force"]) == 0
    assert f"writes: {out}, which it replaces" in capsys.readouterr().out
    assert out.read_bytes() == b"precious"
    asked = [
        "--force",
        "--set",
        "registration.refine.model=shift",
        "--set",
        "registration.refine.matcher=matchr",
    ]
    assert main([*map(str, words), *asked]) != 0
    assert "unknown model 'matchr', did you mean matcher?" in capsys.readouterr().err
    assert main(["train", "refinefuse_lite", "--data", str(tmp_path / "nowhere"), "--dry-run"]) != 0
    assert f"there is no folder {tmp_path / 'nowhere'}" in capsys.readouterr().err
    assert main(["train", "yolov5n_coco", "--data", str(tmp_path), "--dry-run", "--init", "yolov5x"]) != 0
    assert "unknown model 'yolov5x', did you mean yolov5s?" in capsys.readouterr().err


def test_a_dry_run_takes_a_part_of_a_data_set(tmp_path, capsys) -> None:
    for number in range(3):
        for camera in ("infrared", "visible"):
            path = tmp_path / camera / "train" / f"{100 * number:06d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, np.zeros((8, 8), np.uint8))
    assert main(["train", "refinefuse_lite", "--data", str(tmp_path / "train"), "--dry-run"]) == 0
    assert f"reads: {tmp_path / 'train'}" in capsys.readouterr().out


def test_completion_knows_commands_and_options(capsys) -> None:
    pytest.importorskip("shtab", reason="needs shtab")
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert "eval-detection" in script and "--registered" in script
    assert subprocess.run(["bash", "-n"], input=script, text=True).returncode == 0
