"""The memo saves reading, and never says what is not so."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from trtbuild.store import memo as memo_module
from trtbuild.store.digest import Digest, digest_of_bytes
from trtbuild.store.memo import Memo


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that changed long enough ago to be remembered."""
    path = tmp_path / "file"
    path.write_bytes(b"one")
    time.sleep(0.03)
    return path


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read."""
    found: list[Path] = []
    real = memo_module.digest_of_file

    def counted(path: Path, progress: object) -> Digest:
        found.append(path)
        return real(path)

    monkeypatch.setattr(memo_module, "digest_of_file", counted)
    return found


def test_an_unchanged_file_is_read_once_even_by_another_process(
    tmp_path: Path, file: Path, reads: list[Path]
) -> None:
    first = Memo(tmp_path / "memo.sqlite")
    assert first.digest(file) == first.digest(file) == digest_of_bytes(b"one")
    first.close()
    second = Memo(tmp_path / "memo.sqlite")
    assert second.digest(file) == digest_of_bytes(b"one")
    assert reads == [file]


def test_other_content_under_the_same_modification_time_is_noticed(
    tmp_path: Path, file: Path
) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.digest(file)
    before = file.stat()
    file.write_bytes(b"two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert memo.digest(file) == digest_of_bytes(b"two")


def test_a_file_that_has_only_just_changed_is_not_remembered(
    tmp_path: Path, file: Path, reads: list[Path]
) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    file.write_bytes(b"new")
    memo.digest(file)
    memo.digest(file)
    assert len(reads) == 2


def test_a_replaced_file_is_noticed(tmp_path: Path, file: Path) -> None:
    memo = Memo(tmp_path / "memo.sqlite")
    memo.digest(file)
    other = tmp_path / "other"
    other.write_bytes(b"two")
    other.replace(file)
    assert memo.digest(file) == digest_of_bytes(b"two")


def test_a_damaged_database_is_begun_anew(tmp_path: Path, file: Path) -> None:
    database = tmp_path / "memo.sqlite"
    database.write_bytes(b"this is no database, " * 1000)
    memo = Memo(database)
    assert memo.digest(file) == digest_of_bytes(b"one")
    memo.add("key")
    memo.close()
    assert Memo(database).known("key")


def test_without_a_place_to_write_the_memo_still_answers(tmp_path: Path, file: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("")
    memo = Memo(blocked / "memo.sqlite")
    assert memo.digest(file) == digest_of_bytes(b"one")
    memo.add("key")
    assert memo.known("key")
