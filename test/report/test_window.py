"""The window: what it shows and obeys, by a display that remembers; and on a real one, by Xvfb."""

import os
import re
import shutil
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from ivfusion_ros.cli import main
from ivfusion_ros.errors import ConfigError
from ivfusion_ros.images.draw import triptych
from ivfusion_ros.report import window as window_module
from ivfusion_ros.report.window import Window
from ivfusion_ros.types import Detections, FusionResult

WIDTH, HEIGHT = 300, 200
HEADLESS = bool(re.search(r"GUI:\s+NONE", cv2.getBuildInformation()))
FUSED = (20, 200, 60)


def result(width: int = WIDTH, grey: int = 0) -> FusionResult:
    found = Detections(
        np.array([[60, 60, 200, 150]], np.float32), np.array([0.8], np.float32), np.array([0]), ("person",)
    )
    fused = np.full((HEIGHT, width, 3), FUSED, np.uint8)
    rgb = np.full((HEIGHT, width, 3), 90, np.uint8)
    return FusionResult(fused, np.full((HEIGHT, width), grey, np.uint8), rgb, 1, detections=found)


class Display:
    """OpenCV's windows, without one."""

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []
        self.keys: list[str] = []
        self.visible = 1.0
        self.destroyed = 0

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(window_module, "check_window", lambda: None)
        monkeypatch.setattr(window_module, "_LEAST_S", 0.0)
        monkeypatch.setattr(cv2, "namedWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
        monkeypatch.setattr(cv2, "imshow", lambda _, image: self.shown.append(image[..., ::-1].copy()))
        monkeypatch.setattr(cv2, "pollKey", lambda: ord(self.keys.pop(0)) if self.keys else -1)
        monkeypatch.setattr(cv2, "getWindowProperty", lambda *_: self.visible)
        monkeypatch.setattr(cv2, "destroyAllWindows", self._destroy)

    def _destroy(self) -> None:
        self.destroyed += 1


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> Display:
    display = Display()
    display.use(monkeypatch)
    return display


def test_keys_choose_what_is_shown(display: Display) -> None:
    one, plain = result(), triptych(replace(result(), detections=None))
    display.keys = list("31b0")
    with Window("street") as window:
        for _ in range(5):
            window.add(one)
    whole = triptych(one)
    expected = [whole, whole[:, 2 * WIDTH :], whole[:, :WIDTH], plain[:, :WIDTH], plain]
    assert len(display.shown) == len(expected) and display.destroyed == 1
    for shown, picture in zip(display.shown, expected, strict=True):
        np.testing.assert_array_equal(shown, picture)


@pytest.mark.parametrize("how", ["q", "\x1b", "cross"])
def test_who_closes_it_stops_nothing_else(display: Display, how: str) -> None:
    with Window("street") as window:
        window.add(result())
        display.visible, display.keys = (0.0, []) if how == "cross" else (1.0, [how])
        for _ in range(3):
            window.add(result())
    assert len(display.shown) == 2 and display.destroyed == 1


def test_wide_pictures_are_made_smaller_and_quick_ones_left_out(display: Display, monkeypatch) -> None:
    monkeypatch.setattr(window_module, "_LEAST_S", 60.0)
    with Window("street") as window:
        for _ in range(3):
            window.add(result(1000))
    assert [picture.shape for picture in display.shown] == [(107, 1600, 3)]


def test_a_replay_shows_its_results(display: Display, small_bag, blend_model, tmp_path) -> None:
    words = [str(small_bag), str(tmp_path / "fused.mcap"), "--model", str(blend_model), "--detector", ""]
    assert main(["replay", *words, "--backend", "onnxruntime", "--window"]) == 0
    assert [picture.shape for picture in display.shown] == [(64, 3 * 96, 3)] * 10
    assert display.destroyed == 1


def test_an_opencv_without_windows_is_told(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:                           NONE\n")
    with pytest.raises(
        ConfigError, match=r"opencv-python-headless, has none.*pip install opencv-python .*--web"
    ):
        Window("street")


def test_a_machine_without_a_display_is_told(monkeypatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "\n  GUI:   QT5\n")
    monkeypatch.setenv("DISPLAY", ":7654")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ConfigError, match=r"needs a display.*--web"):
        Window("street")


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from test_window import result
from ivfusion_ros.report import Window
with Window("street") as window:
    for _ in range(600):
        window.add(result())
        time.sleep(0.05)
"""


def screen(file: Path) -> np.ndarray:
    """(H, W, 3) RGB of Xvfb's memory, which has the form of xwd."""
    data = file.read_bytes()
    head = struct.unpack(">25I", data[:100])
    width, height, stride, colours = head[4], head[5], head[12], head[19]
    pixels = np.frombuffer(data, np.uint8, stride * height, head[0] + 12 * colours)
    return pixels.reshape(height, stride)[:, : 4 * width].reshape(height, width, 4)[..., 2::-1]


@pytest.mark.skipif(HEADLESS, reason="this OpenCV is headless")
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb")
def test_a_window_on_a_real_display(tmp_path) -> None:
    reading, writing = os.pipe()
    words = ["-displayfd", str(writing), "-screen", "0", "1280x800x24", "-fbdir", str(tmp_path)]
    server = subprocess.Popen(["Xvfb", *words], pass_fds=[writing], stderr=subprocess.DEVNULL)
    shows = None
    try:
        number = os.read(reading, 16).decode().strip()
        home = os.environ | {"DISPLAY": f":{number}", "HOME": str(tmp_path)}
        script = SCRIPT.format(tests=str(Path(__file__).parent))
        shows = subprocess.Popen([sys.executable, "-c", script], env=home, stderr=subprocess.DEVNULL)
        expected, end = triptych(result()), time.monotonic() + 60
        while True:
            assert time.monotonic() < end and shows.poll() is None
            time.sleep(0.2)
            seen = screen(tmp_path / "Xvfb_screen0")
            green = np.argwhere((seen == FUSED).all(axis=2))
            if len(green) > WIDTH * HEIGHT / 2:
                break
        bottom, right = green.max(axis=0)
        shown = seen[bottom - HEIGHT + 1 : bottom + 1, right - 3 * WIDTH + 1 : right + 1]
        assert abs(shown.astype(int) - expected).mean() < 1
    finally:
        for process in (shows, server):
            if process is not None:
                process.terminate()
                process.wait()
        os.close(reading)
        os.close(writing)
