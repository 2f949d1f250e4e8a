"""Whatever happens to a process or to the disk, nothing false is served and nothing is stuck."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.store import worker
from tests.store.entries import action, put, set_age
from trtbuild.errors import StoreError
from trtbuild.store.action_cache import Trace
from trtbuild.store.audit import audit, repair
from trtbuild.store.gc import Limits, collect, plan_collection, read_entries
from trtbuild.store.remote import Remote
from trtbuild.store.roots import Keep
from trtbuild.store.store import Store

KINDS = ("store", "restore", "collect", "upload")


def start(kind: str, cache: Path, shared: Path, seed: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.store.worker", kind, str(cache), str(shared), str(seed)]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    return process


def assert_right(store: Store) -> None:
    """Each trace that is served restores the right bytes, or is a miss; every action can be had."""
    for number in range(worker.ACTIONS):
        key = action(number).key()
        trace = store.find(key)
        if trace is not None and store.holds(trace) and store.obtain(key, trace):
            for name, digest in trace.outputs:
                out = store.root.parent / "right" / name
                assert store.cas.materialise(digest, out)
                assert out.read_bytes() == worker.content(number, name)
    worker.put_one(store, 0, old=False)
    assert store.actions.lookup(action(0).key()) is not None


def no_lies(root: Path) -> None:
    """No blob with other bytes than its name says, no trace of another action."""
    lies = [damage for damage in audit(root) if "not in the cache" not in damage.text]
    assert lies == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.slow)])
def test_processes_killed_at_any_moment_leave_nothing_false(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    cache, shared = tmp_path / "cache", tmp_path / "shared"
    moments = random.Random(rounds)  # noqa: S311 - a moment, not a secret
    for seed in range(rounds):
        process = start(kind, cache, shared, seed)
        time.sleep(moments.uniform(0.0, 0.3))
        process.kill()
        process.communicate()
        no_lies(cache)
    store = Store(cache)
    assert_right(store)
    assert list((cache / "tmp").iterdir()) == [], "scratch folders of the dead are swept"
    store.close()
    if kind == "upload":
        other = Store(tmp_path / "other")
        remote = Remote(f"file://{shared}", read_only=True, timeout=10)
        other.use_remote(remote)
        assert_right(other)
        assert remote.warnings == []
        other.close()


@pytest.mark.parametrize("kinds", [("store", "collect", "restore"), ("collect", "collect")])
def test_builds_and_collections_at_once_lose_nothing_that_is_new(
    tmp_path: Path, kinds: tuple[str, ...]
) -> None:
    cache, shared = tmp_path / "cache", tmp_path / "shared"
    others = [start(kind, cache, shared, seed) for seed, kind in enumerate(kinds)]
    store = Store(cache)
    try:
        for number in range(100, 130):
            worker.put_one(store, number, old=False)
            trace = store.actions.lookup(action(number).key())
            assert trace is not None, "a collection took what was only just stored"
            for name, digest in trace.outputs:
                assert store.cas.materialise(digest, tmp_path / "out" / name)
                assert (tmp_path / "out" / name).read_bytes() == worker.content(number, name)
        assert [process.poll() for process in others] == [None] * len(kinds)
    finally:
        for process in others:
            process.kill()
            process.communicate()
    no_lies(cache)
    store.close()


def test_processes_wait_for_the_same_action_only_and_say_so(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from trtbuild.store.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "with store.lock(sys.argv[2], lambda: print('waits', flush=True)):\n"
        "    print('holds', flush=True); sys.stdin.read()\n"
    )
    names = ["same", "same", *(f"other{number}" for number in range(6))]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path / "cache"), name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    said = [process.stdout.readline().strip() for process in processes if process.stdout]
    assert sorted(said[:2]) == ["holds", "waits"]
    assert said[2:] == ["holds"] * 6, "all at once, since each holds its lock until told to end"
    holder = said.index("holds")
    processes[holder].communicate(timeout=20)
    assert processes[1 - holder].communicate(timeout=20)[0] == "holds\n"
    for process in processes[2:]:
        process.communicate(timeout=20)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bits_are_detected_dropped_and_made_again(tmp_path: Path, seed: int) -> None:
    store = Store(tmp_path / "cache")
    for number in range(6):
        worker.put_one(store, number, old=False)
    chance = random.Random(seed)  # noqa: S311 - a place, not a secret
    files = [p for part in ("cas", "actions") for p in (store.root / part).glob("*/*")]
    for path in chance.sample(sorted(files), 5):
        data = bytearray(path.read_bytes())
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        path.chmod(0o644)
        path.write_bytes(data)
    found = audit(store.root)
    assert len(found) >= 5
    assert_right(store)
    store.close()
    store = Store(tmp_path / "cache")
    repair(store.root, audit(store.root))
    assert audit(store.root) == ()
    for number in range(6):
        worker.put_one(store, number, old=False)
    assert audit(store.root) == ()
    assert_right(store)
    store.close()


def test_damaged_tables_are_begun_anew(tmp_path: Path) -> None:
    store = Store(tmp_path / "cache")
    worker.put_one(store, 1, old=False)
    store.close()
    for name in ("memo.sqlite", "index.sqlite"):
        for beside in ("-wal", "-shm"):
            (tmp_path / "cache" / f"{name}{beside}").unlink(missing_ok=True)
        (tmp_path / "cache" / name).write_bytes(b"this is no table, " * 1000)
    store = Store(tmp_path / "cache")
    assert_right(store)
    assert {entry.key for entry in read_entries(store.root)[0]} == {
        action(number).key() for number in (0, 1)
    }
    store.close()


def test_a_full_disk_refuses_and_spoils_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk: the kernel refuses the same write."""
    store = Store(tmp_path / "cache")
    _, trace = put(store, action(1), {"engine.plan": os.urandom(200_000)})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    import signal

    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(StoreError, match="cannot write"):
            store.cas.materialise(trace.outputs[0][1], tmp_path / "out" / "engine.plan")
        big = Trace({**action(2).document(), "options": {"x": "y" * 60_000}}, (), 1.0)
        with pytest.raises(StoreError, match="cannot write"):
            store.actions.record(action(2).key(), big)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert list((tmp_path / "out").iterdir()) == []
    assert store.actions.lookup(action(2).key()) is None
    assert store.cas.materialise(trace.outputs[0][1], tmp_path / "out" / "engine.plan")
    no_lies(store.root)
    store.close()


@pytest.mark.parametrize("days", [-400, 400])
def test_a_clock_that_was_wrong_serves_nothing_false(tmp_path: Path, days: int) -> None:
    store = Store(tmp_path / "cache")
    for number in range(3):
        worker.put_one(store, number, old=False)
        trace = store.actions.lookup(action(number).key())
        assert trace is not None
        set_age(store, action(number).key(), trace, days * 86400.0)
    worker.put_one(store, 3, old=False)
    entries, damaged = read_entries(store.root)
    limits = Limits(max_age_seconds=86400)
    collect(store.root, plan_collection(store.root, entries, damaged, limits, Keep()))
    left = [n for n in range(4) if store.actions.lookup(action(n).key()) is not None]
    assert left == ([0, 1, 2, 3] if days < 0 else [3])
    assert_right(store)
    store.close()
