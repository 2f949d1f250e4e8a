"""Engines of any size: a few MiB of one are in memory at once, however it is moved."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.entries import action, put
from tests.store.servers import http_server, s3_server, ssh_server
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store
from trtbuild.store.upload import Uploader

MOST_MIB = 200
SIZE = 420 << 20
"""More than twice what may be in memory, libraries included."""


def peak_mib(url: str, folder: Path, size: int = SIZE) -> int:
    command = [sys.executable, "-m", "tests.store.mover", url, str(folder), str(size)]
    process = subprocess.run(
        command, capture_output=True, text=True, cwd=Path(__file__).parents[2], timeout=280
    )
    assert process.returncode == 0, process.stderr
    return int(process.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["file", "http", "s3", "ssh"])
def test_memory_stays_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    if kind == "file":
        assert peak_mib(f"file://{tmp_path}/shared", tmp_path) < MOST_MIB
    elif kind == "http":
        with http_server(tmp_path / "served") as server:
            assert peak_mib(server.url, tmp_path) < MOST_MIB
    elif kind == "s3":
        with s3_server(monkeypatch) as url:
            assert peak_mib(url, tmp_path) < MOST_MIB
    else:
        with ssh_server(tmp_path / "home", monkeypatch) as address:
            assert peak_mib(f"{address}{tmp_path}/shared", tmp_path, SIZE // 2) < MOST_MIB


def test_a_transfer_may_take_longer_than_an_answer(tmp_path: Path) -> None:
    """What moves is waited for: an engine takes longer than the time limit of one answer."""
    content = {"engine.plan": bytes(6_000_000)}
    with http_server(tmp_path / "served") as server:
        server.now = "steadily"  # three seconds
        first, second = Store(tmp_path / "first"), Store(tmp_path / "second")
        remote = Remote(server.url, read_only=False, timeout=0.5)
        first.use_remote(remote)
        key, trace = put(first, action(1), content)
        assert Uploader(first.root, first.cas, first.actions, remote).upload(key), remote.warnings
        second.use_remote(Remote(server.url, read_only=True, timeout=0.5))
        assert second.find(key) == trace
        assert second.obtain(key, trace), second.remote and second.remote.warnings
        first.close()
        second.close()
