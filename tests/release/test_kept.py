"""A garbage collection keeps what was locked or released, as long as the lock is there."""

from __future__ import annotations

import os
import shutil
import time

import pytest

from tests.project import Project
from tests.release.bundles import release
from trtbuild.errors import ExitCode


def collect_all_that_may_go(project: Project) -> None:
    """A collection of everything that was not used for a day, which is everything."""
    then = time.time() - 10 * 86400
    for path in project.cache.rglob("*"):
        os.utime(path, (then, then))
    result = project.trtbuild("cache", "gc", "--max-age", "1d")
    assert result.code == 0, result.err


def restored(project: Project) -> bool:
    """Whether the cache still has every result."""
    shutil.rmtree(project.folder / "build")
    result = project.run("--only-cached")
    return result.code == 0 and set(result.verdicts().values()) == {"RESTORED"}


@pytest.fixture
def forgotten(locked: Project) -> Project:
    """A locked project whose cache has not seen the lock, as on another machine."""
    shutil.rmtree(locked.cache / "roots", ignore_errors=True)
    return locked


def test_what_nobody_locked_goes(forgotten: Project) -> None:
    collect_all_that_may_go(forgotten)
    assert not restored(forgotten)


def test_what_was_released_stays_while_the_lock_is_there(
    forgotten: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = str(forgotten.root / "bundle.tar")
    assert release(forgotten, monkeypatch, "-o", target) == ExitCode.DONE
    collect_all_that_may_go(forgotten)
    assert restored(forgotten)
    (forgotten.folder / "tiny.lock").unlink()
    collect_all_that_may_go(forgotten)
    assert restored(forgotten), "it may come back with another branch"
    (entry,) = (forgotten.cache / "roots").iterdir()
    path, _, names = entry.read_bytes().split(b"\0")
    entry.write_bytes(b"\0".join((path, b"%d" % (time.time() - 31 * 86400), names)))
    collect_all_that_may_go(forgotten)
    assert not restored(forgotten)


def test_what_was_locked_stays_also_where_the_lock_was_current(forgotten: Project) -> None:
    result = forgotten.trtbuild("lock", "tiny.yaml")
    assert "is current" in result.out
    collect_all_that_may_go(forgotten)
    assert restored(forgotten)
