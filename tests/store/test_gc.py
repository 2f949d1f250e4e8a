"""Garbage collection removes what may go, least recently used first, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.store.entries import action, put, set_age
from trtbuild.store.files import file_lock
from trtbuild.store.gc import Collection, Limits, collect, plan_collection, read_entries
from trtbuild.store.roots import Keep, keep, lock_files
from trtbuild.store.store import Store

DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a folder of its own."""
    store = Store(tmp_path / "cache")
    yield store
    store.close()


def planned(store: Store, limits: Limits | None = None, names: Keep | None = None) -> Collection:
    entries, damaged = read_entries(store.root)
    return plan_collection(store.root, entries, damaged, limits or Limits(), names or Keep())


def test_what_was_not_used_for_too_long_goes_with_its_blobs(store: Store) -> None:
    old, old_trace = put(store, action(1), {"engine.plan": b"old"}, age=10 * DAY)
    new, _ = put(store, action(2), {"engine.plan": b"new"}, age=2 * DAY)
    collection = planned(store, Limits(max_age_seconds=5 * DAY))
    assert store.actions.lookup(old) is not None, "a plan removes nothing"
    freed = collect(store.root, collection)
    assert freed == collection.freed_bytes > 0
    assert store.actions.lookup(old) is None
    assert not store.cas.has(old_trace.outputs[0][1])
    assert store.actions.lookup(new) is not None


def test_a_size_limit_takes_the_least_recently_used_first(store: Store) -> None:
    for number in range(5):
        data = {"engine.plan": os.urandom(100_000)}
        put(store, action(number), data, age=(10 - number) * DAY)
    collect(store.root, planned(store, Limits(max_bytes=250_000)))
    left = [n for n in range(5) if store.actions.lookup(action(n).key()) is not None]
    assert left == [3, 4]
    assert planned(store).bytes_before <= 250_000


def test_what_has_to_stay_counts_against_a_size_limit(store: Store) -> None:
    for number in range(4):
        data = {"engine.plan": os.urandom(100_000)}
        put(store, action(number), data, age=(10 - number) * DAY)
    locked = Keep(frozenset({action(0).key()}))
    collection = planned(store, Limits(max_bytes=250_000), locked)
    assert collection.protected == 1
    collect(store.root, collection)
    left = [n for n in range(4) if store.actions.lookup(action(n).key()) is not None]
    assert left == [0, 3]


def test_a_blob_that_another_action_names_stays(store: Store) -> None:
    put(store, action(1), {"engine.plan": b"same"}, age=10 * DAY)
    _, trace = put(store, action(2), {"engine.plan": b"same"}, age=2 * DAY)
    collect(store.root, planned(store, Limits(max_age_seconds=5 * DAY)))
    assert store.cas.verified(trace.outputs[0][1])


def test_what_was_used_within_the_hour_stays_whatever_the_limits_say(store: Store) -> None:
    key, _ = put(store, action(1), {"engine.plan": b"recent"}, age=1800)
    collection = planned(store, Limits(max_bytes=0, max_age_seconds=0))
    assert (collection.traces, collection.blobs, collection.protected) == ((), (), 1)
    collect(store.root, collection)
    assert store.actions.lookup(key) is not None


def test_a_use_keeps_an_old_result(store: Store) -> None:
    key, _ = put(store, action(1), {"engine.plan": b"old"}, age=10 * DAY)
    store.actions.mark_used(key)
    assert planned(store, Limits(max_age_seconds=5 * DAY)).traces == ()


def test_what_a_run_used_that_is_still_going_stays(store: Store) -> None:
    key, trace = put(store, action(1), {"engine.plan": b"early"})
    other, other_trace = put(store, action(2), {"engine.plan": b"before"})
    with store.lock(key):
        begun = next((store.root / "runs").iterdir())
        os.utime(begun, (time.time() - 9 * 3600,) * 2)  # it began nine hours ago,
        set_age(store, key, trace, 8 * 3600)  # used this an hour later,
        set_age(store, other, other_trace, 11 * 3600)  # and never that
        collect(store.root, planned(store, Limits(max_bytes=0)))
        assert store.actions.lookup(key) is not None
        assert store.actions.lookup(other) is None
    store.close()
    collect(store.root, planned(store, Limits(max_bytes=0)))
    assert store.actions.lookup(key) is None


def test_a_run_that_was_killed_keeps_nothing(store: Store) -> None:
    key, _ = put(store, action(1), {"engine.plan": b"old"}, age=10 * DAY)
    runs = store.root / "runs"
    runs.mkdir()
    (runs / "999999-dead").write_text("")
    os.utime(runs / "999999-dead", (time.time() - 20 * DAY,) * 2)
    collect(store.root, planned(store, Limits(max_age_seconds=DAY)))
    assert store.actions.lookup(key) is None
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("by", ["key", "digest"])
def test_what_a_lock_file_names_stays(store: Store, tmp_path: Path, by: str) -> None:
    key, trace = put(store, action(1), {"engine.plan": b"released"}, age=99 * DAY)
    lost, _ = put(store, action(2), {"engine.plan": b"forgotten"}, age=99 * DAY)
    name = key if by == "key" else trace.outputs[0][1].text
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/digits.lock").write_text(f'{{"any": ["form", "{name}"]}}\n')
    names = keep(lock_files(tmp_path))
    collection = planned(store, Limits(max_bytes=0), names)
    assert collection.protected == 1
    collect(store.root, collection)
    assert store.actions.lookup(key) is not None
    assert store.cas.verified(trace.outputs[0][1])
    assert store.actions.lookup(lost) is None


def test_blobs_that_nothing_names_go_once_they_are_old(store: Store, tmp_path: Path) -> None:
    digests = []
    for name in ("old", "new"):
        (tmp_path / name).write_bytes(name.encode())
        digests.append(store.cas.adopt(tmp_path / name))
    os.utime(store.cas.path(digests[0]), (0, 0))
    collect(store.root, planned(store))
    assert [store.cas.has(digest) for digest in digests] == [False, True]


def test_storing_bytes_again_saves_them_from_a_collection_that_was_planned(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"orphan")
    digest = store.cas.adopt(tmp_path / "file")
    os.utime(store.cas.path(digest), (0, 0))
    collection = planned(store)
    assert [blob.key for blob in collection.blobs] == [digest.hash]
    (tmp_path / "file").write_bytes(b"orphan")
    store.cas.adopt(tmp_path / "file")
    assert collect(store.root, collection) == 0
    assert store.cas.verified(digest)


def test_a_use_saves_a_trace_and_its_blobs_from_a_collection_that_was_planned(
    store: Store,
) -> None:
    key, trace = put(store, action(1), {"engine.plan": b"old"}, age=10 * DAY)
    collection = planned(store, Limits(max_age_seconds=DAY))
    assert len(collection.traces) == len(collection.blobs) == 1
    store.actions.mark_used(key)
    collect(store.root, collection)
    assert store.actions.lookup(key) is not None
    assert store.cas.verified(trace.outputs[0][1])


def test_sets_of_discovered_files_stay_as_long_as_an_action_that_they_lead_to(
    store: Store,
) -> None:
    for number, age in ((1, 10 * DAY), (2, 2 * DAY)):
        made = action(number, discovered=(("net.py", "sha256:b:1"),))
        put(store, made, {"engine.plan": bytes([number])}, age=age)
        base = action(number).key()
        store.actions.record_discovered(base, ("net.py",))
        os.utime(store.actions.discovered_path(base), (0, 0))
    collect(store.root, planned(store, Limits(max_age_seconds=5 * DAY)))
    assert store.actions.discovered(action(1).key()) == ()
    assert store.actions.discovered(action(2).key()) == (("net.py",),)


def test_a_damaged_trace_goes_and_its_blobs_with_it(store: Store) -> None:
    key, trace = put(store, action(1), {"engine.plan": b"x"}, age=10 * DAY)
    path = store.actions.path(key)
    path.write_bytes(path.read_bytes()[:50])
    os.utime(path, (0, 0))
    collect(store.root, planned(store))
    assert not path.exists()
    assert not store.cas.has(trace.outputs[0][1])


def test_a_clock_that_was_set_back_removes_nothing(store: Store) -> None:
    key, _ = put(store, action(1), {"engine.plan": b"x"}, age=-400 * DAY)
    collect(store.root, planned(store, Limits(max_bytes=0, max_age_seconds=0)))
    assert store.actions.lookup(key) is not None
    store.actions.mark_used(key)
    assert store.actions.path(key).stat().st_mtime <= time.time(), "a use sets the mark right"


def test_what_a_clock_that_was_ahead_has_marked_grows_old_from_the_next_collection_on(
    store: Store, tmp_path: Path
) -> None:
    key, trace = put(store, action(1), {"engine.plan": b"x"}, age=-400 * DAY)
    damaged, _ = put(store, action(2), {"engine.plan": b"y"}, age=-400 * DAY)
    store.actions.path(damaged).write_bytes(b"no trace")
    (tmp_path / "unnamed").write_bytes(b"z")
    unnamed = store.cas.adopt(tmp_path / "unnamed")
    discovered = store.root / "discovered/ab" / f"{'c' * 62}.json"
    discovered.parent.mkdir(parents=True)
    discovered.write_text("[]")
    lock = store.root / "locks" / key
    lock.write_text("")
    files = [store.actions.path(key), store.actions.path(damaged), discovered, lock]
    files += [store.cas.path(digest) for digest in (trace.outputs[0][1], unnamed)]
    for file in files:
        os.utime(file, (time.time() + 400 * DAY,) * 2)
    first = planned(store, Limits(max_bytes=0))
    assert {Path(path) for path in first.ahead} >= set(files)
    assert all(file.stat().st_mtime > time.time() + DAY for file in files), "only planned"
    collect(store.root, first)
    assert store.actions.lookup(key) is not None
    for file in files:
        assert file.stat().st_mtime <= time.time()
        os.utime(file, (time.time() - 2 * 3600,) * 2)  # nobody uses it for two hours
    second = planned(store, Limits(max_bytes=0))
    assert second.ahead == ()
    collect(store.root, second)
    assert not any(file.exists() for file in files)


def test_an_interrupted_collection_leaves_traces_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        put(store, action(number), {"engine.plan": bytes([number])}, age=10 * DAY)
    collection = planned(store, Limits(max_age_seconds=DAY))
    monkeypatch.setattr("trtbuild.store.gc.BATCH", 1)
    calls = 0

    def stop(_: float) -> None:
        nonlocal calls
        calls += 1
        if calls == 9:  # after the traces, in the middle of the blobs
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        collect(store.root, collection, stop)
    assert read_entries(store.root)[0] == []
    assert 0 < len(planned(store).blobs) < 6
    collect(store.root, planned(store))
    assert planned(store).bytes_before == 0


def test_a_build_that_stores_keeps_a_collection_waiting(store: Store, tmp_path: Path) -> None:
    put(store, action(1), {"engine.plan": b"x"}, age=10 * DAY)
    code = (
        "import sys; from pathlib import Path\n"
        "from trtbuild.store.gc import *; from trtbuild.store.roots import Keep\n"
        "root = Path(sys.argv[1]); found = read_entries(root)\n"
        "plan = plan_collection(root, *found, Limits(max_age_seconds=0), Keep())\n"
        "print('planned', flush=True); collect(root, plan); print('done', flush=True)\n"
    )
    with store.in_use():
        command = [sys.executable, "-c", code, str(store.root)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "planned\n"
        time.sleep(0.3)
        assert store.actions.lookup(action(1).key()) is not None
    assert process.communicate(timeout=20)[0] == "done\n"
    assert store.actions.lookup(action(1).key()) is None


def test_a_lock_that_was_removed_is_not_held_by_two(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with file_lock(path) as first:
        assert first
        path.unlink()
        with file_lock(path, wait=False) as second:
            assert second, "another file has the name now"
            with file_lock(path, wait=False) as third:
                assert not third
