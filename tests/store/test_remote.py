"""A remote cache gives what it has; slow, full, refusing or lying it is a warning and a miss."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.entries import action, files_in, put
from tests.store.servers import SECRET, Server, http_server, s3_server, ssh_server
from trtbuild.errors import UsageError
from trtbuild.store.action_cache import Trace, encode_trace
from trtbuild.store.address import checked_url, safe_url, scrubbed
from trtbuild.store.digest import Digest, digest_of_bytes
from trtbuild.store.index import kin_of
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store
from trtbuild.store.upload import Uploader

DATA = {"engine.plan": os.urandom(300_000), "build.log": b"a log"}


class Machine:
    """A cache with a remote one behind it."""

    def __init__(self, root: Path, url: str, *, timeout: float = 5.0) -> None:
        self.store = Store(root)
        self.remote = Remote(url, read_only=False, timeout=timeout)
        self.store.use_remote(self.remote)

    def push(self, key: str) -> bool:
        return Uploader(self.store.root, self.store.cas, self.store.actions, self.remote).upload(
            key
        )

    def pull(self, key: str) -> bool:
        trace = self.store.find(key)
        return trace is not None and self.store.holds(trace) and self.store.obtain(key, trace)


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


def assert_exchanged(machines: Any, url: str) -> None:
    """What one machine pushes another restores, bytes and trace."""
    first, second = machines("first", url), machines("second", url)
    made = action(1, discovered=(("net.py", "sha256:b:1"),))
    key, trace = put(first.store, made, DATA)
    first.store.actions.record_discovered(action(1).key(), ("net.py",))
    assert second.store.find(key) is None
    assert first.push(key), first.remote.warnings
    third = machines("third", url)
    assert third.remote.discovered(action(1).key()) == (("net.py",),)
    assert third.pull(key), third.remote.warnings
    assert third.store.actions.lookup(key) == trace
    assert all(third.store.cas.verified(digest) for _, digest in trace.outputs)
    assert third.store.actions.discovered(action(1).key()) == (("net.py",),)
    assert [m.remote.warnings for m in (first, second, third)] == [[], [], []]


def test_a_folder_is_a_remote_cache(machines: Any, tmp_path: Path) -> None:
    assert_exchanged(machines, checked_url(str(tmp_path / "shared")))
    machine = machines("fourth", checked_url(str(tmp_path / "shared")))
    assert machine.remote.action_keys() == [action(1, discovered=(("net.py", "sha256:b:1"),)).key()]
    assert not [name for name in files_in(tmp_path / "shared") if name.endswith(".tmp")]


def test_an_http_server_is_a_remote_cache(machines: Any, server: Server) -> None:
    assert_exchanged(machines, f"{server.url}/team")


def test_an_s3_bucket_is_a_remote_cache(machines: Any, bucket: str) -> None:
    assert_exchanged(machines, bucket)
    listing = machines("fourth", bucket).remote
    assert len(listing.action_keys()) == 1
    assert listing.kin(kin_of(action(1).document())) == listing.action_keys()


def test_a_folder_behind_ssh_is_a_remote_cache(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_server(tmp_path / "home", monkeypatch) as address:
        url = f"{address}{tmp_path}/shared"
        assert_exchanged(machines, url)
        listing = machines("fourth", url).remote
        assert len(listing.action_keys()) == 1
        assert listing.kin(kin_of(action(1).document())) == listing.action_keys()
        assert not [name for name in files_in(tmp_path / "shared") if name.endswith(".tmp")]


def test_a_host_that_the_user_does_not_know_is_not_trusted(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_server(tmp_path / "home", monkeypatch) as address:
        (tmp_path / "home/.ssh/known_hosts").write_text("")
        machine = machines("first", f"{address}{tmp_path}/shared")
        key, _ = put(machine.store, action(1), DATA)
        assert not machine.push(key)
        assert machine.store.find(action(2).key()) is None
    assert "not found in known_hosts" in str(machine.remote.warnings)
    assert not (tmp_path / "shared").exists()


def test_ssh_takes_names_from_the_users_configuration(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ssh_server(tmp_path / "home", monkeypatch) as address:
        user, _, port = address.removeprefix("ssh://").replace("@", ":").split(":")
        ssh = tmp_path / "home/.ssh"
        (ssh / "id_ed25519").rename(ssh / "team")
        (ssh / "config").write_text(
            f"Host cache\n HostName 127.0.0.1\n Port {port}\n"
            f" User {user}\n IdentityFile ~/.ssh/team\n"
        )
        assert_exchanged(machines, f"ssh://cache{tmp_path}/shared")


def test_http_takes_credentials_from_the_address(machines: Any, server: Server) -> None:
    server.credentials = f"me:{SECRET}"
    assert_exchanged(machines, server.url.replace("//", f"//me:{SECRET}@"))
    refused = machines("refused", server.url)
    assert refused.store.find(action(1).key()) is None
    assert "401" in refused.remote.warnings[0]


def test_a_lookup_over_http_is_one_request(machines: Any, server: Server) -> None:
    machine = machines("first", server.url)
    assert machine.store.find(action(9).key()) is None
    assert len(server.requests) == 1


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
    first = machines("first", url)
    key, trace = put(first.store, action(1), DATA)
    assert first.push(key)
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
    first = machines("first", f"file://{server.folder}/engines/team")
    key, trace = put(first.store, action(1), DATA)
    assert first.push(key)
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
    first = machines("first", url)
    key, trace = put(first.store, action(1), DATA)
    assert first.push(key)
    second = machines("second", url, timeout=0.4)
    found = second.store.find(key)
    assert found == trace
    served.now = behaviour
    assert not second.store.obtain(key, found)
    assert files_in(second.store.root / "cas") == files_in(second.store.root / "tmp") == set()
    assert second.remote.warnings


def test_a_missing_file_is_a_miss_without_a_warning(machines: Any, server: Server) -> None:
    machine = machines("first", server.url)
    assert machine.store.find(action(9).key()) is None
    assert machine.remote.warnings == []


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


def served_trace(folder: Path, key: str, document: dict[str, Any]) -> None:
    """Put a trace of any content, rightly summed, where the remote has that key."""
    body = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    body = body.replace(b'"DEEP"', b"[" * 100_000 + b"]" * 100_000).replace(b'"NAN"', b"NaN")
    check = hashlib.sha256(body).hexdigest().encode()
    path = folder / "actions" / key[:2] / f"{key[2:]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(body[:-1] + b',"sha256":"' + check + b'"}')


HOSTILE: dict[str, Any] = {
    "a path upwards": {"outputs": [["../../.bashrc", "a" * 64, 4]]},
    "an absolute path": {"outputs": [["/etc/cron.d/x", "a" * 64, 4]]},
    "a hidden file": {"outputs": [[".trtbuild", "a" * 64, 4]]},
    "a file that the action does not make": {"outputs": [["other.plan", "a" * 64, 4]]},
    "one file twice": {"outputs": [["engine.plan", "a" * 64, 4], ["engine.plan", "b" * 64, 4]]},
    "a digest that is a path": {"outputs": [["engine.plan", "../" * 20 + "etcx", 4]]},
    "a digest in capitals": {"outputs": [["engine.plan", "A" * 64, 4]]},
    "a size below zero": {"outputs": [["engine.plan", "a" * 64, -1]]},
    "a name that is no text": {"outputs": [[7, "a" * 64, 4]]},
    "another action": {"action": action(2).document()},
    "another format": {"format": 99},
    "a list": {"action": []},
    "an action without tools": {"action": {"stage": "build", "outputs": [], "options": {}}},
    "tools that are no text": {"action": {**action(1).document(), "toolchain": {"onnx": 7}}},
    "commands to a terminal": {"action": {**action(1).document(), "stage": "\x1b[2J"}},
    "a time without end": {"seconds": 1e999},
    "half a character": {"action": {**action(1).document(), "options": {"x": "\ud800"}}},
    "lists in lists": {"action": {**action(1).document(), "options": {"x": "DEEP"}}},
    "no number": {"action": {**action(1).document(), "options": {"x": "NAN"}}},
}


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_trace_is_refused(machines: Any, tmp_path: Path, change: dict[str, Any]) -> None:
    key = action(1).key()
    _, whole = put(machines("other", "file:///nowhere").store, action(1), DATA)
    document = json.loads(encode_trace(whole))
    del document["sha256"]
    served_trace(tmp_path / "shared", key, document)
    assert machines("first", f"file://{tmp_path}/shared").store.find(key) == whole
    served_trace(tmp_path / "shared", key, {**document, **change})
    machine = machines("second", f"file://{tmp_path}/shared")
    assert machine.store.find(key) is None
    assert "damaged, or of another action" in machine.remote.warnings[0]


def test_what_a_hostile_trace_would_tell_a_terminal_is_not_told(
    machines: Any, tmp_path: Path
) -> None:
    key, whole = put(machines("other", "file:///nowhere").store, action(1), DATA)
    document = json.loads(encode_trace(whole))
    del document["sha256"]
    served_trace(tmp_path / "shared", key, {**document, "warnings": ["\x1b]0;owned\x07 é\n"]})
    found = machines("first", f"file://{tmp_path}/shared").store.find(key)
    assert found is not None
    assert found.warnings == ("\ufffd]0;owned\ufffd é\n",)


@pytest.mark.parametrize(
    "data",
    [
        b'[["a\\u0000b"]]',
        b'[["\\ud800"]]',
        b"[" * 100_000,
        b"[[[[1]]]]"[:-1],
        b'{"a": 1}',
        b"[7]",
        b"7",
        b"\xff",
    ],
)
def test_hostile_sets_of_files_are_none(data: bytes) -> None:
    from trtbuild.store.action_cache import decode_discovered

    assert decode_discovered(data) == ()


def test_more_sets_of_files_than_there_can_be_are_cut() -> None:
    from trtbuild.store.action_cache import DISCOVERED_SETS, decode_discovered

    assert len(decode_discovered(json.dumps([["a"]] * 10_000).encode())) == DISCOVERED_SETS


def test_sets_of_files_of_several_machines_are_all_kept(machines: Any, tmp_path: Path) -> None:
    url = f"file://{tmp_path}/shared"
    for name in ("first", "second"):
        machine = machines(name, url)
        made = action(1, discovered=((f"{name}.py", "sha256:b:1"),))
        key, _ = put(machine.store, made, DATA)
        machine.store.actions.record_discovered(action(1).key(), (f"{name}.py",))
        assert machine.push(key)
    found = machines("third", url).remote.discovered(action(1).key())
    assert found == (("second.py",), ("first.py",))


def test_wrong_bytes_in_the_remote_are_replaced_by_who_finds_them(
    machines: Any, tmp_path: Path
) -> None:
    url = f"file://{tmp_path}/shared"
    first = machines("first", url)
    key, trace = put(first.store, action(1), DATA)
    assert first.push(key)
    digest = dict(trace.outputs)["engine.plan"]
    blob = tmp_path / "shared/cas" / digest.hash[:2] / digest.hash[2:]
    blob.write_bytes(bytes(digest.size_bytes))
    second = machines("second", url)
    assert not second.pull(key)
    put(second.store, action(1), DATA)  # so it was made here
    assert second.push(key)
    assert machines("third", url).pull(key)


def test_a_trace_without_end_is_refused(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtbuild.store.remote.LARGEST_DOCUMENT", 1000)
    key = action(1).key()
    served_trace(tmp_path / "shared", key, {"format": 2, "x": "y" * 2000})
    machine = machines("first", f"file://{tmp_path}/shared")
    assert machine.store.find(key) is None
    assert "without end" in machine.remote.warnings[0]


def test_a_blob_that_is_longer_than_it_should_be_is_not_read_to_its_end(
    machines: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trtbuild.store.remote.CHUNK_BYTES", 1000)
    digest = digest_of_bytes(b"short")
    blob = tmp_path / "shared/cas" / digest.hash[:2] / digest.hash[2:]
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"short" + bytes(1_000_000))
    machine = machines("first", f"file://{tmp_path}/shared")
    assert not machine.remote.fetch(digest, tmp_path / "fetched")
    assert (tmp_path / "fetched").stat().st_size <= 1000


def test_a_link_in_a_shared_folder_gives_only_bytes_that_hash_right(
    machines: Any, tmp_path: Path
) -> None:
    digest = Digest("a" * 64, 5)
    blob = tmp_path / "shared/cas" / digest.hash[:2] / digest.hash[2:]
    blob.parent.mkdir(parents=True)
    (tmp_path / "private").write_bytes(b"12345")
    blob.symlink_to(tmp_path / "private")
    assert not machines("first", f"file://{tmp_path}/shared").remote.fetch(digest, tmp_path / "f")


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "simplecache::s3://bucket", "memory://x", "", "github://a:b@c/d"]
)
def test_other_addresses_are_refused(address: str) -> None:
    with pytest.raises(UsageError, match="no place for a remote cache"):
        checked_url(address)


def test_credentials_are_taken_out_of_addresses_and_messages() -> None:
    address = f"https://me:{SECRET}@cache.example/x?sig={SECRET}#{SECRET}"
    assert safe_url(address) == "https://cache.example/x"
    environment = {"AWS_SECRET_ACCESS_KEY": SECRET, "HOME": "/home/me"}
    message = f"403 for {address}\n header {SECRET}, in /home/me"
    assert (
        scrubbed(message, environment) == "403 for https://cache.example/x header ***, in /home/me"
    )


def test_nothing_that_is_stored_holds_the_address(machines: Any, tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    url = f"file://{tmp_path}/shared"
    machine = machines("first", url)
    key, trace = put(machine.store, action(1), DATA)
    machine.store.record(key, trace)
    assert machine.store.uploads_left(10) == 0
    for root in (machine.store.root, tmp_path / "shared"):
        for name in files_in(root):
            assert str(tmp_path).encode() not in (root / name).read_bytes()


def test_a_trace_keeps_its_meaning_through_its_document() -> None:
    from trtbuild.store.action_cache import decode_trace

    trace = Trace(action(1).document(), (("engine.plan", Digest("a" * 64, 4)),), 1.5, ("é",))
    data = encode_trace(trace)
    assert decode_trace(data) == trace
    for position in range(len(data)):
        flipped = data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]
        assert decode_trace(flipped) is None
