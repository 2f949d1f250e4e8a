"""Which entry is taken for an action that is not the same: only what a policy allows, and said."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.store.entries import action, put
from trtbuild.graph.action import Action
from trtbuild.graph.misses import nearest_misses
from trtbuild.graph.results import Results
from trtbuild.graph.workspace import Workspace
from trtbuild.store.gc import read_entries
from trtbuild.store.index import kin_of
from trtbuild.store.remote import Remote
from trtbuild.store.store import Store

FACTS = {
    "gpu": "NVIDIA H100 80GB HBM3",
    "gpu.compute_capability": "9.0",
    "gpu.driver": "580.82",
    "tensorrt": "10.13.3",
}


def built(stage: str = "build", **facts: str) -> Action:
    """An action with the facts of a machine."""
    toolchain = {**FACTS, **{name.replace("_", "."): value for name, value in facts.items()}}
    return action(1, stage=stage, toolchain=tuple(sorted(toolchain.items())))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a folder of its own."""
    store = Store(tmp_path / "cache")
    yield store
    store.close()


def results(store: Store, *policies: str, anywhere: bool = False) -> Results:
    folder = store.root.parent / "project"
    folder.mkdir(exist_ok=True)
    workspace = Workspace(folder / "build", store.memo)
    return Results(store, workspace, folder, policies or ("exact",), anywhere=anywhere)


def recorded(store: Store, made: Action) -> str:
    key, trace = put(store, made, {"engine.plan": made.key().encode()})
    store.record(key, trace)
    return key


CASES: list[tuple[dict[str, str], tuple[str, ...], bool]] = [
    ({"gpu_driver": "575.51"}, ("exact",), False),
    ({"gpu_driver": "575.51"}, ("same-sm",), True),
    ({"gpu": "NVIDIA H200", "gpu_driver": "575.51"}, ("same-sm",), True),
    ({"gpu_compute.capability": "8.9"}, ("same-sm",), False),
    ({"tensorrt": "10.13.2"}, ("same-sm",), False),
    ({"tensorrt": "10.13.2"}, ("same-trt-minor",), True),
    ({"tensorrt": "10.12.0"}, ("same-trt-minor",), False),
    ({"tensorrt": "10.13.2", "gpu_driver": "575.51"}, ("same-trt-minor",), False),
    ({"tensorrt": "10.13.2", "gpu_driver": "575.51"}, ("same-sm", "same-trt-minor"), True),
    ({"onnx": "1.20"}, ("same-sm", "same-trt-minor"), False),
]


@pytest.mark.parametrize(("facts", "policies", "taken"), CASES)
def test_a_policy_allows_what_it_names_and_no_more(
    store: Store, facts: dict[str, str], policies: tuple[str, ...], taken: bool
) -> None:
    key = recorded(store, built(**facts))
    found = results(store, *policies).find(built())
    assert (found.trace is not None) == taken
    if taken:
        assert found.key == key
        assert {reason.field for reason in found.accepted} == {
            f"toolchain.{name.replace('_', '.')}" for name in facts
        }
        for value in facts.values():
            assert any(f"{value} in the entry that was taken" in r.text for r in found.accepted)


def test_an_entry_that_is_the_same_goes_before_one_that_is_allowed(store: Store) -> None:
    recorded(store, built(gpu_driver="575.51"))
    exact = recorded(store, built())
    found = results(store, "same-sm").find(built())
    assert (found.key, found.accepted) == (exact, ())


@pytest.mark.parametrize("stage", ["verify", "benchmark"])
def test_what_was_measured_on_another_gpu_is_never_taken(store: Store, stage: str) -> None:
    recorded(store, built(stage, gpu_driver="575.51"))
    assert results(store, "same-sm").find(built(stage)).trace is None


def test_other_inputs_or_options_are_never_taken(store: Store) -> None:
    recorded(store, dataclasses.replace(built(), options={"number": 2}))
    recorded(store, dataclasses.replace(built(), inputs=()))
    assert results(store, "same-sm", "same-trt-minor", anywhere=True).find(built()).trace is None


def test_a_machine_that_lacks_gpu_and_packages_restores_what_others_built(store: Store) -> None:
    key = recorded(store, built())
    bare = dataclasses.replace(built(), toolchain=())
    assert results(store).find(bare).trace is None
    found = results(store, anywhere=True).find(bare)
    assert found.key == key
    assert "580.82 in the entry that was taken, unknown here" in str(found.accepted)
    other = dataclasses.replace(built(), toolchain=(("tensorrt", "11.0"),))
    assert results(store, anywhere=True).find(other).trace is None, "what is known must agree"


def test_what_was_read_must_be_the_same_and_lie_in_the_project(store: Store) -> None:
    folder = results(store).folder
    (folder / ".git").mkdir()
    (folder / "net.py").write_text("one")
    state = store.memo.digest(folder / "net.py").text
    made = dataclasses.replace(built(gpu_driver="575.51"), discovered=(("net.py", state),))
    key = recorded(store, made)
    assert results(store, "same-sm").find(built()).key == key
    (folder / "net.py").write_text("two")
    assert results(store, "same-sm").find(built()).trace is None
    outside = (("../../secret", "missing"),)
    recorded(store, dataclasses.replace(built(gpu_driver="570.1"), discovered=outside))
    assert results(store, "same-sm").find(built()).trace is None


def test_what_another_machine_names_is_looked_at_only_where_that_tells_it_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = results(store).folder
    (folder / ".git").mkdir()
    (folder / "recipes").mkdir()
    (folder / "lib").symlink_to(store.root)
    here = Results(store, results(store).workspace, folder / "recipes")
    monkeypatch.setenv("GAIN", "1")
    for ours in ("net.py", "../common/net.py", "../lib/README", "env:GAIN", "module:net"):
        assert here._are_ours((ours, "package:numpy")), ours
    for others in ("../../secret", "/etc/passwd", "../lib/../../secret", "env:HF_TOKEN"):
        assert not here._are_ours((others, "package:numpy")), others


def test_a_miss_names_the_field_that_differs_and_in_how_many_entries(store: Store) -> None:
    for made in (built(gpu_driver="575.51"), built(gpu_driver="575.51", gpu="NVIDIA H200")):
        recorded(store, made)
    told = nearest_misses(results(store), built())
    assert told[0] == "gpu.driver 580.82 here, 575.51 in the entry that shares all else"
    assert "gpu NVIDIA H100 80GB HBM3 here, NVIDIA H200" in told[1]


def test_a_miss_without_kin_names_the_nearest_entry_of_the_stage(store: Store) -> None:
    recorded(store, dataclasses.replace(built(), options={"number": 7}))
    (told,) = nearest_misses(results(store), built())
    assert told == "the nearest of 1 entries of this stage -> here: options.number: 7 -> 1"
    (told,) = nearest_misses(results(store), built("export"))
    assert told == "no cache has an entry of the export stage"


def test_the_same_difference_is_counted(store: Store) -> None:
    def entry(number: int) -> Any:
        discovered = (("package:somebody", str(number)),)
        return dataclasses.replace(built(), discovered=discovered)

    folder = results(store).folder
    assert folder.is_dir()
    for number in range(3):
        recorded(store, entry(number))
    told = nearest_misses(results(store), built())
    assert len(told) == 3
    assert all("package:somebody missing here" in text for text in told)


def test_a_listing_that_leads_to_another_action_is_not_followed(
    store: Store, tmp_path: Path
) -> None:
    """Whoever may write to a remote cache can list any entry as the kin of any action."""
    other = Store(tmp_path / "other")
    key, trace = put(
        other, dataclasses.replace(built(), options={"number": 9}), {"engine.plan": b"x"}
    )
    kin = kin_of(built().document())
    for place in (f"actions/{key[:2]}/{key[2:]}.json", f"kin/{kin[:2]}/{kin[2:]}/{key}"):
        path = tmp_path / "shared" / place
        path.parent.mkdir(parents=True)
        path.write_bytes(other.actions.path(key).read_bytes())
    other.close()
    store.use_remote(Remote(f"file://{tmp_path}/shared", read_only=True, timeout=5))
    assert store.remote is not None
    assert store.remote.kin(kin) == [key]
    assert store.remote.trace(key) == trace
    assert results(store, "same-sm", anywhere=True).find(built()).trace is None


@pytest.mark.parametrize("lost", ["whole", "torn", "older"])
def test_entries_are_found_again_when_their_table_was_lost(store: Store, lost: str) -> None:
    for number in range(200):
        put(store, action(number), {"engine.plan": b"x"})
    key = recorded(store, built(gpu_driver="575.51"))
    table = store.root / "index.sqlite"
    for end in ("-wal", "-shm"):
        table.with_name(table.name + end).unlink(missing_ok=True)
    if lost == "whole":
        table.unlink()
    elif lost == "torn":
        read_entries(store.root)
        data = bytearray(table.read_bytes())
        data[4096:] = os.urandom(len(data) - 4096)
        table.write_bytes(data)
        assert len(read_entries(store.root)[0]) == 201
    else:
        table.unlink()
        with contextlib.closing(sqlite3.connect(table)) as older:
            older.execute("CREATE TABLE traces (key TEXT PRIMARY KEY, outputs TEXT)")
    assert results(store, "same-sm").find(built()).key == key
