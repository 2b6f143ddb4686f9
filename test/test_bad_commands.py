"""Command lines that cannot work: each is refused before the work, by the reason that the user can mend."""

import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.cli import main
from ivfusion_ros.images.files import write_image
from ivfusion_ros.models import read_models

SHIPPED = {
    task: ", ".join(entry.name for entry in read_models().values() if entry.task == task)
    for task in ("fusion", "detection", "matching")
}
FUSION, DETECTION, MATCHING = (
    f"expected one for {task}: {names}, or a file of your own" for task, names in SHIPPED.items()
)

LINES = {
    "fuse thermal rgb": "both hold images, and the last name is the output",
    "record thermal rgb": "both hold images, and the last name is the output",
    "fuse thermal rgb notes.txt": "the output, notes.txt, is a file, expected a folder for 3 images",
    "fuse thermal rgb out --stamps names:h": "expected auto, names, rate or names:UNIT",
    "fuse thermal rgb out --thermal-stamps absent": "--thermal-stamps does nothing",
    "fuse thermal rgb out --set =1": "--set is '=1', expected NAME=VALUE",
    "fuse thermal rgb out --set reference=rgb": "did you mean registration.reference?",
    "fuse thermal out": "or the folder of a data set as it is published",
    "record thermal rgb out.mcap --rate 10 --rgb-topic /a": "--rgb-topic does nothing for thermal and rgb",
    "record thermal rgb out.mcap --rate 10 --start=-5": "'-5' is no time that a header holds",
    "record thermal rgb out.mcap --rate 10 --start 1e400": "'1e400' is no time that a header holds",
    "record thermal rgb out.txt --rate 10": "must end in .mcap or name a folder",
    "replay bags/empty.mcap out.mcap": "the index is missing or damaged",
    "replay bags/empty.mcap out.mcap --rate 0": "--rate does nothing for bags/empty.mcap (bags)",
    "calibrate bags/empty.mcap --thermal-size 640x480": "--thermal-size is for --import",
    "calibrate . --out rgb": "rgb must end in .yaml or .yml",
    "fuse bags/empty.mcap out.png": "no messages on an image topic",
    "export rgb out.onnx": "rgb is neither a file nor a network",
    "dataset --data . --out out --images :0.5": "':0.5' names no kind of images",
    "calibrate . --rate 3": "--rate does nothing for the pairs of a data set",
    "calibrate thermal": "images in thermal itself: 3; give two folders, the thermal camera's first",
    "fuse rgb out": "images in rgb itself: 3; give two folders, the thermal camera's first",
    "replay thermal out.mcap": "give two folders, the thermal camera's first",
    "calibrate thermal absent": "there is no film or folder absent",
    "calibrate thermal none": "none holds no images (.png, .jpg,",
    "calibrate above thermal": "above holds no images (.png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp); "
    "folders in it do: ir, vi2",
    "calibrate above": "there are images in above/ir, above/vi2: give two of them instead, the thermal",
    "eval --data above --out out --model mst": "in above/ir, above/vi2: name two of them with --folders",
    "eval --data rgb --out out --model mst": "images in rgb itself: 3; give the folder above those of both",
    "record thermal rgb page.html --rate 10": "page.html must end in .mcap or name a folder",
    "replay bags/empty.mcap out.mcap --set detection.confidence 0.4": "unrecognized arguments: 0.4; --set "
    "takes one word, as in --set detection.confidence=VALUE",
    "replay notes.txt out.mcap": "name the other camera's too, thermal first",
    "fuse thermal/0.png rgb/9.png out.png": "cannot read rgb/9.png: there is no such file",
    "fuse thermal/0.png rgb/0.png out.txt": "the output of two images is out.txt, expected an image (.png",
    "fuse thermal/0.png rgb/0.png out": "an image (.png, .jpg, .jpeg, .webp, .tif, .tiff, .bmp), or "
    "a folder that is there",
    "detect rgb out.json": "the output is out.json, expected a folder for pictures and detections.json",
    "calibrate thermal rgb rig.yaml": "rig.yaml holds no images: the calibration to write is named by",
    "calibrate --import own.yaml": "a calibration of `ivfusion calibrate` needs no import, name it in",
    "fuse thermal rgb out --set registration.calibration=rig.yaml": "there is no calibration rig.yaml; "
    "`ivfusion calibrate SOURCE --out rig.yaml` writes one",
    "dataset --data . --out out --images thermal,rgb": "several are apart by spaces: thermal rgb",
    "dataset --data absent --out out --images rgb --teacher yolov5n": "there is no folder absent",
    "live --thermal 0 --rgb 1 --out out.mcap": "expected a device (of a number, /dev/video0?), an address",
    "find person and night out": "arguments: night out; the expression is one word: write it in quotes",
    "detect absent out": "there is no file or folder absent",
    "detect bags/empty.mcap out": "`ivfusion replay` detects in bags",
    "detect notes.txt out": "expected a film such as MP4, AVI or MKV",
    "bench --size 100000x100000": "at most 8192x8192",
    "bench --size 8x": "expected WIDTHxHEIGHT of at least 8x8",
    "bench --plot out.txt": "out.txt must end in .png",
    "dataset --data notes.txt --out out --images rgb": "notes.txt is a file, expected a folder",
    "dataset --data . --out notes.txt --images rgb": "notes.txt is a file, expected a folder",
    "eval --data . --out notes.txt --model mst": "notes.txt is a file, expected a folder",
    "eval --data . --out out --fused a=notes.txt": "notes.txt is a file, expected a folder with",
    "eval --data thermal --out out --model mst": "other folder names in --folders",
    "demo --out notes.txt": "notes.txt is a file, expected a folder",
    "replay bags/empty.mcap out.mcap --model matcher": "matcher is a model for matching "
    f"(calibrate --matcher, registration.refine.matcher), {FUSION}",
    "replay bags/empty.mcap out.mcap --detector matcher": DETECTION,
    "replay bags/empty.mcap out.mcap --set detection.model=refinefuse_lite": "refinefuse_lite is a model "
    f"for fusion (--model, fusion.model), {DETECTION}",
    "replay bags/empty.mcap out.mcap --set registration.refine.model=shift "
    "--set registration.refine.matcher=mst": MATCHING,
    "fuse thermal rgb out --model yolov5n": "yolov5n is a model for detection "
    f"(--detector, detection.model), {FUSION}",
    "detect rgb out --detector mst": DETECTION,
    "calibrate thermal rgb --matcher yolov5n_int8": MATCHING,
    "live --thermal a --rgb b --out out.mcap --model matcher": FUSION,
    "demo --out out --detector matcher": DETECTION,
    "eval --data . --out out --model mst matcher": FUSION,
    "eval-detection --data . --out out --detector mst": DETECTION,
    "bench --model yolov5n": FUSION,
    "bench --detector mst": DETECTION,
    "dataset --data . --out out --images rgb --teacher mst": DETECTION,
    "dataset --data . --out out --images yolov5n": FUSION,
    "engine mst matcher": "expected one for fusion or detection: refinefuse, ",
    "train refinefuse_cpu --data . --init yolov5n": FUSION,
    "train yolov5n_cpu --data . --init refinefuse": DETECTION,
    "doctor --paramaters": "did you mean --parameters?",
    "doctor --nothing-like-it": "ivfusion doctor: error: unrecognized arguments",
}


@pytest.fixture(autouse=True)
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for camera, shape in (("thermal", (32, 48)), ("rgb", (32, 48, 3))):
        (tmp_path / camera).mkdir()
        for index in range(3):
            write_image(tmp_path / camera / f"{index}.png", np.full(shape, 40 * index, np.uint8))
    (tmp_path / "none").mkdir()
    for name in ("ir", "vi2"):
        shutil.copytree(tmp_path / "thermal", tmp_path / "above" / name)
    (tmp_path / "own.yaml").write_text("thermal_size: [32, 24]\nrgb_size: [32, 24]\n")
    (tmp_path / "notes.txt").write_text("notes")
    (tmp_path / "bags").mkdir()
    (tmp_path / "bags" / "empty.mcap").write_bytes(b"\x89MCAP0\r\n" + bytes(100))
    monkeypatch.chdir(tmp_path)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command that must fail wrote last, in one line."""
    try:
        status = main(words)
    except SystemExit as stop:
        status = int(stop.code or 0)
    said = capsys.readouterr().err
    assert status != 0, said
    return said.strip().splitlines()[-1]


@pytest.mark.parametrize("line", LINES)
def test_a_bad_command_line_names_its_reason(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(Path.cwd().rglob("*"))
    assert LINES[line] in refused(shlex.split(line), capsys)
    assert sorted(Path.cwd().rglob("*")) == before


def test_only_a_command_that_has_the_option_advises_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--folders" not in refused(["fuse", "thermal", "out"], capsys)


def test_weights_of_what_is_no_onnx_file(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    # An empty message of ONNX is valid, and so is much of what no one meant as ONNX.
    Path("start.onnx").write_bytes(b"")
    words = ["train", "refinefuse_cpu", "--data", ".", "--init", "start.onnx", "--out", "run"]
    assert "holds no weights of a fusion network" in refused(words, capsys)


def test_people_without_a_file_that_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["eval", "--data", ".", "--out", "out", "--fused", "a=rgb", "--metrics", "people"]
    assert "people are read from labels/ or boxes/" in refused([*words, "--jobs", "1"], capsys)
