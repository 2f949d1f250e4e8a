"""A digest names bytes, and only those are served."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from trtbuild.errors import StoreError
from trtbuild.store import cas
from trtbuild.store.digest import Digest, canonical_json, digest_of_bytes, digest_of_file
from trtbuild.store.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in a folder of its own."""
    return Store(tmp_path / "cache")


def stored(store: Store, tmp_path: Path, data: bytes) -> Digest:
    """Put some bytes into the store."""
    file = tmp_path / "made"
    file.write_bytes(data)
    return store.cas.adopt(file)


def test_a_stored_file_comes_back(store: Store, tmp_path: Path) -> None:
    digest = stored(store, tmp_path, b"engine")
    assert digest == digest_of_bytes(b"engine")
    assert not (tmp_path / "made").exists()
    assert store.cas.materialise(digest, tmp_path / "out" / "engine.plan")
    assert (tmp_path / "out" / "engine.plan").read_bytes() == b"engine"


def test_a_blob_is_read_only_and_its_copy_is_not(store: Store, tmp_path: Path) -> None:
    digest = stored(store, tmp_path, b"engine")
    store.cas.materialise(digest, tmp_path / "copy")
    assert stat.S_IMODE(store.cas.path(digest).stat().st_mode) == 0o444
    (tmp_path / "copy").write_bytes(b"changed by its owner")
    assert store.cas.path(digest).read_bytes() == b"engine"


@pytest.mark.parametrize("data", [b"enginx", b"eng", b"", b"engine!"])
def test_a_tampered_blob_is_dropped_and_not_served(
    store: Store, tmp_path: Path, data: bytes
) -> None:
    digest = stored(store, tmp_path, b"engine")
    blob = store.cas.path(digest)
    blob.chmod(0o644)
    blob.write_bytes(data)
    assert not store.cas.materialise(digest, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    assert not blob.exists()


def test_a_damaged_blob_is_replaced_when_the_same_bytes_are_stored(
    store: Store, tmp_path: Path
) -> None:
    digest = stored(store, tmp_path, b"engine")
    store.cas.path(digest).chmod(0o644)
    store.cas.path(digest).write_bytes(b"enginx")
    assert stored(store, tmp_path, b"engine") == digest
    assert store.cas.path(digest).read_bytes() == b"engine"


def test_a_destination_that_cannot_be_written_is_named(store: Store, tmp_path: Path) -> None:
    digest = stored(store, tmp_path, b"engine")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        store.cas.materialise(digest, tmp_path / "file" / "engine.plan")
    assert "file/engine.plan" in str(caught.value)
    assert "move it away" in caught.value.hint


def test_a_failed_copy_leaves_the_earlier_file_and_nothing_else(
    store: Store, tmp_path: Path
) -> None:
    digest = stored(store, tmp_path, b"new engine")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "engine.plan").mkdir()  # rename onto a folder fails, as on any error at the end
    with pytest.raises(StoreError):
        store.cas.materialise(digest, folder / "engine.plan")
    assert [path.name for path in folder.iterdir()] == ["engine.plan"]


def test_scratch_of_a_killed_process_is_swept(store: Store) -> None:
    with store.scratch() as first:
        abandoned = first.parent / "999999-abandoned"
        abandoned.mkdir()
        abandoned.with_suffix(".lock").write_text("")
        with store.scratch() as second:
            assert not abandoned.exists()
            assert first.exists()
            assert second.exists()
    assert not first.exists()


def test_digests_do_not_depend_on_how_the_bytes_are_read(tmp_path: Path) -> None:
    data = os.urandom((1 << 20) * 2 + 17)
    (tmp_path / "file").write_bytes(data)
    assert digest_of_file(tmp_path / "file") == digest_of_bytes(data)


def test_canonical_json_has_one_text_per_value() -> None:
    assert canonical_json({"b": 1, "a": [1.5, "é"]}) == '{"a":[1.5,"é"],"b":1}'.encode()
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))


def test_what_another_process_put_in_the_place_of_a_copy_is_not_taken_for_it(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = stored(store, tmp_path, b"engine")
    copy, theirs = cas.copy_file, tmp_path / "theirs"

    def overtaken(source: Path, destination: Path, *rest: object) -> os.stat_result:
        status = copy(source, destination)
        theirs.write_bytes(b"others")
        theirs.replace(destination)
        return status

    monkeypatch.setattr(cas, "copy_file", overtaken)
    assert store.cas.materialise(digest, tmp_path / "out")
    assert store.memo.digest(tmp_path / "out") == digest_of_bytes(b"others")
