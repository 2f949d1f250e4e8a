"""A remote cache gives what it has: folders, HTTP, S3 and SSH; addresses and credentials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.store.entries import action, files_in, put
from tests.store.machines import DATA
from tests.store.servers import SECRET, Server, ssh_server
from trtbuild.errors import UsageError
from trtbuild.store.action_cache import Trace, encode_trace
from trtbuild.store.address import checked_url, safe_url, scrubbed
from trtbuild.store.digest import Digest
from trtbuild.store.index import kin_of


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


def test_a_missing_file_is_a_miss_without_a_warning(machines: Any, server: Server) -> None:
    machine = machines("first", server.url)
    assert machine.store.find(action(9).key()) is None
    assert machine.remote.warnings == []


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
