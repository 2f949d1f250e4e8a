"""Who may use a cache: its owner alone, or a group; nobody gets something from a stranger."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.entries import action

ONE, TWO, STRANGER, TEAM = 20001, 20002, 20003, 20010

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")

CODE = """\
import os, sys
from pathlib import Path
from tests.store import worker
from tests.store.entries import action
from trtbuild.errors import StoreError
from trtbuild.graph import misses, results  # whatever a run imports, while it can still be read
from trtbuild.store import files, gc, index, later, roots, upload
from trtbuild.store.store import Store
user, team, umask, shared, what, cache = sys.argv[1:]
os.setgroups([int(team)])
os.setgid(int(user)), os.setuid(int(user)), os.umask(int(umask, 8))
try:
    store = Store(Path(cache), shared=shared == "shared")
except StoreError as error:
    raise SystemExit(f"{error}")
for number in range(3):
    key = action(number).key()
    if what == "put":
        worker.put_one(store, number, old=False)
    elif what == "collect":
        entries, damaged = gc.read_entries(store.root)
        limits = gc.Limits(max_bytes=0)
        plan = gc.plan_collection(store.root, entries, damaged, limits, roots.Keep())
        assert len(plan.traces) == 3
        assert gc.collect(store.root, plan) > 0
        break
    else:
        trace = store.actions.lookup(key)
        assert trace is not None, "no trace"
        with store.lock(key):
            assert store.obtain(key, trace)
            with store.in_use():
                for name, digest in trace.outputs:
                    out = Path(cache).parent / "out" / user / name
                    assert store.cas.materialise(digest, out, link=what == "link")
                    assert out.read_bytes() == worker.content(number, name)
store.close()
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that every user can reach and write to."""
    folder = Path(tempfile.mkdtemp(prefix="trtbuild-users-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def as_user(
    user: int, what: str, cache: Path, *, shared: bool = True, team: int = TEAM, umask: str = "022"
) -> subprocess.CompletedProcess[str]:
    """Work on a cache as another user."""
    words = [str(user), str(team), umask, "shared" if shared else "alone", what, str(cache)]
    command = [sys.executable, "-c", CODE, *words]
    root = Path(__file__).parents[2]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60)


def team_cache(place: Path) -> Path:
    """What an administrator makes: a folder of the team's."""
    cache = place / "cache"
    cache.mkdir()
    os.chown(cache, ONE, TEAM)
    cache.chmod(0o2770)
    return cache


@needs_root
@pytest.mark.parametrize("umask", ["022", "077"])
def test_members_of_a_team_build_restore_and_collect_in_one_cache(place: Path, umask: str) -> None:
    cache = team_cache(place)
    (place / "out").mkdir()
    (place / "out").chmod(0o777)
    for user, what in (
        (ONE, "put"),
        (TWO, "restore"),
        (TWO, "link"),
        (TWO, "put"),
        (ONE, "restore"),
        (ONE, "collect"),
        (TWO, "put"),
        (ONE, "put"),
    ):
        if what == "collect":
            for path in (*cache.glob("actions/*/*"), *cache.glob("cas/*/*")):
                os.utime(path, (0, 0))
        done = as_user(user, what, cache, umask=umask)
        assert done.returncode == 0, (user, what, done.stderr)
    for path in cache.rglob("*"):
        assert path.stat().st_gid == TEAM, path
        assert not path.stat().st_mode & 0o002, path
    stranger = as_user(STRANGER, "restore", cache, team=STRANGER)
    assert stranger.returncode != 0


@needs_root
def test_nobody_else_reaches_into_a_cache_of_ones_own(place: Path) -> None:
    cache = place / "cache"
    (place / "out").mkdir()
    assert as_user(ONE, "put", cache, shared=False).returncode == 0
    blobs = [str(path) for path in (cache / "cas").glob("*/*")]
    for command in (["cat", blobs[0]], ["touch", str(cache / "x")], ["ls", str(cache)]):
        done = subprocess.run(
            ["setpriv", f"--reuid={TWO}", f"--regid={TWO}", "--clear-groups", *command],
            capture_output=True,
            text=True,
        )
        assert "Permission denied" in done.stderr, done


@needs_root
def test_a_cache_that_a_stranger_made_is_refused(place: Path) -> None:
    cache = place / "cache"
    cache.mkdir(mode=0o755)
    os.chown(cache, STRANGER, STRANGER)
    done = as_user(ONE, "restore", cache, shared=False)
    assert done.returncode == 1
    assert f"belongs to another user ({STRANGER})" in done.stderr
    assert as_user(STRANGER, "put", cache, shared=False).returncode == 0


def test_the_group_gets_nothing_unless_it_is_asked_for(tmp_path: Path) -> None:
    from tests.store import worker
    from trtbuild.store.store import Store

    before = os.umask(0o022)
    try:
        store = Store(tmp_path / "cache")
        worker.put_one(store, 1, old=False)
        assert not store.actions.path(action(1).key()).stat().st_mode & 0o022
        store.close()
    finally:
        os.umask(before)
