"""Ctrl-C and SIGTERM: what is done is kept or cleaned up, and the exit status is 130."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.cli import main
from ivfusion_ros.commands.interruption import held_back
from ivfusion_ros.evaluation.fusion.journal import Journal
from ivfusion_ros.images.files import write_image
from ivfusion_ros.images.video import VideoReader

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a shell's foreground job, and afterwards those from before."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def interrupt(monkeypatch):
    """Have the writing of the third message of a kind send a signal, so many times."""

    def arrange(method: str, number: signal.Signals, times: int = 1) -> None:
        write, calls = getattr(BagWriter, method), []

        def then_interrupt(self, *arguments) -> None:
            calls.append(arguments)
            write(self, *arguments)
            if len(calls) == 3:
                for _ in range(times):
                    os.kill(os.getpid(), number)

        monkeypatch.setattr(BagWriter, method, then_interrupt)

    return arrange


@pytest.mark.parametrize("number", SIGNALS)
def test_a_replay_keeps_what_is_done(small_bag, blend_model, tmp_path, capsys, interrupt, number) -> None:
    interrupt("write_result", number)
    out, figures, film = tmp_path / "out.mcap", tmp_path / "figures.json", tmp_path / "film.mp4"
    words = ["replay", small_bag, out, "--model", blend_model, "--detector", "", "--backend", "onnxruntime"]
    assert main([str(word) for word in (*words, "--json", figures, "--video", film)]) == 130
    report = json.loads(figures.read_text())
    assert report["interrupted"] and 3 <= report["pairs"] < 10
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"ivfusion replay: interrupted; {out} has the {report['pairs']} pairs up to then"
    with BagReader(out) as reader:
        assert len(list(reader.messages(["/fused/image_raw"]))) == report["pairs"]
        assert reader.losses == []
    with VideoReader(film) as video:
        assert len(list(video)) == report["pairs"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["figures.json", "film.mp4", "out.mcap"]


@pytest.mark.parametrize("number", SIGNALS)
def test_the_second_signal_ends_a_replay_at_once(
    small_bag, blend_model, tmp_path, capsys, interrupt, number
) -> None:
    interrupt("write_result", number, times=2)
    words = ["replay", small_bag, tmp_path / "out.mcap", "--model", blend_model, "--detector", ""]
    assert main([str(word) for word in (*words, "--video", tmp_path / "film.mp4")]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "ivfusion replay: interrupted"
    assert list(tmp_path.iterdir()) == []


def test_sigterm_leaves_nothing_half_done(small_bag, tmp_path: Path, capsys, interrupt) -> None:
    import cv2
    import numpy as np

    for camera in ("thermal", "rgb"):
        (tmp_path / camera).mkdir()
        for index in range(4):
            cv2.imwrite(str(tmp_path / camera / f"{index}.png"), np.zeros((8, 8), np.uint8))
    interrupt("write_frame", signal.SIGTERM)
    words = ["record", tmp_path / "thermal", tmp_path / "rgb", tmp_path / "out.mcap", "--rate", "5"]
    assert main([str(word) for word in words]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "ivfusion record: interrupted"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rgb", "thermal"]


def test_ctrl_c_while_a_command_is_imported(monkeypatch, capsys) -> None:
    def interrupted(_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ivfusion_ros.cli.importlib.import_module", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err == "ivfusion doctor: interrupted\n"


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with held_back() as stopped:
        os.kill(os.getpid(), signal.SIGINT)
        assert not stopped.is_set()
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_an_evaluation_that_is_stopped_says_that_the_same_command_goes_on(
    tmp_path, monkeypatch, capsys
) -> None:
    for camera, shape in (("thermal", (64, 80)), ("rgb", (64, 80, 3))):
        (tmp_path / camera).mkdir()
        for index in range(4):
            image = np.random.default_rng(index).integers(0, 256, shape).astype(np.uint8)
            write_image(tmp_path / camera / f"{index}.png", image)
    out, add = tmp_path / "out", Journal.add
    words = ["eval", "--data", str(tmp_path), "--out", str(out), "--fused", f"a={tmp_path / 'rgb'}"]
    words += ["--metrics", "EN", "--jobs", "1"]

    def then_interrupt(self, *arguments) -> None:
        add(self, *arguments)
        os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "add", then_interrupt)
        assert main(words) == 130
    assert f"what is done is kept in {out}; the same command goes on" in capsys.readouterr().err
    assert len((out / "scores.jsonl").read_text().splitlines()) == 1
    assert main(words) == 0
    assert len((out / "scores.jsonl").read_text().splitlines()) == 4
