"""A real HTTP server on loopback that keeps files, and that can be told to misbehave."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Keeps files below `folder`; `now` is "well", an HTTP status, "slowly", "cutting", "lying"."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.now = "well"
        self.requests: list[str] = []

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Nothing: clients hang up on a server that misbehaves."""


class Handler(BaseHTTPRequestHandler):
    """Answers one client."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        self.answer(send=False)

    def do_GET(self) -> None:
        self.answer(send=True)

    def do_PUT(self) -> None:
        data = self.body()
        if self.misbehaves():
            return
        path = self.server.folder / self.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.reply(201, b"", send=True)

    def answer(self, *, send: bool) -> None:
        """Answer with a file, or with what stands for one."""
        if self.misbehaves():
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.reply(404, b"", send=send)
            return
        data = path.read_bytes()
        if self.server.now == "lying":
            data = bytes(len(data))
        if self.server.now == "cutting" and send:
            self.reply(200, data, send=False)
            self.wfile.write(data[: len(data) // 2])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.reply(200, data, send=send)

    def misbehaves(self) -> bool:
        """Whether the request was refused, or left without an answer."""
        self.server.requests.append(f"{self.command} {self.path}")
        now = self.server.now
        if now.isdigit():
            self.reply(int(now), b"", send=True)
        elif now == "slowly":
            time.sleep(1.5)
            self.close_connection = True
        return now.isdigit() or now == "slowly"

    def reply(self, status: int, data: bytes, *, send: bool) -> None:
        """Send a whole answer."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if send:
            self.wfile.write(data)

    def body(self) -> bytes:
        """What the client sent, in chunks or as one."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        data = b""
        while size := int(self.rfile.readline(), 16):
            data += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return data

    def log_message(self, *_: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def http_server(folder: Path) -> Iterator[Server]:
    """A server that runs until the end of the block."""
    server = Server(folder)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
