"""Real servers on loopback that keep files; the one of HTTP can be told to misbehave."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

CHUNK_BYTES = 256 << 10
SECRET = "hunter2-is-secret"  # noqa: S105 - what must not be seen


class Server(ThreadingHTTPServer):
    """Keeps files below `folder`.

    `now` is "well", an HTTP status, "slowly" (no answer), "holding" (what is put waits until that
    changes), "steadily" (2 MB a second), "cutting" or "lying".
    With `credentials` ("user:password") it wants them. It knows nothing of ranges.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.now = "well"
        self.credentials = ""
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
        path = self.server.folder / self.path.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        while self.server.now == "holding":
            time.sleep(0.02)
        unfinished = path.with_name(f".{threading.get_ident()}.tmp")
        try:
            with unfinished.open("wb") as file:
                for data in self.body():
                    file.write(data)
                    self.pace(data)
            if not self.misbehaves():
                unfinished.rename(path)
                self.reply(201, b"", send=True)
        finally:
            unfinished.unlink(missing_ok=True)

    def answer(self, *, send: bool) -> None:
        """Answer with a file, or with what stands for one."""
        if self.misbehaves():
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.reply(404, b"", send=send)
            return
        size = path.stat().st_size
        self.send_response(200)
        self.send_header("Content-Length", str(size))
        self.end_headers()
        if not send:
            return
        left = size // 2 if self.server.now == "cutting" else size
        with path.open("rb") as file:
            while data := file.read(min(left, CHUNK_BYTES)):
                left -= len(data)
                self.wfile.write(bytes(len(data)) if self.server.now == "lying" else data)
                self.pace(data)
        if self.server.now == "cutting":
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()

    def pace(self, data: bytes) -> None:
        """Take the time that so many bytes take."""
        if self.server.now == "steadily":
            time.sleep(len(data) / 2_000_000)

    def misbehaves(self) -> bool:
        """Whether the request was refused, or left without an answer."""
        self.server.requests.append(f"{self.command} {self.path}")
        now = self.server.now
        wanted = self.server.credentials
        if (
            wanted
            and self.headers.get("Authorization") != f"Basic {b64encode(wanted.encode()).decode()}"
        ):
            self.reply(401, b"", send=True)
            return True
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

    def body(self) -> Iterator[bytes]:
        """What the client sends, in chunks or as one."""
        if self.headers.get("Transfer-Encoding") != "chunked":
            left = int(self.headers["Content-Length"])
            while data := self.rfile.read(min(left, CHUNK_BYTES)):
                left -= len(data)
                yield data
            return
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

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


@contextlib.contextmanager
def s3_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a bucket of a real S3 server, in a process of its own; the environment says
    where that is, and with which credentials."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(free_port())]
    with running(command, port := int(command[-1])):
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-id")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        import boto3

        client = boto3.client("s3")
        client.create_bucket(Bucket="engines")
        client.close()
        yield "s3://engines/team"


@contextlib.contextmanager
def ssh_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a real sshd for this user, who has a key and knows the host, in `home`."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    keygen = shutil.which("ssh-keygen")
    if sshd is None or keygen is None:
        pytest.skip("there is no sshd (Debian: openssh-server)")
    pytest.importorskip("paramiko")
    ssh = home / ".ssh"
    ssh.mkdir(parents=True, mode=0o700)
    for name in ("host", "id_ed25519"):
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", ssh / name], check=True)
    (ssh / "authorized_keys").write_text((ssh / "id_ed25519.pub").read_text())
    port = free_port()
    kind, key, *_ = (ssh / "host.pub").read_text().split()
    (ssh / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    settings = {
        "ListenAddress": "127.0.0.1",
        "Port": str(port),
        "HostKey": str(ssh / "host"),
        "AuthorizedKeysFile": str(ssh / "authorized_keys"),
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "UsePAM": "no",
        "PidFile": "none",
        "Subsystem": "sftp internal-sftp",
    }
    options = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
    monkeypatch.setenv("HOME", str(home))
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd as root drops its privileges
    with running([sshd, "-D", "-f", "/dev/null", *options], port):
        user = pwd.getpwuid(os.geteuid()).pw_name
        yield f"ssh://{user}@127.0.0.1:{port}"


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """A server that answers at a port of loopback until the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            assert process.poll() is None, f"{command[0]} ended with {process.returncode}"
            assert time.monotonic() < deadline, f"{command[0]} does not answer"
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """A port of loopback that nothing listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
