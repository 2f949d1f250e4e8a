"""Real builds killed at random moments, 200 times: after each the next run ends right by itself."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.store.audit import audit
from trtbuild.store.digest import digest_of_file

ROUNDS = 50
OLD = 40 * 86400.0


def test_killed_while_it_builds_and_stores(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    moments = Moments(project, seed=1, longest=5.0)
    for number in range(ROUNDS):
        project.write("tiny.yaml", RECIPE.replace("max: [8, 4]", f"max: [{9 + number}, 4]"))
        moments.kill(project.command("run", "tiny.yaml"))
        moments.next_run_is_right()


def test_killed_while_it_restores(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    assert project.run().code == 0
    moments = Moments(project, seed=2, longest=0.8)
    for number in range(ROUNDS):
        shutil.rmtree(project.folder / "build")
        if number % 5 == 0:
            (project.cache / "memo.sqlite").unlink()  # so that blobs are read and hashed
        moments.kill(project.command("run", "tiny.yaml"))
        verdicts = moments.next_run_is_right()
        assert set(verdicts.values()) <= {"RESTORED", "UP_TO_DATE"}


def test_killed_while_garbage_is_collected(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    moments = Moments(project, seed=3, longest=0.6)
    collect = project.command("cache", "gc", "--max-size", "0")
    for number in range(ROUNDS):
        make_old(project)
        if number % 2:
            moments.kill(collect)
        else:  # a build at the same time, which dies too
            build = start(project.command("run", "tiny.yaml"))
            moments.kill(collect)
            stop(build)
        moments.next_run_is_right()


def test_killed_while_results_are_uploaded(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    shared = tmp_path / "shared"
    moments = Moments(project, seed=4, longest=5.0)
    for number in range(ROUNDS):
        project.write("tiny.yaml", RECIPE.replace("opt: [2, 4]", f"opt: [{1 + number % 8}, 4]"))
        forced = ("--rebuild", "export", "--rebuild", "surgery")
        command = project.command("run", "tiny.yaml", "--remote", shared, *forced)
        moments.kill(command, TRTBUILD_REMOTE_WAIT=("0s", "30s")[number % 2])
        for process in uploading(project):
            os.kill(process, signal.SIGKILL)
        moments.next_run_is_right()
        if shared.exists():
            no_blob_lies(shared)
        if number % 10 == 9:
            finish = project.trtbuild(
                "run", "tiny.yaml", "--remote", shared, TRTBUILD_REMOTE_WAIT="60s"
            )
            assert finish.code == 0
            pushed = project.trtbuild("cache", "push", "--remote", shared)
            assert pushed.code == 0, pushed.out + pushed.err
            shutil.rmtree(project.folder / "build")
            shutil.rmtree(project.cache)
            other = project.run("--only-cached", "--remote", shared)
            assert set(other.verdicts().values()) == {"RESTORED"}, other.err


pytestmark = pytest.mark.slow


class Moments:
    """Kills at moments of one random order, up to as many seconds after the start."""

    def __init__(self, project: Project, *, seed: int, longest: float) -> None:
        self.project = project
        self.longest = longest
        self._random = random.Random(seed)  # noqa: S311 - a moment, not a secret

    def kill(self, command: list[str], **env: str) -> None:
        """Start a command and kill it after a while, if it has not ended by then."""
        process = start(command, **env)
        time.sleep(self._random.uniform(0.0, self.longest))
        stop(process)

    def next_run_is_right(self) -> dict[str, str]:
        """Nothing in the cache is false, a run ends well, and then there is nothing to do."""
        project = self.project
        if (project.cache / "cas").exists():
            no_blob_lies(project.cache)
        result = project.run()
        assert result.code == 0, result.err + result.out
        for task in result.json["recipes"][0]["tasks"]:
            for output in task["outputs"].values():
                file = project.folder / output["path"]
                assert digest_of_file(file).hash == output["sha256"]
        again = project.run()
        assert set(again.verdicts().values()) == {"UP_TO_DATE"}
        assert audit(project.cache) == ()
        if "EXECUTED" not in result.verdicts().values():
            assert project.trtbuild("cache", "gc").code == 0
        assert list((project.cache / "tmp").iterdir()) == []
        return result.verdicts()


def start(command: list[str], **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=Path(command[-1]).parent / "project",
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def stop(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


def no_blob_lies(root: Path) -> None:
    """Every blob under its name has the bytes that hash to it."""
    for blob in (root / "cas").glob("*/*"):
        if not blob.name.startswith("."):
            assert digest_of_file(blob).hash == blob.parent.name + blob.name


def make_old(project: Project) -> None:
    """Let everything in the cache look as if it had been used long ago."""
    then = time.time() - OLD
    for kind in ("actions", "cas", "discovered"):
        for path in (project.cache / kind).glob("*/*"):
            os.utime(path, (then, then))


def uploading(project: Project) -> Iterator[int]:
    """The processes that upload what a run of this project left."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "trtbuild.store.later" not in (process / "cmdline").read_text():
                continue
            if Path(os.readlink(process / "cwd")).is_relative_to(project.root):  # noqa: PTH115
                yield int(process.name)
        except OSError:
            continue  # it has ended
