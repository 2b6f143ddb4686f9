"""An S3 on this machine's loopback, by moto, that fails as a busy one does."""

import os
import re
import socket
import struct
import threading
from collections import Counter
from contextlib import contextmanager
from urllib.request import Request, urlopen

import pytest

BUSY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


def busy(application, environ, start):
    """Too many requests."""
    start("503 Slow Down", [("Content-Type", "application/xml"), ("Content-Length", str(len(BUSY)))])
    return [BUSY]


def reset(application, environ, start):
    """The connection ends before an answer."""
    link = environ["werkzeug.socket"]
    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    link.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError


def cut(application, environ, start):
    """Half of the body comes, though its length is told."""
    body = b"".join(application(environ, start))
    return [body[: len(body) // 2]]


FAULTS = {"busy": busy, "reset": reset, "cut": cut}


class LoopbackS3:
    """endpoint: its URL. requests: by method and what it is about.

    every: a fault in each so many requests of a kind, by turns, 0 for none.
    broken: by method and pattern of paths, the fault that always comes. done: faults by name.
    """

    def __init__(self, application) -> None:
        self.endpoint = ""
        self.requests, self.done = Counter(), Counter()
        self.every, self.broken = 0, {}
        self._application, self._lock = application, threading.Lock()

    def __call__(self, environ, start):
        method, path, query = (environ[name] for name in ("REQUEST_METHOD", "PATH_INFO", "QUERY_STRING"))
        about = "list" if "list-type" in query else "object" if path.count("/") > 1 else "bucket"
        with self._lock:
            self.requests[f"{method} {about}"] += 1
            turn = self.requests[f"{method} {about}"]
            patterns = self.broken.get(method, {})
            fault = next((patterns[pattern] for pattern in patterns if re.search(pattern, path)), None)
            if self.every and turn % self.every == 0:
                names = [*FAULTS] if (method, about) == ("GET", "object") else ["busy", "reset"]
                fault = fault or names[turn // self.every % len(names)]
            if fault:
                self.done[fault] += 1
        return (FAULTS[fault] if fault else _well)(self._application, environ, start)


def _well(application, environ, start):
    return application(environ, start)


@contextmanager
def loopback_s3():
    """A server with an empty bucket `team`, which meanwhile the environment names to whatever asks for s3://."""
    pytest.importorskip("s3fs", reason="needs s3fs")
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    from werkzeug.serving import WSGIRequestHandler, make_server

    class Quiet(WSGIRequestHandler):
        def log(self, *_):
            pass

    served = LoopbackS3(moto.DomainDispatcherApplication(moto.create_backend_app))
    server = make_server("127.0.0.1", 0, served, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.endpoint = f"http://127.0.0.1:{server.port}"
    told = {
        "AWS_ENDPOINT_URL": served.endpoint,
        "AWS_ACCESS_KEY_ID": "one",
        "AWS_SECRET_ACCESS_KEY": "two",
        "AWS_DEFAULT_REGION": "us-east-1",
        # Of botocore within each of s3fs's five; its own five would wait for a minute in all.
        "AWS_MAX_ATTEMPTS": "2",
    }
    import fsspec

    # moto keeps what the server before held.
    urlopen(Request(f"{served.endpoint}/moto-api/reset", method="POST")).close()
    before = dict(os.environ)
    os.environ.update(told)
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    try:
        files.mkdir("team")
        yield served
    finally:
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        server.shutdown()
        server.server_close()
        os.environ.clear()
        os.environ.update(before)
