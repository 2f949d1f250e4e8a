"""Locks: written, compared, and enforced."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from tests.project import Project, write_tiny_model
from tests.release.conftest import commit, git
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.release.lock import key_of, lock_text
from trtbuild.release.lock_read import parse_lock


def cli(project: Project, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> ExitCode:
    """A command in this process, in the project's folder."""
    monkeypatch.chdir(project.folder)
    return main([*arguments, "--cache", str(project.cache)])


def test_a_lock_has_a_sorted_block_per_task_with_digests_of_inputs_and_outputs(
    locked: Project,
) -> None:
    document = yaml.safe_load((locked.folder / "tiny.lock").read_text())
    assert list(document["tasks"]) == sorted(document["tasks"])
    assert set(document["tasks"]) == {"export", "surgery", "reference", "build:fp32", "verify:fp32"}
    build = document["tasks"]["build:fp32"]
    assert build["inputs"].keys() == {"model/model.onnx"}
    assert build["outputs"].keys() == {"engine.plan", "build.json"}
    assert "tensorrt-rtx" in build["toolchain"]
    assert document["tasks"]["surgery"]["discovered"].keys() >= {"rewrite.py", "helper.py"}
    assert document["tasks"]["verify:fp32"]["engine"] != ""


def test_locking_again_changes_nothing(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (locked.folder / "tiny.lock").read_bytes()
    assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
    assert (locked.folder / "tiny.lock").read_bytes() == before
    assert "tiny.lock: is current" in capsys.readouterr().out


def test_a_lock_says_the_same_in_another_folder_with_another_cache(
    locked: Project, tmp_path: Path
) -> None:
    other = locked.copy_to(tmp_path / "elsewhere")
    shutil.rmtree(other.cache)
    shutil.rmtree(other.folder / "build")
    (other.folder / "tiny.lock").unlink()
    assert other.trtbuild("lock", "tiny.yaml").code == 0
    assert (other.folder / "tiny.lock").read_text() == (locked.folder / "tiny.lock").read_text()


def test_a_current_lock_passes_the_check_without_a_cache_or_outputs(
    locked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(locked.cache)
    shutil.rmtree(locked.folder / "build")
    assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.DONE
    assert not (locked.folder / "build").exists()


@pytest.mark.parametrize(
    ("file", "old", "new", "difference"),
    [
        (
            "tiny.yaml",
            "opt: [2, 4]",
            "opt: [3, 4]",
            "build:fp32.options.inputs.x.opt: [2,4] -> [3,4]",
        ),
        (
            "tiny.yaml",
            "max_abs: 1.0e-5",
            "max_abs: 1.0e-4",
            "verify:fp32.options.tolerance.max_abs",
        ),
        ("tiny.yaml", "  - op: fold_constants\n", "", "surgery.options.steps"),
        ("tiny.yaml", "precisions: [fp32]", "precisions: [fp32, fp16]", "build:fp16: absent"),
        ("helper.py", "NOTHING = 0", "NOTHING = 0  # changed", "surgery.discovered.helper.py"),
        ("tiny.lock", "tensorrt-rtx: 1", "tensorrt-rtx: 0.1", "build:fp32.toolchain.tensorrt-rtx"),
    ],
)
def test_a_difference_from_the_lock_is_named_by_its_field_and_nothing_runs(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    file: str,
    old: str,
    new: str,
    difference: str,
) -> None:
    shutil.rmtree(locked.cache)
    shutil.rmtree(locked.folder / "build")
    locked.replace(file, old, new)
    for command in (["lock", "--check"], ["run", "--locked"]):
        assert cli(locked, monkeypatch, *command, "tiny.yaml") == ExitCode.DIFFERENT
        assert difference in capsys.readouterr().err
    assert not (locked.folder / "build").exists()


def test_other_weights_are_a_difference_of_the_input_s_digest(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tiny_model(locked.folder / "tiny.onnx", seed=5)
    assert cli(locked, monkeypatch, "run", "--locked", "tiny.yaml") == ExitCode.DIFFERENT
    error = capsys.readouterr().err
    assert "export.inputs.onnx: " in error
    assert "reference.inputs.onnx: " in error


def test_an_action_key_that_is_not_that_of_its_block_is_a_difference(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = locked.folder / "tiny.lock"
    before = lock.read_bytes()
    lock.write_text(re.sub(r"action: [0-9a-f]{64}", f"action: {'0' * 64}", lock.read_text()))
    commit(locked)
    for command in (
        ["lock", "--check", "tiny.yaml"],
        ["run", "--locked", "tiny.yaml"],
        ["release", "tiny.yaml", "-o", "../out", "--allow", "unsigned,unverified"],
    ):
        assert cli(locked, monkeypatch, *command) == ExitCode.DIFFERENT
        error = capsys.readouterr().err
        assert "build:fp32.action: 000000000000 -> " in error
        assert "trtbuild lock tiny.yaml" in error
    assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
    assert lock.read_bytes() == before


def test_a_locked_run_restores_what_was_locked(
    locked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = (locked.folder / "build/tiny/fp32/engine.plan").read_bytes()
    shutil.rmtree(locked.folder / "build")
    assert cli(locked, monkeypatch, "run", "--locked", "tiny.yaml") == ExitCode.DONE
    assert (locked.folder / "build/tiny/fp32/engine.plan").read_bytes() == engine


def test_a_run_that_gives_other_bytes_than_the_lock_stops_there_with_code_4(
    locked: Project,
) -> None:
    path = locked.folder / "tiny.lock"
    engine = yaml.safe_load(path.read_text())["tasks"]["build:fp32"]["outputs"]["engine.plan"]
    # The lock of somebody whose builder gave other bytes.
    other = "sha256:" + "0" * 64 + ":" + engine.rpartition(":")[2]
    lock = parse_lock(path.read_text().replace(engine, other).encode(), "tiny.lock")
    tasks = {name: replace(task, key=key_of(task)) for name, task in lock.tasks.items()}
    path.write_text(lock_text(replace(lock, tasks=tasks), "tiny.yaml"))
    shutil.rmtree(locked.folder / "build")
    for _ in range(2):  # from the cache, and built anew
        result = locked.run("--locked")
        assert result.code == 4
        assert result.verdicts()["export"] != "FAILED"
        assert result.verdicts()["build:fp32"] == "FAILED"
        assert result.verdicts()["verify:fp32"] == "SKIPPED"
        assert (
            "build:fp32.outputs.engine.plan: 000000000000 -> " in result.task("build:fp32")["error"]
        )
        assert not (locked.folder / "build/tiny/fp32/engine.plan").exists()
        shutil.rmtree(locked.cache)


def test_a_locked_run_without_a_lock_says_how_to_make_one(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (locked.folder / "tiny.lock").unlink()
    assert cli(locked, monkeypatch, "run", "--locked", "tiny.yaml") == ExitCode.INVALID
    assert "trtbuild lock tiny.yaml" in capsys.readouterr().err


CONFLICT = """\
# The lock
lock: 1
<<<<<<< HEAD
recipe: tiny
=======
recipe: other
>>>>>>> theirs
"""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (CONFLICT, "tiny.lock:3: conflict markers"),
        ("lock: 2\nrecipe: tiny\ntasks: {}\n", "format 2; this trtbuild reads 1"),
        ("lock: one\nrecipe: tiny\ntasks: {}\n", "format one"),
        ("lock: 1\nrecipe: other\ntasks: {}\n", "this is the lock of other, not of tiny"),
        ("lock: 1\nrecipe: tiny\n", "tasks should be a mapping"),
        ("lock: 1\nrecipe: tiny\ntasks: {}\nextra: 1\n", "extra is no key of a lock"),
        ("lock: 1\nrecipe: tiny\nrecipe: tiny\ntasks: {}\n", "tiny.lock:3:1"),
        ("lock: 1\nrecipe: tiny\ntasks: {export: {}}\n", "export: action is missing"),
        ("[1, 2]\n", "tiny.lock"),
        ("", "tiny.lock: this lock is empty\n  hint: run `trtbuild lock` again"),
        (b"lock: 1\nrecipe: \xff\n", "tiny.lock:2:9: byte 0xff is not UTF-8\n  hint: run `trtb"),
        ("\x00\x01", "tiny.lock"),
        ("lock: 1\nrecipe: tiny\ntasks: {export: [\n", "tiny.lock"),
    ],
)
def test_a_lock_that_cannot_be_used_is_named_with_the_reason(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | bytes,
    message: str,
) -> None:
    data = content if isinstance(content, bytes) else content.encode()
    (locked.folder / "tiny.lock").write_bytes(data)
    assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.INVALID
    error = capsys.readouterr().err
    assert message in error
    assert "bug in trtbuild" not in error


@pytest.mark.parametrize("key", ["action", "inputs", "outputs", "toolchain", "options", "stage"])
def test_a_block_that_lost_a_key_or_has_nonsense_there_is_named(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    key: str,
) -> None:
    path = locked.folder / "tiny.lock"
    document = yaml.safe_load(path.read_text())
    for value in (None, 7, {"x": "nonsense"}, ["y"]):
        block = dict(document["tasks"]["build:fp32"])
        if value is None:
            del block[key]
        else:
            block[key] = value
        tasks = {**document["tasks"], "build:fp32": block}
        path.write_text(yaml.safe_dump({**document, "tasks": tasks}))
        code = cli(locked, monkeypatch, "lock", "--check", "tiny.yaml")
        assert code in (ExitCode.INVALID, ExitCode.DIFFERENT)
        assert "build:fp32" in capsys.readouterr().err


def test_a_file_name_that_no_file_can_have_is_named_by_its_task(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    locked.replace("tiny.lock", "discovered: {}", 'discovered: {"a\\0b": x}')
    assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.INVALID
    error = capsys.readouterr().err
    assert "discovered names what no file can be called" in error
    assert "run `trtbuild lock` again" in error


def test_locking_replaces_a_lock_with_conflicts_but_not_that_of_another_recipe(
    locked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = locked.folder / "tiny.lock"
    good = path.read_text()
    path.write_text(CONFLICT)
    assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
    assert path.read_text() == good
    for foreign in ("lock: 1\nrecipe: other\ntasks: {}\n", "lock: 2\n"):
        path.write_text(foreign)
        assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.INVALID
        assert path.read_text() == foreign


TWO = """\
precisions: [fp32, tf32]
build: {backend: tensorrt_rtx, optimization_level: 0}
verify:
  dataset: {npz: data.npz}
  tolerance:
    fp32: {max_abs: 1.0e-5}
    # by TF32, where a GPU uses it

    tf32: {max_abs: 1.0e-2}
"""


def edited(project: Project, branch: str, old: str, new: str) -> None:
    """A branch off main on which the recipe is changed and locked."""
    git(project.folder, "checkout", "-q", "-b", branch, "main")
    project.replace("tiny.yaml", old, new)
    assert project.trtbuild("lock", "tiny.yaml").code == 0
    commit(project, branch)


@pytest.mark.parametrize(
    "foreign",
    [
        '# This file is automatically @generated by Poetry.\n[[package]]\nname = "trtbuild"\n',
        "packages:\n  async:\n    version: 2.11.0\n",  # pub
        '{"_meta": {}}\n',  # pipenv
        "\x7fELF",
    ],
)
def test_locking_leaves_the_lock_of_another_tool(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    foreign: str,
) -> None:
    path = locked.folder / "tiny.lock"
    path.write_text(foreign)
    assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.INVALID
    assert path.read_text() == foreign
    error = capsys.readouterr().err
    assert "tiny.lock: this is no lock of trtbuild, and is not overwritten" in error
    assert "move it away" in error


@pytest.mark.parametrize("damage", [b"", b"\n"])
def test_locking_replaces_a_lock_that_a_full_disk_left_empty(
    locked: Project, monkeypatch: pytest.MonkeyPatch, damage: bytes
) -> None:
    path = locked.folder / "tiny.lock"
    good = path.read_bytes()
    for content in (damage, good[: len(good) // 2], good + b"\xff"):
        path.write_bytes(content)
        assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
        assert path.read_bytes() == good


def test_git_merges_the_locks_of_two_branches_that_changed_different_tasks(
    locked: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (locked.folder / "tiny.yaml").read_text()
    locked.write("tiny.yaml", text[: text.index("precisions:")] + TWO)
    assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
    commit(locked)
    edited(locked, "one", "max_abs: 1.0e-5", "max_abs: 2.0e-5")
    edited(locked, "other", "max_abs: 1.0e-2", "max_abs: 2.0e-2")
    git(locked.folder, "merge", "-q", "--no-edit", "one")
    merged = yaml.safe_load((locked.folder / "tiny.lock").read_text())["tasks"]
    assert merged["verify:fp32"]["options"]["tolerance"] == {"max_abs": 2.0e-5}
    assert merged["verify:tf32"]["options"]["tolerance"] == {"max_abs": 2.0e-2}
    # Each block is what its own branch locked, so that nothing has to be locked again.
    assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.DONE


def test_after_a_conflict_either_side_and_a_lock_again_is_current(
    locked: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(locked, "ours", "max_abs: 1.0e-5", "max_abs: 2.0e-5")
    edited(locked, "theirs", "max_abs: 1.0e-5", "max_abs: 3.0e-5")
    with pytest.raises(subprocess.CalledProcessError):
        git(locked.folder, "merge", "-q", "--no-edit", "ours")
    git(locked.folder, "checkout", "--theirs", "tiny.yaml")
    assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.INVALID
    error = capsys.readouterr().err
    assert "conflict markers of a merge: <<<<<<<" in error
    assert "git checkout --ours" in error
    for side in ("--ours", "--theirs"):
        git(locked.folder, "checkout", side, "tiny.lock")
        assert cli(locked, monkeypatch, "lock", "tiny.yaml") == ExitCode.DONE
        assert cli(locked, monkeypatch, "lock", "--check", "tiny.yaml") == ExitCode.DONE
