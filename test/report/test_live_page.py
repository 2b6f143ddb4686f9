"""The live page: nothing while nobody looks, the newest frame only, and who may look."""

import json
import logging
import struct
import time
import urllib.error
import urllib.request

import cv2
import numpy as np
import pytest

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.report import live_server
from ivfusion_ros.report.live_frame import Look, composed, live_frame, look_of
from ivfusion_ros.report.live_server import LiveServer, parse_address
from ivfusion_ros.types import Detections, FusionResult

pytest.importorskip("starlette", reason="needs the extra web")
pytest.importorskip("uvicorn", reason="needs the extra web")
pytest.importorskip("jinja2", reason="needs jinja2")
client = pytest.importorskip("websockets.sync.client", reason="needs the extra web")

WIDTH, HEIGHT = 96, 64


def result(grey: int = 90) -> FusionResult:
    found = Detections(
        np.array([[10, 10, 40, 50]], np.float32), np.array([0.8], np.float32), np.array([0]), ("person",)
    )
    measured = np.full((HEIGHT, WIDTH), 310.15, np.float32)
    return FusionResult(
        np.full((HEIGHT, WIDTH, 3), grey, np.uint8),
        np.full((HEIGHT, WIDTH), 200, np.uint8),
        np.zeros((HEIGHT, WIDTH, 3), np.uint8),
        1,
        detections=found,
        measured=measured,
        timings_ms={"fuse": 3.0},
    )


@pytest.fixture
def server():
    with LiveServer(("127.0.0.1", 0), "a <b>street</b>", records=True) as server:
        yield server


def socket_of(server: LiveServer, **options):
    return client.connect(server.url.replace("http", "ws").replace("/?", "/live?").rstrip("/") + (
        "" if "?" in server.url else "/live"
    ), **options)  # fmt: skip


def unpack(frame: bytes) -> tuple[dict, np.ndarray]:
    (length,) = struct.unpack("<I", frame[:4])
    image = cv2.imdecode(np.frombuffer(frame[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    return json.loads(frame[4 : 4 + length]), image


def wait_for(condition) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def next_frame(line) -> bytes:
    while not (frame := line.recv(timeout=10)):
        line.send("{}")
    return frame


def test_a_picture_has_each_part_where_the_page_shows_it() -> None:
    picture = composed(result(), Look(0.25, 0.5))
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert (
        (picture[:, :24] == 200).all() and (picture[:, 24:48] == 0).all() and (picture[:, 48:] == 90).all()
    )
    assert (composed(result(), Look(0.0, 0.0)) == 90).all()
    content, image = unpack(live_frame(result(), Look(1.0, 1.0, (0.5, 0.5)), 5, {"drops": "none"}))
    assert content["cursor"] == "37.0 °C" and content["facts"]["drops"] == "none"
    assert content["boxes"][0]["class"] == "person" and abs(image.astype(int) - 200).max() <= 2


@pytest.mark.parametrize(
    "message",
    [
        {"first": "x"},
        {"first": float("nan"), "second": 2},
        {"cursor": [1]},
        {"cursor": ["a", 0]},
        {"cursor": 3},
    ],
)
def test_what_makes_no_sense_is_left_out(message) -> None:
    look = look_of(message)
    assert 0 <= look.first <= look.second <= 1 and look.cursor is None


def test_nothing_is_encoded_while_nobody_looks(server, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(live_server, "live_frame", lambda *words: made.append(words) or b"x")
    for _ in range(20):
        server.offer(result(), lambda: pytest.fail("nobody looks"))
    assert not server.watched and not made
    with socket_of(server) as line:
        wait_for(lambda: server.watched)
        line.send("{}")
        server.offer(result(), dict)
        assert next_frame(line) == b"x" and len(made) == 1
        # It has not asked again.
        for _ in range(20):
            server.offer(result(), dict)
        time.sleep(0.2)
        assert len(made) == 1
    wait_for(lambda: not server.watched)


def test_a_slow_browser_gets_the_newest_frame_and_holds_nobody_up(server) -> None:
    with socket_of(server) as line:
        wait_for(lambda: server.watched)
        for grey in range(200):
            server.offer(result(grey), dict)
        server.offer(result(222), dict)
        line.send('{"first": 0, "second": 0}')
        assert abs(unpack(next_frame(line))[1].astype(int) - 222).max() <= 2


def test_what_makes_no_sense_is_left_out_and_bytes_end_the_line(server, capfd, caplog) -> None:
    many = "1" + "0" * 400
    with socket_of(server) as line:
        wait_for(lambda: server.watched)
        for words in ("[" * 4000, f'{{"first": {many}, "cursor": [{many}, 0.5]}}'):
            line.send(words)
        server.offer(result(200), dict)
        assert unpack(next_frame(line))[1].mean() > 0
        line.send(b"\0\1")
        with pytest.raises(Exception, match="1003"):
            while True:
                line.recv(timeout=10)
    assert look_of({"first": int(many), "cursor": [0.5, float("nan")]}) == Look(0.0, 0.0)
    assert "Traceback" not in capfd.readouterr().err and not caplog.text


def test_commands_come_in_order_and_others_do_not(server) -> None:
    with socket_of(server) as line:
        for words in (
            '{"command": "stop"}',
            "no JSON",
            '{"command": "format disk"}',
            "[]",
            '{"command": "mark"}',
        ):
            line.send(words)
        taken: list[str] = []
        wait_for(lambda: taken.extend(server.take_commands()) or len(taken) == 2)
        assert taken == ["stop", "mark"]


def status_of(url: str, **headers: str) -> int:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            assert "script-src 'nonce-" in answer.headers["Content-Security-Policy"]
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


def test_other_sites_and_other_addresses_get_nothing(server) -> None:
    assert status_of(server.url) == 200
    assert status_of(server.url, Host="evil.example") == 403
    assert status_of(server.url + "docs") == 404 and status_of(server.url + "../etc/passwd") == 404
    with pytest.raises(Exception, match="403"), socket_of(server, origin="http://evil.example"):
        pass


def test_another_address_needs_its_token() -> None:
    with LiveServer(("0.0.0.0", 0), "street") as server:
        url = server.url.replace("0.0.0.0", "127.0.0.1")
        plain, _, token = url.partition("?token=")
        assert len(token) >= 20
        assert status_of(plain) == 403 and status_of(f"{plain}?token=x") == 403 and status_of(url) == 200
        with pytest.raises(Exception, match="403"), client.connect(plain.replace("http", "ws") + "live"):
            pass


def test_addresses_and_ports_in_use_are_told(server) -> None:
    assert parse_address("8080") == ("127.0.0.1", 8080)
    assert parse_address("[::1]:80") == ("::1", 80)
    for text in ("drive.mcap", "80x", "70000", "1" * 5000):
        with pytest.raises(ConfigError, match="expected PORT"):
            parse_address(text)
    for name in ("..", "../x", "a" * 70 + ".com", "a\0b"):
        with pytest.raises(ConfigError, match="cannot serve a page at"):
            LiveServer((name, 0), "nowhere")
    port = int(server.url.rpartition(":")[2].strip("/"))
    with pytest.raises(ConfigError, match="cannot serve"):
        LiveServer(("127.0.0.1", port), "again")


def test_the_page_in_a_browser(tab, server) -> None:
    tab.goto(server.url)
    assert tab.title() == "a <b>street</b>"
    wait_for(lambda: server.watched)

    def fed(condition: str) -> None:
        def look() -> bool:
            server.offer(result(), lambda: {"drops": "rgb_late 3"})
            tab.wait_for_timeout(20)
            return bool(tab.evaluate(condition))

        wait_for(look)

    fed("document.getElementById('facts').textContent.includes('rgb_late 3')")
    assert tab.text_content("#said") == "live" and tab.text_content("#found td") == "person"
    stage = tab.locator("#stage").bounding_box()
    tab.mouse.move(stage["x"] + 100, stage["y"] + 100)
    fed("document.getElementById('cursor').textContent === '37.0 °C'")
    tab.keyboard.press("3")
    fed("document.getElementById('fused').style.clipPath === 'inset(0px 0px 0px 0%)'")
    tab.click("text=mark this moment")
    wait_for(lambda: tab.wait_for_timeout(10) or server.take_commands() == ["mark"])


def test_the_logs_of_others_go_on() -> None:
    """A server's own configuration of logging would close every handler of the process."""

    class Closing(logging.Handler):
        closed = False

        def close(self) -> None:
            self.closed = True
            super().close()

    handler = Closing()
    with LiveServer(("127.0.0.1", 0), "street"):
        pass
    assert not handler.closed
