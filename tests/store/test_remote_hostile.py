"""A remote cache that lies is a warning and a miss."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from tests.store.entries import action, put
from tests.store.machines import DATA
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.store.action_cache import encode_trace
from trtbuild.store.digest import Digest, digest_of_bytes
from trtbuild.store.upload import Journal


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
    "a list of tools": {"action": {**action(1).document(), "toolchain": ["onnx"]}},
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


@pytest.mark.parametrize("by", ["the run", "a later process", "cache push"])
def test_wrong_bytes_in_the_remote_are_replaced_by_who_finds_them(
    machines: Any, tmp_path: Path, by: str
) -> None:
    url = f"file://{tmp_path}/shared"
    first = machines("first", url)
    key, trace = put(first.store, action(1), DATA)
    assert first.push(key)
    digest = dict(trace.outputs)["engine.plan"]
    blob = tmp_path / "shared/cas" / digest.hash[:2] / digest.hash[2:]
    blob.write_bytes(bytes(digest.size_bytes))
    second = machines("second", url)
    root = second.store.root
    assert not second.pull(key)
    put(second.store, action(1), DATA)  # so it was made here
    if by == "the run":
        assert second.push(key)
    elif by == "a later process":
        second.store.close()
        assert machines("second", url).push(key)
    else:
        second.store.close()
        push = ["cache", "push", "--remote", url, "--cache", str(root)]
        assert main(push) == ExitCode.DONE
    assert machines("third", url).pull(key)
    assert Journal(root, url).wrong() == set()


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
