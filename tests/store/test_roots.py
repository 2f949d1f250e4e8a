"""What registered lock files keep: also while they are missing, and never less by a look."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.store.nobody import as_nobody, give, open_folder
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.store.files import write_file
from trtbuild.store.roots import (
    MISSING_SECONDS,
    keep_registered,
    note_registered,
    register,
    registrations,
)

DAY = 86400.0
FIRST, SECOND = "1" * 64, "2" * 64


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A lock file that is registered with the cache beside it."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "checkout").mkdir()
    path = tmp_path / "checkout/a.lock"
    path.write_text(FIRST)
    register(tmp_path / "cache", path)
    return path


@pytest.fixture
def days(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How many days the clock is ahead."""
    ahead = [0.0]
    real = time.time
    monkeypatch.setattr("trtbuild.store.roots.time.time", lambda: real() + ahead[0] * DAY)
    return ahead


def state(root: Path) -> dict[str, bytes]:
    """The registrations as they are on disk."""
    return {path.name: path.read_bytes() for path in (root / "roots").iterdir()}


def test_what_a_lock_file_names_now_counts(tmp_path: Path, lock: Path) -> None:
    root = tmp_path / "cache"
    assert keep_registered(root).names == {FIRST}
    lock.write_text(SECOND)
    assert keep_registered(root).names == {SECOND}
    assert [found.path for found in registrations(root)] == [lock]


def test_looking_changes_nothing_while_a_lock_file_is_missing(tmp_path: Path, lock: Path) -> None:
    root = tmp_path / "cache"
    lock.rename(tmp_path / "away")
    before = state(root)
    for command in (["stats"], ["gc", "--dry-run"]):
        assert main(["cache", *command, "--cache", str(root)]) == ExitCode.DONE
    assert state(root) == before
    assert keep_registered(root).names == {FIRST}


def test_a_missing_lock_file_counts_for_thirty_days_after_it_was_missed(
    tmp_path: Path, lock: Path, days: list[float]
) -> None:
    root = tmp_path / "cache"
    lock.write_text(SECOND)
    note_registered(root)  # as the last collection that saw it
    lock.unlink()
    days[0] = 100  # nobody collected meanwhile
    note_registered(root)
    assert keep_registered(root).names == {SECOND}
    days[0] = 100 + MISSING_SECONDS / DAY - 1
    note_registered(root)
    assert keep_registered(root).names == {SECOND}
    days[0] += 2
    note_registered(root)
    assert keep_registered(root).names == frozenset()
    assert registrations(root) == []


def test_a_lock_file_that_came_back_begins_anew(
    tmp_path: Path, lock: Path, days: list[float]
) -> None:
    root = tmp_path / "cache"
    for _ in range(3):
        lock.unlink()
        note_registered(root)
        days[0] += 20
        lock.write_text(FIRST)
        note_registered(root)
    assert keep_registered(root).names == {FIRST}


def test_a_clock_that_was_ahead_forgets_nothing_early(
    tmp_path: Path, lock: Path, days: list[float]
) -> None:
    root = tmp_path / "cache"
    lock.unlink()
    days[0] = 400
    note_registered(root)
    days[0] = 0
    real_now = time.time()
    note_registered(root)
    assert registrations(root)[0].missing_since == pytest.approx(real_now, abs=60)


def test_a_registration_without_names_still_counts(tmp_path: Path, lock: Path) -> None:
    root = tmp_path / "cache"
    write_file(registrations(root)[0].entry, os.fsencode(lock))
    assert keep_registered(root).names == {FIRST}
    note_registered(root)
    lock.unlink()
    assert keep_registered(root).names == {FIRST}


def test_a_lock_file_that_cannot_be_read_stops_a_collection() -> None:
    with open_folder() as folder:
        root, lock = folder / "cache", folder / "checkout/a.lock"
        lock.parent.mkdir()
        lock.write_text(FIRST)
        root.mkdir(mode=0o700)
        register(root, lock)
        give(folder)
        lock.parent.chmod(0)
        before = state(root)
        result = as_nobody("cache", "gc", "--cache", root)
        assert result.returncode == ExitCode.FAILED, result.stderr
        assert f"{lock}: cannot read a lock file: Permission denied" in result.stderr
        assert "hint: make it readable" in result.stderr
        assert state(root) == before
        lock.parent.chmod(0o755)
