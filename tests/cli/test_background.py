"""Uploads never keep a run: what is left at its end goes on in a process of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import Project
from tests.store.servers import SECRET, Server, http_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with http_server(tmp_path / "served") as started:
        yield started


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path).tiny()


def pending(project: Project) -> list[Path]:
    return [path for path in (project.cache / "pending").glob("*/*") if path.name != "warnings"]


def wait_until(condition: object, seconds: float = 60) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happens"
        time.sleep(0.05)


def uploading(project: Project) -> list[str]:
    """The command lines of processes that upload for this cache."""
    return [
        line
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if "trtbuild.store.later" in (line := read(path).replace("\0", " "))
        and str(project.root) in read(path.with_name("environ"))
    ]


def stored(server: Server) -> list[Path]:
    """What has been uploaded whole."""
    return [path for path in server.folder.rglob("[!.]*") if path.is_file()]


def read(path: Path) -> str:
    try:
        return path.read_bytes().decode(errors="replace")
    except OSError:
        return ""  # it has ended


def test_a_run_leaves_slow_uploads_to_another_process(project: Project, server: Server) -> None:
    server.now = "holding"  # a run that waited for its uploads would never end
    env = {"MARK": str(project.root), "TRTBUILD_REMOTE_TIMEOUT": "60s"}
    arguments = ("run", "tiny.yaml", "--json", "--only", "surgery")
    address = server.url.replace("//", f"//me:{SECRET}@")
    result = project.trtbuild(*arguments, "--remote", address, **env)
    assert result.code == 0
    assert "2 results go on being uploaded in the background" in result.err
    assert len(pending(project)) == 2
    (process,) = uploading(project)
    assert SECRET not in process
    assert stored(server) == []
    again = project.trtbuild(*arguments, "--remote", address, **env)
    assert set(again.verdicts().values()) == {"UP_TO_DATE"}
    server.now = "well"
    wait_until(lambda: not pending(project))
    wait_until(lambda: not uploading(project))
    other = Project(project.root / "other").tiny()
    restored = other.trtbuild(*arguments, "--only-cached", "--remote", server.url)
    assert set(restored.verdicts().values()) == {"RESTORED"}


def test_a_run_waits_as_long_as_it_is_told_to(project: Project, server: Server) -> None:
    env = {"TRTBUILD_REMOTE_WAIT": "60s"}
    result = project.trtbuild("run", "tiny.yaml", "--only", "export", "--remote", server.url, **env)
    assert (result.code, result.err) == (0, "")
    assert pending(project) == []


def test_what_failed_in_the_background_is_said_by_the_next_run(
    project: Project, server: Server
) -> None:
    server.now = "holding"
    env = {"MARK": str(project.root), "TRTBUILD_REMOTE_TIMEOUT": "60s"}
    run = ("run", "tiny.yaml", "--remote", server.url)
    first = project.trtbuild(*run, "--only", "export", **env)
    assert "1 result goes on being uploaded" in first.err
    server.now = "403"
    wait_until(lambda: not uploading(project))
    server.now = "well"
    second = project.trtbuild(*run, "--only", "surgery", TRTBUILD_REMOTE_WAIT="60s")
    assert "warning: remote cache http://127.0.0.1" in second.err
    assert "403" in second.err
    assert pending(project) == [], "it was tried again"
    third = project.trtbuild(*run, "--rebuild", "surgery", TRTBUILD_REMOTE_WAIT="60s")
    assert "403" not in third.err


def test_a_remote_that_takes_nothing_gets_no_process(project: Project, server: Server) -> None:
    server.now = "507"
    env = {"MARK": str(project.root), "TRTBUILD_REMOTE_WAIT": "20s"}
    result = project.trtbuild("run", "tiny.yaml", "--remote", server.url, **env)
    assert result.code == 0, result.err
    assert "not uploaded: the next run tries again" in result.err
    assert uploading(project) == []
