"""Cameras that send now: over HTTP and RTSP on loopback, and films that stand in for them."""

import json
import multiprocessing
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from ivfusion_ros.bags import BagReader, BagWriter
from ivfusion_ros.bags.messages import deserialize
from ivfusion_ros.cli import main
from ivfusion_ros.commands.live import Session
from ivfusion_ros.commands.live import said as line_of
from ivfusion_ros.config.parameters import make_config
from ivfusion_ros.config.pipeline import PipelineConfig
from ivfusion_ros.errors import ConfigError, ImageError
from ivfusion_ros.pipeline.build import build_pipeline
from ivfusion_ros.sources import camera as camera_module
from ivfusion_ros.sources.camera import LiveCamera, _opening
from ivfusion_ros.sources.live import LivePairs, parse_options
from ivfusion_ros.types import Frame, FramePair, FusionResult

RATE_HZ = 20
PLACES = {"thermal": "/dev/no_such_thermal", "rgb": "/dev/no_such_rgb"}


def send(target, format_: str, frames: int, **options: str) -> None:
    """Encode frames of H.264 into a file-like object or an address, at RATE_HZ."""
    with av.open(target, "w", format=format_, options=options) as container:
        stream = container.add_stream("libx264", rate=RATE_HZ)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "4"}
        for index in range(frames):
            pixels = np.full((48, 64, 3), 40 + index % 100, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="yuv420p")
            frame.pts = index
            container.mux(stream.encode(frame))
            time.sleep(1 / RATE_HZ)


class Handler(BaseHTTPRequestHandler):
    """/N sends N frames and ends."""

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        with suppress(OSError):
            send(self.wfile, "mpegts", int(self.path[1:]))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


def until(condition, seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def film(path: Path, frames: int = 6) -> str:
    with path.open("wb") as file:
        send(file, "matroska", frames)
    return str(path)


def test_two_streams_are_fused_and_recorded(server: str, tmp_path: Path, blend_model) -> None:
    bag, figures = tmp_path / "run.mcap", tmp_path / "run.json"
    words = ["--thermal", f"{server}/100000", "--rgb", f"{server}/100000", "--out", str(bag)]
    words += ["--model", str(blend_model), "--detector", "", "--backend", "onnxruntime", "--originals"]
    words += ["--set", "pairing.max_skew_ms=100", "--duration", "1", "--json", str(figures)]
    before_ns = time.time_ns()
    assert main(["live", *words]) == 0
    report = json.loads(figures.read_text())
    with BagReader(bag) as reader:
        counts = reader.message_counts
        frames = list(reader.frames(reader.choose_topics("/thermal/image_raw", "/rgb/image_raw")))
    assert report["pairs"] == counts["/fused/image_raw"] == counts["/rgb/image_raw"] > 3
    assert report["failed_pairs"] == {} and report["age_ms"]["median"] > 0
    assert report["cameras"]["thermal"]["reconnects"] == 0
    assert all(before_ns < frame.stamp_ns < time.time_ns() for _, frame in frames)
    assert {camera: frame.image.shape for camera, frame in frames} == {
        "thermal": (48, 64),
        "rgb": (48, 64, 3),
    }


def test_a_stream_that_ends_is_opened_again(server: str, monkeypatch) -> None:
    monkeypatch.setattr(camera_module, "FIRST_WAIT_S", 0.01)
    taken: list[Frame] = []
    camera = LiveCamera("rgb", f"{server}/60", lambda _, frame: taken.append(frame))
    until(lambda: camera.reconnects >= 1 and len(taken) > 60)
    camera.stop()
    count = len(taken)
    stamps = [frame.stamp_ns for frame in taken]
    assert stamps == sorted(stamps) and camera.frames == count
    time.sleep(0.2)
    assert len(taken) == count


def push(address: str) -> None:
    """Send by RTSP as soon as somebody listens."""
    for _ in range(200):
        with suppress(OSError):
            send(address, "rtsp", 100, rtsp_transport="tcp")
            return
        time.sleep(0.1)


def test_a_pushed_rtsp_stream() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"rtsp://127.0.0.1:{free.getsockname()[1]}/live"
    taken: list[Frame] = []
    options = {"rtsp_flags": "listen", "listen_timeout": "20"}
    camera = LiveCamera("thermal", address, lambda _, frame: taken.append(frame), options)
    # FFmpeg's RTSP sender keeps Python's lock while it connects, so it is a process of its own.
    sender = multiprocessing.get_context("spawn").Process(target=push, args=(address,), daemon=True)
    sender.start()
    try:
        until(lambda: len(taken) > 3, 60)
    finally:
        sender.kill()
        camera.stop()
    assert taken[0].image.shape == (48, 64)


def test_a_film_stands_in_for_a_camera_and_plays_again(tmp_path: Path) -> None:
    taken: list[Frame] = []
    camera = LiveCamera("rgb", film(tmp_path / "film.mkv"), lambda _, frame: taken.append(frame))
    until(lambda: len(taken) > 12)
    camera.stop()
    # It plays at its own pace, and no faster.
    between_ns = np.diff([frame.stamp_ns for frame in taken[:6]])
    assert np.median(between_ns) > 0.5e9 / RATE_HZ


def test_the_newest_pair_is_taken_first() -> None:
    pixels = np.zeros((4, 4), np.uint8)
    live = LivePairs(PipelineConfig(), PLACES, {})
    for index in range(5):
        for camera in ("thermal", "rgb"):
            live._add(camera, Frame(pixels, index * 100_000_000))
    pair = live.take(0.0)
    assert pair is not None and pair.rgb.stamp_ns >= 300_000_000
    assert live.superseded + 1 == live.synchronizer.pairer.pairs >= 4
    assert live.take(0.0) is None


def test_cameras_that_are_not_there_are_named(tmp_path: Path, blend_model, capsys) -> None:
    words = ["--thermal", PLACES["thermal"], "--rgb", "tcp://127.0.0.1:1"]
    words += ["--out", str(tmp_path / "run.mcap"), "--wait", "0.5"]
    words += ["--model", str(blend_model), "--detector", "", "--backend", "onnxruntime"]
    assert main(["live", *words]) == 7
    said = capsys.readouterr().err.splitlines()[-1]
    assert "thermal camera /dev/no_such_thermal: there is no such device" in said
    assert "rgb camera tcp://127.0.0.1:1: Connection refused" in said
    assert not (tmp_path / "run.mcap").exists()


def test_a_line_of_how_it_goes_says_what_a_camera_suffers_from() -> None:
    silent = {"frames": 0, "reconnects": 4, "trouble": "there is no such device"}
    fine = {"frames": 9, "reconnects": 0, "trouble": ""}
    figures = {"pairs": 0, "seconds": 10.0, "pairs_per_second": 0.0, "superseded": 0, "drops": {}}
    figures |= {"age_ms": {}, "memory_mib": [1.0], "cameras": {"thermal": silent, "rgb": fine}}
    assert (
        "thermal 0 frames, 4 reconnects (there is no such device), rgb 9 frames, 0 reconnects;"
        in line_of(figures)
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ["--rgb", "absent.mkv"],
            "rgb camera absent.mkv: there is no such file, expected a device, an address",
        ),
        (["--rgb", "gopher://x"], "rgb camera gopher://x: its scheme is gopher, expected one of rtsp"),
        (["--web", "99999"], "--web is '99999'"),
        (["--foxglove", "99999"], "--foxglove"),
    ],
)
def test_what_can_never_be_is_told_before_the_networks_load(
    change: list[str], expected: str, tmp_path: Path, capsys
) -> None:
    # It could not be loaded: that it is there is all that is looked at before.
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(b"no model")
    words = ["--thermal", "/dev/no_such_thermal", "--rgb", "/dev/no_such_rgb", "--model", str(damaged)]
    assert main(["live", *words, "--out", str(tmp_path / "run.mcap"), *change]) == 2
    assert expected in capsys.readouterr().err
    assert not (tmp_path / "run.mcap").exists()


def test_how_places_are_opened(tmp_path: Path) -> None:
    name, how = _opening("/dev/null", {"input_format": "gray16le"})
    assert name == "/dev/null" and how == {"format": "v4l2", "options": {"input_format": "gray16le"}}
    _, how = _opening("rtsp://camera/1", {"rtsp_transport": "udp"})
    assert how["options"]["rtsp_transport"] == "udp"
    assert "file" not in how["options"]["protocol_whitelist"]
    with pytest.raises(ImageError, match="its scheme is gopher"):
        _opening("gopher://x", {})


def test_options_of_ffmpeg() -> None:
    assert parse_options(["a=b", "c=d=e"], "--rgb-option") == {"a": "b", "c": "d=e"}
    for text in ("a", "=b"):
        with pytest.raises(ConfigError, match=r"--rgb-option is .*NAME=VALUE"):
            parse_options([text], "--rgb-option")
    assert main(["live", "--thermal", "a", "--rgb", "b", "--out", "c.mcap", "--duration", "-1"]) == 2


def test_the_page_stops_and_starts_the_recording(blend_model, tmp_path) -> None:
    class Page:
        """Somebody presses stop after two pairs, and start after four."""

        def __init__(self) -> None:
            self.offered: list[FusionResult] = []

        def offer(self, result: FusionResult, status) -> None:
            self.offered.append(result)
            assert status()["recording"].startswith("off" if 2 < len(self.offered) <= 4 else "on")

        def take_commands(self) -> list[str]:
            return {2: ["stop", "mark"], 4: ["start"]}.get(len(self.offered), [])

    pairs = [
        FramePair(Frame(np.full((48, 64), 30 * i, np.uint8), i), Frame(np.zeros((48, 64, 3), np.uint8), i))
        for i in range(1, 7)
    ]
    config = make_config(PipelineConfig, {"fusion.model": str(blend_model), "detection.model": ""})
    page = Page()
    live = LivePairs(config, {}, {})
    # A second Ctrl-C would not wait.
    live.take = lambda _: pairs.pop(0) if pairs else signal.raise_signal(signal.SIGINT)
    with build_pipeline(config) as pipeline, BagWriter(tmp_path / "run.mcap") as writer:
        session = Session(live, pipeline, writer, originals=False, page=page)
        session.run(60.0, None)
    assert len(page.offered) == 6 and session.report()["recorded"] == 4
    assert len(session.report()["marks_s"]) == 1
    with BagReader(tmp_path / "run.mcap") as reader:
        ((topic, _, data),) = reader.messages({"/marks"})
    mark = deserialize(data, topic.type)
    # Of the pair that was to be seen, though the recording paused.
    assert (mark.stamp.sec, mark.stamp.nanosec, mark.msg) == (0, 2, "mark 1")
