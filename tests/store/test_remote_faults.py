"""A remote cache that is slow, full or refusing is a warning and a miss."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.store.entries import action, files_in, put
from tests.store.machines import DATA
from tests.store.servers import SECRET, Server


def test_a_refusing_s3_is_a_warning_without_credentials(machines: Any, bucket: str) -> None:
    machine = machines("first", bucket.replace("engines", "no-such-bucket"))
    key, _ = put(machine.store, action(1), DATA)
    assert not machine.push(key)
    assert machine.remote.warnings
    assert SECRET not in str(machine.remote.warnings)


@pytest.mark.parametrize("behaviour", ["403", "500", "503", "slowly", "cutting", "lying"])
def test_a_remote_that_misbehaves_is_a_warning_and_a_miss(
    machines: Any, server: Server, behaviour: str
) -> None:
    url, served = server.url, server
    key, trace = machines("first", url).stocked()
    second = machines("second", url, timeout=0.4)
    served.now = behaviour
    begun = time.monotonic()
    assert not second.pull(key)
    assert time.monotonic() - begun < 3
    assert second.remote.warnings
    assert second.store.actions.lookup(key) is None
    assert not any(second.store.cas.has(digest) for _, digest in trace.outputs)
    served.now = "well"
    assert machines("third", url).pull(key)


@pytest.mark.parametrize(
    "behaviour", ["403", "404", "500", "503", "slowly", "cutting", "lying", "gone"]
)
def test_an_s3_that_misbehaves_is_a_miss_in_bounded_time(
    machines: Any, server: Server, monkeypatch: pytest.MonkeyPatch, behaviour: str
) -> None:
    """To a client that only reads, a server of files is one of S3."""
    pytest.importorskip("s3fs")
    key, trace = machines("first", f"file://{server.folder}/engines/team").stocked()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing-id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
    assert machines("whole", "s3://engines/team").pull(key)
    second = machines("second", "s3://engines/team", timeout=1.0)
    server.now = behaviour
    if behaviour == "gone":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    begun = time.monotonic()
    assert not second.pull(key)
    assert time.monotonic() - begun < 4
    assert bool(second.remote.warnings) == (behaviour != "404")
    assert SECRET not in str(second.remote.warnings)
    assert not any(second.store.cas.has(digest) for _, digest in trace.outputs)


@pytest.mark.parametrize("behaviour", ["lying", "cutting", "slowly"])
def test_blobs_that_are_wrong_are_thrown_away_when_the_trace_was_right(
    machines: Any, server: Server, behaviour: str
) -> None:
    url, served = server.url, server
    key, trace = machines("first", url).stocked()
    second = machines("second", url, timeout=0.4)
    found = second.store.find(key)
    assert found == trace
    served.now = behaviour
    assert not second.store.obtain(key, found)
    assert files_in(second.store.root / "cas") == files_in(second.store.root / "tmp") == set()
    assert second.remote.warnings


def test_a_remote_that_failed_often_is_not_asked_again(machines: Any, server: Server) -> None:
    url, served = server.url, server
    served.now = "500"
    machine = machines("first", url)
    for number in range(10):
        assert machine.store.find(action(number).key()) is None
    assert len(served.requests) < 10
    assert "not asked any more" in machine.remote.warnings[-1]


@pytest.mark.parametrize("behaviour", ["507", "403", "slowly"])
def test_a_remote_that_takes_nothing_does_not_keep_a_run_waiting(
    machines: Any, server: Server, behaviour: str
) -> None:
    url, served = server.url, server
    served.now = behaviour
    machine = machines("first", url, timeout=0.4)
    keys = []
    begun = time.monotonic()
    for number in range(3):
        key, trace = put(machine.store, action(number), {"engine.plan": bytes([number])})
        machine.store.record(key, trace)
        keys.append(key)
    assert time.monotonic() - begun < 1, "recording does not wait for the upload"
    assert machine.store.uploads_left(2) == 3
    assert time.monotonic() - begun < 4
    served.now = "well"
    again = machines("first", url)  # the next run takes up what was left
    key, trace = put(again.store, action(7), {"engine.plan": b"next"})
    again.store.record(key, trace)
    assert again.store.uploads_left(10) == 0
    reader = machines("reader", url)
    assert all(reader.pull(key) for key in keys)
