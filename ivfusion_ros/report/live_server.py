"""The live page: serves the newest result to browsers, and never lets one of them slow the pipeline.

A browser asks for a frame when it has drawn the one before; what came in between it does not see. Nothing
is encoded while no browser looks. Two addresses exist: the page, and its WebSocket.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ivfusion_ros.errors import ConfigError
from ivfusion_ros.files import brief
from ivfusion_ros.report.live_frame import Look, live_frame, look_of
from ivfusion_ros.report.page import page_file, render_template

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from ivfusion_ros.types import FusionResult

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
COMMANDS = ("start", "stop", "mark")
"""What a browser may ask for of a recording."""
_LEAST_S = 1 / 17
"""Between frames of a browser: every one of a camera at 15 Hz, every second of one at 30 Hz."""
_STATUS_S = 0.5
_BEAT_S = 0.25
"""How often a waiting browser's connection is looked at."""
_MAX_MESSAGE = 4096
_MAX_BROWSERS = 8
_START_S = 10.0


class LiveServer:
    """Serves while in its `with` block. url: with the token, where there is one.

    records: its page has buttons for a recording, whose presses take_commands gives. Raises ConfigError
    where starlette, uvicorn or jinja2 are missing, or the address cannot be used.
    """

    def __init__(self, address: tuple[str, int], title: str, *, records: bool = False) -> None:
        self._host, port = address
        self._libraries = _libraries()
        self._title, self._records = title, records
        self._socket = _bound(self._host, port)
        self._port = self._socket.getsockname()[1]
        self._token = "" if self._host in LOOPBACK else secrets.token_urlsafe(18)
        self._waiting: set[asyncio.Event] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._commands: deque[str] = deque(maxlen=64)
        self._newest: FusionResult | None = None
        self._number = 0
        self._status: dict[str, str] = {}
        self._status_s = 0.0
        self._server: Any = None
        self._thread = threading.Thread(target=self._serve, name="live page", daemon=True)

    @property
    def url(self) -> str:
        """Where a browser finds the page."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        query = f"/?token={self._token}" if self._token else "/"
        return f"http://{host}:{self._port}{query}"

    def _elsewhere(self) -> str:
        """What others put in place of an address that stands for all of this machine."""
        if self._host not in ("0.0.0.0", "::"):
            return ""
        return f"; from another machine with this one's name or address in place of {self._host}"

    @property
    def watched(self) -> bool:
        """Whether a browser looks now."""
        return bool(self._waiting)

    def offer(self, result: FusionResult, status: Callable[[], Mapping[str, str]]) -> None:
        """Take the newest result, at no cost while nobody looks. status: what is written beside it."""
        if not self.watched:
            # Nor is an old one kept for who comes later.
            self._newest = None
            return
        now_s = time.monotonic()
        if now_s - self._status_s >= _STATUS_S:
            self._status, self._status_s = dict(status()), now_s
        self._newest = result
        self._number += 1
        if self._loop is not None:
            # It may have ended just now, with nobody left to wake.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._wake)

    def take_commands(self) -> list[str]:
        """Those of COMMANDS that browsers asked for since the last call, in order."""
        taken = []
        with suppress(IndexError):
            while True:
                taken.append(self._commands.popleft())
        return taken

    def __enter__(self) -> LiveServer:
        uvicorn = self._libraries["uvicorn"]
        config = uvicorn.Config(
            self._app(),
            # Its own configuration would close the handlers that others have, and what they write to.
            log_config=None,
            log_level="error",
            access_log=False,
            lifespan="off",
            server_header=False,
            # Of pictures that are compressed already.
            ws_per_message_deflate=False,
            ws_max_size=_MAX_MESSAGE,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread.start()
        end_s = time.monotonic() + _START_S
        while not self._server.started and time.monotonic() < end_s and self._thread.is_alive():
            time.sleep(0.01)
        log.info("live page: %s%s", self.url, self._elsewhere())
        if self._token:
            log.warning("who has this address sees the cameras; traffic is not encrypted")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(_START_S)
        self._socket.close()

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._socket])

        asyncio.run(serve())

    def _wake(self) -> None:
        for came in self._waiting:
            came.set()

    def _app(self) -> Any:
        starlette = self._libraries
        routes = [
            starlette["Route"]("/", self._page, methods=["GET"]),
            starlette["WebSocketRoute"]("/live", self._live),
        ]
        return starlette["Starlette"](routes=routes)

    def _allowed(self, connection: Any) -> bool:
        """Whether it is for this server by name, which other sites' pages cannot fake, with the token."""
        host = connection.headers.get("host", "")
        name = host.rpartition(":")[0].strip("[]") if not host.endswith("]") else host.strip("[]")
        origin = connection.headers.get("origin")
        if (not self._token and name not in LOOPBACK) or (
            origin is not None and origin != f"http://{host}"
        ):
            return False
        given = connection.query_params.get("token", "")
        return not self._token or secrets.compare_digest(given.encode(), self._token.encode())

    async def _page(self, request: Any) -> Any:
        response = self._libraries["HTMLResponse"]
        if not self._allowed(request):
            return response("This address needs its token, which ivfusion printed.\n", status_code=403)
        nonce = secrets.token_urlsafe(12)
        policy = (
            f"default-src 'none'; img-src blob:; connect-src 'self'; style-src 'nonce-{nonce}'; "
            f"script-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        content = render_template(
            "live.html",
            title=self._title,
            records=self._records,
            shot_count=0,
            nonce=nonce,
            style=page_file("viewer.css"),
            script=page_file("viewer.js") + page_file("live.js"),
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return response(content, headers=headers)

    async def _live(self, browser: Any) -> None:
        if not self._allowed(browser) or len(self._waiting) >= _MAX_BROWSERS:
            await browser.close(1008)
            return
        await browser.accept()
        came = asyncio.Event()
        self._waiting.add(came)
        try:
            await self._feed(browser, came)
        except (self._libraries["WebSocketDisconnect"], RuntimeError):
            # The browser has gone, maybe in the middle of a frame.
            log.debug("a browser left the live page")
        finally:
            self._waiting.discard(came)

    async def _feed(self, browser: Any, came: asyncio.Event) -> None:
        """A frame for each message that asks for one, when there is a newer one than the last."""
        seen, sent_s = self._number, 0.0
        while True:
            try:
                look = self._take(await browser.receive_text())
            except KeyError:
                # Bytes, which the page never sends.
                await browser.close(1003)
                return
            if look is None:
                continue
            await asyncio.sleep(sent_s + _LEAST_S - time.monotonic())
            if self._number == seen:
                came.clear()
                with suppress(TimeoutError, asyncio.TimeoutError):
                    await asyncio.wait_for(came.wait(), _BEAT_S)
            result = self._newest
            if result is None or self._number == seen:
                # It asks again at once, with what it shows then; and one that has gone is noticed.
                await browser.send_bytes(b"")
                continue
            seen = self._number
            sent_s = time.monotonic()
            # In this thread, which has nothing else to do: a millisecond of a picture.
            await browser.send_bytes(live_frame(result, look, seen, self._status))

    def _take(self, text: str) -> Look | None:
        """What a browser shows, where it asks for a frame; a command is kept for who records."""
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(message, dict):
            return None
        command = message.get("command")
        if command is None:
            return look_of(message)
        if self._records and command in COMMANDS:
            self._commands.append(command)
        return None


def parse_address(text: str) -> tuple[str, int]:
    """PORT or HOST:PORT. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or len(port) > 5 or int(port) > 65535:
        raise ConfigError(
            f"--web is {brief(text)}, expected PORT or HOST:PORT, for example 8080 or 0.0.0.0:8080"
        )
    return host.strip("[]") or LOOPBACK[0], int(port)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except (OSError, ValueError) as error:
        # Of a name that no host can have, its encoding says so.
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"cannot serve a page at {brief(host)}:{port}: {reason}; give another one, --web PORT"
        ) from error
    return bound


def _libraries() -> dict[str, Any]:
    """Imported here: only this page needs them."""
    try:
        import jinja2  # noqa: F401
        import uvicorn
        import websockets  # noqa: F401
        from starlette.applications import Starlette
        from starlette.responses import HTMLResponse
        from starlette.routing import Route, WebSocketRoute
        from starlette.websockets import WebSocketDisconnect
    except ImportError as error:
        raise ConfigError(
            f"a live page needs starlette, uvicorn and websockets ({error}): pip install "
            "'ivfusion_ros[web]', or starlette uvicorn websockets jinja2"
        ) from error
    return {
        "uvicorn": uvicorn,
        "Starlette": Starlette,
        "HTMLResponse": HTMLResponse,
        "Route": Route,
        "WebSocketRoute": WebSocketRoute,
        "WebSocketDisconnect": WebSocketDisconnect,
    }
