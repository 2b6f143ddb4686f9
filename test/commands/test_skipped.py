"""One damaged image of many costs itself, and the exit status says so; existing outputs ask for --force."""

import json

import numpy as np
import pytest

from ivfusion_ros.bags import BagReader
from ivfusion_ros.cli import main
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.video import VideoWriter


@pytest.fixture
def pairs(tmp_path, monkeypatch):
    """The working folder with pairs a, b and c, of which rgb/b.png is no image."""
    monkeypatch.chdir(tmp_path)
    for camera, shape in (("thermal", (64, 96)), ("rgb", (64, 96, 3))):
        (tmp_path / camera).mkdir()
        for index, name in enumerate("abc"):
            write_image(tmp_path / camera / f"{name}.png", np.full(shape, 50 * index, np.uint8))
    (tmp_path / "rgb" / "b.png").write_bytes(b"torn")
    return tmp_path


@pytest.fixture
def run(blend_model, box_model, capsys):
    """(status, standard error) of a command with the small models."""
    models = {"fuse": ["--model", blend_model], "detect": ["--detector", box_model]}

    def call(command, *words):
        backend = ["--backend", "onnxruntime"] if command in models else []
        status = main([command, *map(str, [*words, *models.get(command, []), *backend])])
        return status, capsys.readouterr().err

    return call


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_fuse_writes_the_others(pairs, run) -> None:
    status, said = run("fuse", "thermal", "rgb", "fused")
    assert status == 3 and "1 of 3 pairs were skipped; the first, b: rgb/b.png cannot be decoded" in said
    assert names(pairs / "fused") == ["a.png", "c.png"]


def test_detect_writes_the_others(pairs, run) -> None:
    status, said = run("detect", "rgb", "found")
    assert status == 3 and "1 of 3 images were skipped; the first, b.png" in said
    assert names(pairs / "found") == ["a.png", "c.png", "detections.json"]
    assert set(json.loads((pairs / "found" / "detections.json").read_text())) == {"a.png", "c.png"}


def test_record_writes_the_others_at_their_times(pairs, run) -> None:
    status, said = run("record", "thermal", "rgb", "bag.mcap", "--rate", "10")
    assert status == 3 and "1 of 6 frames were skipped" in said
    with BagReader(pairs / "bag.mcap") as reader:
        frames = list(reader.frames(reader.choose_topics()))
    stamps = [frame.stamp_ns for camera, frame in frames if camera == "rgb"]
    assert stamps == [1_000_000_000, 1_200_000_000]


def test_record_of_nothing_writes_nothing(pairs, run) -> None:
    for name in "ac":
        (pairs / "rgb" / f"{name}.png").write_bytes(b"torn")
    status, said = run("record", "thermal", "rgb", "bag.mcap", "--rate", "10")
    assert status == 3 and "3 of 6 frames were skipped" in said
    assert not (pairs / "bag.mcap").exists()


@pytest.mark.parametrize("rate", ["1e-320", "0", "-1", "nan", "inf", "1e9"])
def test_rates_that_no_camera_has(pairs, run, rate) -> None:
    status, said = run("record", "thermal", "rgb", "bag.mcap", "--rate", rate)
    assert status == 2 and "expected a frame rate of 0.001 to 10000 Hz" in said


def test_a_film_damaged_in_its_middle_gives_the_rest(pairs, run) -> None:
    random = np.random.default_rng(0)
    for name in ("t.mp4", "r.mp4"):
        with VideoWriter(pairs / name, 10) as film:
            for _ in range(40):
                film.write(random.integers(0, 256, (48, 64, 3), np.uint8))
    content = bytearray((pairs / "t.mp4").read_bytes())
    middle = len(content) // 2
    content[middle : middle + 20000] = random.bytes(20000)
    (pairs / "t.mp4").write_bytes(content)
    status, said = run("record", "t.mp4", "r.mp4", "bag.mcap")
    assert status == 3 and "t.mp4" in said.splitlines()[-1], said
    with BagReader(pairs / "bag.mcap") as reader:
        counts = reader.message_counts
    assert counts["/rgb/image_raw"] == 40 and 10 < counts["/thermal/image_raw"] < 40


@pytest.mark.parametrize("words", [("fuse", "thermal", "rgb", "out"), ("detect", "thermal", "out")])
def test_existing_outputs_ask_for_force(pairs, run, words) -> None:
    (pairs / "rgb" / "b.png").unlink()
    assert run(*words)[0] == 0
    (pairs / "out" / "a.png").write_bytes(b"precious")
    status, said = run(*words)
    assert status == 7 and "exist already" in said and "--force" in said
    assert (pairs / "out" / "a.png").read_bytes() == b"precious"
    assert run(*words, "--force")[0] == 0
    assert (pairs / "out" / "a.png").read_bytes() != b"precious"
