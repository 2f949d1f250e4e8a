from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.machines import Machine
from tests.store.servers import Server, http_server, s3_server


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Any]:
    """Makes machines, and closes their caches at the end."""
    made: list[Machine] = []

    def make(name: str, url: str, **options: Any) -> Machine:
        made.append(Machine(tmp_path / name, url, **options))
        return made[-1]

    yield make
    for machine in made:
        machine.store.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """An HTTP server with a folder of its own."""
    with http_server(tmp_path / "served") as started:
        yield started


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket of a real S3 server."""
    pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    with s3_server(monkeypatch) as address:
        yield address
