"""A release is of one commit: what is not part of it, or changes meanwhile, is refused."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import Project
from tests.release.bundles import ALLOW, release
from tests.release.conftest import commit, git
from trtbuild.cli import release as command
from trtbuild.errors import ExitCode
from trtbuild.graph.session import Session
from trtbuild.release import source


def _edit_recipe(project: Project) -> None:
    project.replace("tiny.yaml", "licence: CC-BY-4.0", "licence: MIT")


def _commit_elsewhere(project: Project) -> None:
    project.write("note.txt", "of the next commit")
    commit(project)


def _edit_lock(project: Project) -> None:
    project.replace("tiny.lock", "# The lock", "# A lock")


def _edit_input(project: Project) -> None:
    project.write("helper.py", "NOTHING = 0  # another\n")
    commit(project)


@pytest.mark.parametrize("change", [_edit_recipe, _edit_lock, _edit_input, _commit_elsewhere])
@pytest.mark.parametrize("committed", [False, True])
def test_what_changes_while_a_release_is_made_is_in_no_release(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[Project], None],
    committed: bool,
) -> None:
    run = command.run_session

    def run_slowly(session: Session) -> bool:
        done = run(session)
        change(locked)
        if committed and change in (_edit_recipe, _edit_lock):
            commit(locked)
        return done

    monkeypatch.setattr(command, "run_session", run_slowly)
    out = tmp_path / "out"
    allow = f"{ALLOW},dirty"
    assert release(locked, monkeypatch, "-o", str(out), allow=allow) == ExitCode.FAILED
    error = capsys.readouterr().err
    assert "while the release was made" in error
    assert "hint: release it again" in error
    assert not out.exists()


def test_git_that_cannot_say_what_differs_is_no_clean_repository(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    locked.write("note.txt", "not committed")
    (locked.folder / ".git/index").write_bytes(b"garbage")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.FAILED
    error = capsys.readouterr().err
    assert f"{locked.folder}: git cannot say what differs from the last commit" in error
    assert "index file" in error
    assert not (tmp_path / "out").exists()


def test_git_that_takes_too_long_is_no_clean_repository(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    slow = tmp_path / "bin/git"
    slow.parent.mkdir()
    real = shutil.which("git")
    slow.write_text(f'#!/bin/sh\ncase "$*" in *status*) exec sleep 30;; esac\nexec {real} "$@"\n')
    slow.chmod(0o755)
    monkeypatch.setenv("PATH", f"{slow.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(source, "GIT_SECONDS", 1)
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.FAILED
    assert "no answer within 1 s" in capsys.readouterr().err


def _ignored(project: Project) -> None:
    git(project.folder, "rm", "-q", "--cached", "helper.py")
    with (project.folder / ".gitignore").open("a") as file:
        file.write("helper.py\n")
    commit(project)


def _assumed_unchanged(project: Project) -> None:
    git(project.folder, "update-index", "--assume-unchanged", "helper.py")


@pytest.mark.parametrize("hide", [_ignored, _assumed_unchanged])
def test_an_input_that_git_does_not_look_after_is_dirty(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    hide: Callable[[Project], None],
) -> None:
    hide(locked)
    out = ["-o", str(tmp_path / "out")]
    assert release(locked, monkeypatch, *out) == ExitCode.FAILED
    assert "dirty: not committed: helper.py" in capsys.readouterr().err
    assert release(locked, monkeypatch, *out, allow=f"{ALLOW},dirty") == ExitCode.DONE


def test_a_submodule_that_differs_is_dirty_whatever_git_was_told_to_ignore(
    locked: Project,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    git(inner, "init", "-q")
    (inner / "data.txt").write_text("as committed")
    git(inner, "add", "-A")
    git(inner, "commit", "-qm", "inner")
    allowed = ("-c", "protocol.file.allow=always")
    git(locked.folder, *allowed, "submodule", "--quiet", "add", str(inner), "inner")
    git(locked.folder, "config", "diff.ignoreSubmodules", "all")
    commit(locked)
    assert source.source_state(locked.folder, [locked.folder / "inner/data.txt"]).changed == ()
    (locked.folder / "inner/data.txt").write_text("changed")
    assert release(locked, monkeypatch, "-o", str(tmp_path / "out")) == ExitCode.FAILED
    assert "dirty: not committed: inner" in capsys.readouterr().err
