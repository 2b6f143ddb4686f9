"""What commands write: never over an input, checked before the work, and a failure costs nothing else."""

import json
import os
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sample_frames import make_frames
from simulator_samples import SMALL

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.bags.messages import to_frame
from ivfusion_ros.cli import main
from ivfusion_ros.errors import ImageError
from ivfusion_ros.images.files import read_image, write_image
from ivfusion_ros.messages.type_names import IMAGE
from ivfusion_ros.types import CameraInfo

FUSION_ONLY = ["--detector", "", "--backend", "onnxruntime"]


@pytest.fixture
def replay(capsys, blend_model):
    """Replay in this process: (status, what it wrote to standard error)."""

    def call(*words: object) -> tuple[int, str]:
        status = main(["replay", *map(str, words), "--model", str(blend_model), *FUSION_ONLY])
        return status, capsys.readouterr().err

    return call


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["file", "link", "folder", "file of the folder", "folder of the file"])
def test_the_output_is_never_an_input(replay, small_bag, tmp_path, kind) -> None:
    bag = tmp_path / ("bag" if "folder" in kind else "bag.mcap")
    with BagReader(small_bag) as reader, BagWriter(bag) as writer:
        for message in reader.messages():
            writer.write_raw(*message)
    source, output = bag, bag
    if kind == "link":
        source = tmp_path / "link.mcap"
        source.symlink_to(bag)
    elif kind == "file of the folder":
        source = bag / "bag.mcap"
    elif kind == "folder of the file":
        output = bag / "bag.mcap"
    before = contents(tmp_path)
    status, error = replay(source, output, "--force")
    assert status == 7 and "is an input too" in error
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    "option", ["--json precious.mcap", "--json file/a.json", "--sheet a.xyz", "--video a.xyz"]
)
def test_bad_outputs_are_refused_before_the_work(small_bag, tmp_path, monkeypatch, capsys, option) -> None:
    monkeypatch.chdir(tmp_path)
    for path in ("precious.mcap", "file"):
        Path(path).write_bytes(b"precious")
    before = contents(tmp_path)
    monkeypatch.setattr("ivfusion_ros.commands.replay.replay_source", lambda *_: pytest.fail("too late"))
    with pytest.raises(SystemExit) as stop:
        main(["replay", str(small_bag), "out.mcap", *option.split()])
    assert stop.value.code == 2
    assert option.split()[1] in capsys.readouterr().err.splitlines()[-1]
    assert contents(tmp_path) == before


@pytest.mark.parametrize("force", [[], ["--force"]])
def test_what_is_read_is_never_replaced(replay, small_bag, tmp_path, monkeypatch, force) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(small_bag, "in.mcap")
    (tmp_path / "thermal").mkdir()
    for name in ("film.mp4", "thermal/1.png", "config.json"):
        Path(name).write_bytes(b"precious")
    Path("link.png").symlink_to("thermal/1.png")
    before = contents(tmp_path)
    for words in (
        ["film.mp4", "in.mcap", "out.mcap", "--video", "film.mp4"],
        ["thermal", "film.mp4", "out.mcap", "--sheet", "thermal/1.png"],
        ["thermal", "film.mp4", "out.mcap", "--sheet", "link.png"],
        ["in.mcap", "out.mcap", "--config", "config.json", "--json", "config.json"],
        ["film.mp4", "film.mp4", "out.mcap", "--rgb-stamps", "config.json", "--json", "./config.json"],
    ):
        status, error = replay(*words, *force)
        assert status != 0 and ("is an input too" in error or "which is read" in error), (words, error)
    assert contents(tmp_path) == before


def test_a_page_in_the_folder_that_it_shows_is_made_again(tmp_path, capsys) -> None:
    pytest.importorskip("jinja2", reason="needs jinja2")
    (tmp_path / "figures.json").write_text('{"pairs": 10}')
    page = tmp_path / "page.html"
    words = ["report", str(tmp_path), "--html", str(page)]
    assert main(words) == 0
    assert main(words) != 0 and "--force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0
    assert "pairs" in page.read_text(encoding="utf-8")


def test_what_stands_beside_the_result_is_replaced_when_asked(replay, small_bag, tmp_path) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text("{}")
    status, error = replay(small_bag, tmp_path / "out.mcap", "--json", figures)
    assert status != 0 and "figures.json" in error and "--force" in error
    assert figures.read_text() == "{}" and not (tmp_path / "out.mcap").exists()
    assert replay(small_bag, tmp_path / "out.mcap", "--json", figures, "--force")[0] == 0
    assert json.loads(figures.read_text())["pairs"] == 10


def test_folders_of_outputs_are_made(replay, small_bag, tmp_path) -> None:
    new = tmp_path / "new" / "deeper"
    status, _ = replay(small_bag, new / "out.mcap", "--json", new / "a.json", "--sheet", new / "a.png")
    assert status == 0
    assert sorted(path.name for path in new.iterdir()) == ["a.json", "a.png", "out.mcap"]


@pytest.mark.parametrize("words", [[], ["--compressed"]])
def test_registered_images_are_written_when_asked_for_and_taken_for_no_camera(
    replay, small_bag, tmp_path, words
) -> None:
    first, second = tmp_path / "first.mcap", tmp_path / "second.mcap"
    assert replay(small_bag, first, "--registered", "--originals", *words)[0] == 0
    # It has both cameras' topics, and one that looks much like the thermal one.
    assert replay(first, second)[0] == 0
    topic = "/thermal/image_registered" + "/compressed" * bool(words)
    for path, count in ((first, 10), (second, 0)):
        with BagReader(path) as reader:
            assert len(list(reader.messages([topic]))) == count


def test_bag_and_outputs_come_before_the_networks(replay, small_bag, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.commands.replay.build_pipeline", lambda _: pytest.fail("too late"))
    (tmp_path / "out.mcap").write_bytes(b"precious")
    for words, message in (
        ([tmp_path / "new.mcap", "--thermal-topic", "/ir"], "has no topic /ir"),
        ([tmp_path / "out.mcap"], "exists already"),
        ([tmp_path / "out.bag"], "must end in .mcap"),
    ):
        status, error = replay(small_bag, *words)
        assert status == 4 and message in error


def test_a_sheet_that_fails_does_not_cost_the_bag(replay, small_bag, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise ImageError("the disk is full")

    monkeypatch.setattr("ivfusion_ros.images.film.write_image", full)
    status, error = replay(small_bag, tmp_path / "out.mcap", "--sheet", tmp_path / "sheet.png")
    assert status == 3 and "disk is full" in error
    with BagReader(tmp_path / "out.mcap") as reader:
        assert len(list(reader.messages(["/fused/image_raw"]))) == 10


def test_a_page_of_a_replay(replay, small_bag, tmp_path) -> None:
    pytest.importorskip("jinja2", reason="needs jinja2")
    status, _ = replay(small_bag, tmp_path / "out.mcap", "--html", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert status == 0 and "<h1>out.mcap</h1>" in page
    assert '<th scope="row">pairs</th><td>10</td>' in page and page.count("data:image/webp") == 30


def test_names_that_are_not_utf8(replay, small_bag, tmp_path, blend_model, capsys) -> None:
    pytest.importorskip("jinja2", reason="needs jinja2")
    old, new = (tmp_path / os.fsdecode(name) for name in (b"g\xff.mcap", b"o\xff.mcap"))
    shutil.copy(small_bag, old)
    page, figures = tmp_path / os.fsdecode(b"p\xff.html"), tmp_path / "figures.json"
    status, error = replay(old, new, "--html", page, "--json", figures)
    assert status == 0, error
    assert r"<h1>o\udcff.mcap</h1>" in page.read_text(encoding="utf-8")
    assert json.loads(figures.read_text())["output"] == str(new)
    main(
        [
            "replay",
            str(old),
            str(tmp_path / "b.mcap"),
            "--dry-run",
            "--model",
            str(blend_model),
            *FUSION_ONLY,
        ]
    )
    assert r"g\udcff.mcap" in capsys.readouterr().out


@pytest.fixture
def measured_bag(tmp_path) -> Path:
    """Ten pairs with intrinsics, in which a box that ends in row 60 is on the ground."""
    path, info = tmp_path / "measured.mcap", CameraInfo(96, 64, k=(80.0, 0, 47.5, 0, 80, 10, 0, 0, 1))
    with BagWriter(path) as writer:
        for camera, frame in make_frames():
            writer.write_frame(camera, replace(frame, camera_info=info))
    return path


GROUND = ["--set", "positions.method=ground", "--set"]


@pytest.mark.parametrize(
    ("settings", "known", "told"),
    [
        (["positions.camera_height_m=1.2"], 10, "positions of 10 of 10 objects: by the ground 10\n"),
        (
            ["positions.camera_height_m=1.2", "--set", "positions.camera_roll_deg=180"],
            0,
            "positions of 0 of 10 objects; none: the lower edge is above the horizon, or more than "
            "200 m away 10\n",
        ),
    ],
)
def test_how_many_objects_have_a_position_is_told(
    measured_bag, tmp_path, blend_model, box_model, capsys, settings, known, told
) -> None:
    figures, bag = tmp_path / "figures.json", tmp_path / "out.mcap"
    words = ["--model", blend_model, "--detector", box_model, "--json", figures, *GROUND, *settings]
    assert main(["replay", *map(str, [measured_bag, bag, "--backend", "onnxruntime", *words])]) == 0
    assert told in capsys.readouterr().err
    counts = json.loads(figures.read_text())
    assert sum(counts["positions"].values()) == known
    assert sum(counts["without_position"].values()) == 10 - known


def test_a_dry_run_misses_what_the_run_would_miss(
    small_bag, tmp_path, blend_model, box_model, capsys
) -> None:
    for words, told in (
        ([*GROUND, "positions.frame=base"], "the bag has no /tf_static and no /tf"),
        (["--set", "positions.method=depth"], "registration.depth is false"),
        (["--set", "registration.depth=true"], "depth"),
    ):
        words = ["--model", blend_model, "--detector", box_model, *words]
        results = []
        for more in ([], ["--dry-run"]):
            status = main(["replay", *map(str, [small_bag, tmp_path / "o.mcap", *words, *more])])
            results.append((status, capsys.readouterr().err.splitlines()[-1]))
        assert results[0] == results[1] and results[0][0] and told in results[0][1]


def test_a_page_that_cannot_be_made_is_told_before_the_work(
    replay, small_bag, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    status, error = replay(small_bag, tmp_path / "out.mcap", "--html", tmp_path / "page.html")
    assert status == 2 and "pip install jinja2" in error
    assert not list(tmp_path.glob("out*"))


def test_a_demo_that_cannot_work_leaves_the_earlier_one(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("ivfusion_ros.commands.demo.Simulator", lambda *_: pytest.fail("too late"))
    (tmp_path / "cameras.mcap").write_bytes(b"precious")
    for words in (["--seconds", "0"], ["--seconds", "nan"], ["--model", "nope"], ["--detector", "nope"]):
        assert main(["demo", "--out", str(tmp_path), *words]) in (2, 5)
    assert contents(tmp_path) == {tmp_path / "cameras.mcap": b"precious"}


def test_the_command_that_a_demo_prints_does_the_same(tmp_path, blend_model, monkeypatch, capsys) -> None:
    """With what the user has set, which the demo's own settings must not replace."""
    monkeypatch.setattr("ivfusion_ros.commands.demo.RigConfig", lambda: SMALL)
    folder = tmp_path / "a demo"
    words = ["--model", str(blend_model), *FUSION_ONLY, "--set", "registration.reference=thermal"]
    words += ["--set", "pairing.thermal_time_offset_ms=0"]
    assert main(["demo", "--out", str(folder), "--seconds", "0.5", *words]) == 0
    said = capsys.readouterr().err
    command = next(line for line in said.splitlines() if "ivfusion replay" in line)
    command = command[command.index("ivfusion replay") :]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["pairs"] >= 5 and summary["skew_ms"]["median"] > 5

    def images() -> list[bytes]:
        with BagReader(folder / "fused.mcap") as reader:
            return [bytes(data) for _, _, data in reader.messages(["/fused/image_raw"])]

    before = images()
    assert to_frame(memoryview(before[0]), IMAGE, None).size == (SMALL.thermal.width, SMALL.thermal.height)
    assert main(shlex.split(command)[1:]) == 0
    assert images() == before


@pytest.mark.parametrize("command", ["replay in.mcap", "fuse a.png b.png", "detect a.png", "record a b"])
def test_an_empty_name_is_no_folder(tmp_path, monkeypatch, capsys, command) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), ""])
    assert stop.value.code == 2 and "the name is empty" in capsys.readouterr().err


def test_of_two_that_fuse_into_one_image_the_later_is_told(
    tmp_path, monkeypatch, capsys, blend_model
) -> None:
    from ivfusion_ros.commands import fuse

    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, np.full((48, 64), 90, np.uint8))
    output = tmp_path / "c.png"
    words = ["fuse", str(tmp_path / "a.png"), str(tmp_path / "b.png"), str(output)]
    words += ["--model", str(blend_model), "--backend", "onnxruntime"]

    def late(path, image, replace) -> None:
        output.write_bytes(b"the other's")
        write_image(path, image, replace)

    monkeypatch.setattr(fuse, "write_image", late)
    assert main(words) == 3
    assert "another process wrote it meanwhile" in capsys.readouterr().err
    assert output.read_bytes() == b"the other's"
    assert main([*words, "--force"]) == 0 and read_image(output).shape[:2] == (48, 64)
