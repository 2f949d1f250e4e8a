"""Rebuilding: the level that is reached, and what differs first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.project import Project
from tests.release.bundles import release
from tests.release.conftest import commit
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.graph.execute import LocalExecutor, Request
from trtbuild.release.levels import (
    ByteDifference,
    Level,
    Renaming,
    compare_bytes,
    level_reached,
    renaming,
    same_in_all,
    same_layers,
)
from trtbuild.stages.steady import COMPILER_OPTIONS, SERIAL, stage_environment

UNSTEADY = """\
import os
import numpy as np

def same(graph):
    for name, tensor in graph.tensors().items():
        if name == "b":
            tensor.values = np.frombuffer(os.urandom(12), np.uint8)[:3].astype(np.float32)
    return graph
"""


def rebuild(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ExitCode:
    """`trtbuild rebuild --check tiny.yaml` in this process."""
    monkeypatch.chdir(project.folder)
    cache = ["--cache", str(project.cache)]
    return main(["rebuild", "--check", "tiny.yaml", *arguments, *cache])


def test_a_rebuild_in_new_processes_gives_the_same_plan_and_a_release_can_require_that(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    shutil.rmtree(locked.folder / "build")  # something has to be restored first
    shutil.rmtree(locked.cache)
    assert rebuild(locked, monkeypatch, "--rounds", "2", "--json") == ExitCode.DONE
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    levels = {name: level["reached"] for name, level in variant["levels"].items()}
    assert {name: levels[name] for name in ("R0", "R1", "R2", "R3", "R4")} == {
        "R0": True,
        "R1": True,
        "R2": None,
        "R3": True,
        "R4": True,
    }
    assert variant["rounds"] == 2
    out = ["-o", str(tmp_path / "out"), "--require", "R1,R4"]
    assert release(locked, monkeypatch, *out) == ExitCode.DONE
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert manifest["recipes"][0]["variants"][0]["reproducibility"]["level"] == variant["level"]
    assert (tmp_path / "out/tiny/rebuild.json").exists()


def test_what_differs_first_is_named_by_task_file_and_bytes(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked.write("rewrite.py", UNSTEADY)
    locked.replace("tiny.yaml", "max_abs: 1.0e-5", "max_abs: 1000")
    monkeypatch.chdir(locked.folder)
    assert main(["lock", "tiny.yaml", "--cache", str(locked.cache)]) == ExitCode.DONE
    commit(locked)
    capsys.readouterr()
    assert rebuild(locked, monkeypatch, "--json") == ExitCode.DIFFERENT
    (variant,) = json.loads(capsys.readouterr().out)["variants"]
    assert variant["level"] == "R0"
    assert "surgery model.onnx: " in variant["levels"]["R1"]["note"]
    assert " within bytes " in variant["levels"]["R1"]["note"]
    assert not variant["levels"]["R4"]["reached"]
    out = ["-o", str(locked.root / "out"), "--require", "R1"]
    assert release(locked, monkeypatch, *out) == ExitCode.FAILED
    assert "R1 is not reached: 1 of 1 rounds differ" in capsys.readouterr().err


def test_without_a_lock_no_level_is_reached_but_that_is_no_difference(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (locked.folder / "tiny.lock").unlink()
    assert rebuild(locked, monkeypatch) == ExitCode.DONE
    out = capsys.readouterr().out
    assert "tiny fp32: none in 1 rounds" in out
    assert "R0 no  there is no lock" in out


def test_files_are_compared_byte_by_byte(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    data = bytes(3_000_000)
    one.write_bytes(data)
    other.write_bytes(data)
    assert compare_bytes(one, other) is None
    changed = bytearray(data)
    for place in (5, 1_500_000, 2_999_999):
        changed[place] = 1
    other.write_bytes(changed)
    assert compare_bytes(one, other) == ByteDifference((3_000_000, 3_000_000), 3, 5, 2_999_999)
    other.write_bytes(data[:-2])
    assert compare_bytes(one, other) == ByteDifference(
        (3_000_000, 2_999_998), 2, 2_999_998, 2_999_999
    )


NAMED = b'head\0{"__mye12" "__mye77" out={"__mye12" "proxy___mye13"}}tail'
RENAMED = {
    "one name": (NAMED.replace(b"mye12", b"mye99"), (1, "__mye12", "__mye99")),
    "two names": (
        NAMED.replace(b"mye12", b"mye31").replace(b"mye77", b"mye12"),
        (2, "__mye12", "__mye31"),
    ),
    "nothing": (NAMED, None),
    "something else too": (NAMED.replace(b"mye12", b"mye99").replace(b"tail", b"tale"), None),
    "only something else": (NAMED.replace(b"head", b"haed"), None),
    "one of two uses": (NAMED.replace(b"mye12", b"mye99", 1), None),
    "two names become one": (NAMED.replace(b"mye12", b"mye77"), None),
    "another length": (NAMED.replace(b"mye12", b"mye9999"), None),
    "lengths that make up": (NAMED.replace(b"mye12", b"mye123").replace(b"mye13", b"m"), None),
}


@pytest.mark.parametrize("what", RENAMED)
def test_plans_that_differ_in_internal_names_only_are_told_apart_from_others(
    tmp_path: Path, what: str
) -> None:
    content, expected = RENAMED[what]
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(NAMED)
    other.write_bytes(content)
    assert renaming(one, other) == (Renaming(*expected) if expected else None)


def test_a_renaming_is_said_by_its_first_name() -> None:
    told = str(Renaming(3, "__mye12", "__mye99"))
    assert told == "only internal names differ: __mye12 is __mye99 and 2 more"


@pytest.mark.parametrize(
    ("reached", "level"),
    [
        ([False, True, None, True, True, True], "none"),
        ([True, True, None, None, False, None], "R1"),
        ([True, True, None, True, True, None], "R4"),
        ([True, True, True, True, False, True], "R3"),
        ([True, True, None, None, None, True], "R5"),
    ],
)
def test_a_level_needs_that_none_below_it_fails(reached: list[bool | None], level: str) -> None:
    levels = {f"R{i}": Level(value, "") for i, value in enumerate(reached)}
    assert level_reached(levels) == level


def test_the_first_round_that_differs_is_named() -> None:
    assert same_in_all([None, None], "good") == Level(True, "good")
    found = same_in_all([None, "byte 7", "byte 9"], "good")
    assert found == Level(False, "2 of 3 rounds differ; round 2: byte 7")


def test_stages_run_at_fixed_addresses_where_the_system_allows_it(tmp_path: Path) -> None:
    found = set()
    for name in ("a", "bb"):
        scratch = tmp_path / name
        scratch.mkdir()
        request = Request(
            module="tests.release.addresses",
            options={},
            inputs={},
            folder=tmp_path,
            project=tmp_path,
            exclude=(),
            environment={"PYTHONPATH": str(Path(__file__).parents[2])},
        )
        execution = LocalExecutor().run(request, scratch, lambda *_: None)
        assert execution.error is None, execution.error
        found.add((execution.outputs / "addresses").read_text())
    assert len(found) == 1
    fixed = found.pop()
    assert fixed.startswith(("fixed ", "not allowed"))


def test_the_compiler_of_rtx_works_in_one_thread_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(COMPILER_OPTIONS, raising=False)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.check=1")
    build = "trtbuild.stages.build"
    found = stage_environment(build, "tensorrt_rtx")
    assert found["GLIBC_TUNABLES"] == "glibc.malloc.check=1:glibc.malloc.tcache_count=0"
    assert found[COMPILER_OPTIONS] == SERIAL
    assert COMPILER_OPTIONS not in stage_environment(build, "tensorrt")
    assert stage_environment("trtbuild.stages.verify", "tensorrt_rtx") == dict(os.environ)
    monkeypatch.setenv(COMPILER_OPTIONS, "-thread_pool_serialize=off")
    both = stage_environment(build, "tensorrt_rtx")[COMPILER_OPTIONS]
    assert both == f"{SERIAL} -thread_pool_serialize=off"


def test_what_a_shell_keeps_for_itself_reaches_no_builder_of_rtx(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONPATH", "HOME"):
        monkeypatch.setenv(name, "needed")
    before = stage_environment("trtbuild.stages.build", "tensorrt_rtx")
    assert before.keys() >= {"CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "PYTHONPATH", "HOME"}
    monkeypatch.setenv("OLDPWD", "/somewhere/else")
    monkeypatch.setenv("SSH_CONNECTION", "1 2 3 4")
    assert stage_environment("trtbuild.stages.build", "tensorrt_rtx") == before
    # A plugin of TensorRT is the user's code, and may look for anything.
    assert "OLDPWD" in stage_environment("trtbuild.stages.build", "tensorrt")


def layer(name: str, tactic: str = "t") -> dict[str, str]:
    return {"name": name, "kind": "conv", "tactic": tactic}


def test_layers_and_tactics_are_compared_in_order() -> None:
    one = [layer("a"), layer("b")]
    assert [level.reached for level in same_layers(one, list(one))] == [True, True]
    tactics, layers = same_layers(one, [layer("a"), layer("b", "u")])
    assert (tactics.reached, tactics.note) == (False, "'b' runs u, not t")
    assert layers.reached
    for other in ([layer("b"), layer("a")], [layer("a")]):
        assert [level.reached for level in same_layers(one, other)] == [False, False]
    untold = [layer("a", "")]
    assert same_layers(untold, untold)[0].reached is None
    assert same_layers([], one)[1].reached is None
