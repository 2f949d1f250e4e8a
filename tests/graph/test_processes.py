"""Several processes on one cache, and processes that die."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.project import RECIPE, Project


def no_blob_lies(project: Project) -> None:
    """Every blob hashes to its name, and every trace is whole and names blobs that are there."""
    from trtbuild.store.digest import digest_of_file

    blobs = {}
    for blob in (project.cache / "cas").glob("*/*"):
        digest = digest_of_file(blob)
        assert blob.parent.name + blob.name == digest.hash
        blobs[digest.hash] = digest.size_bytes
    for trace in (project.cache / "actions").glob("*/*.json"):
        for _, name, size in json.loads(trace.read_text())["outputs"]:
            assert blobs[name] == size


@pytest.mark.parametrize("seed", range(6))
def test_a_run_killed_at_any_moment_leaves_nothing_false(tmp_path: Path, seed: int) -> None:
    project = Project(tmp_path).tiny()
    process = subprocess.Popen(
        project.command("run", "tiny.yaml"), cwd=project.folder, stdout=subprocess.DEVNULL
    )
    time.sleep(random.Random(seed).uniform(0.3, 5.0))  # noqa: S311 - a moment, not a secret
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if (project.cache / "cas").exists():
        no_blob_lies(project)
    again = project.run()
    assert again.code == 0, again.err
    no_blob_lies(project)
    assert list((project.cache / "tmp").iterdir()) == []
    assert set(project.run().verdicts().values()) == {"UP_TO_DATE"}


def test_a_stage_does_not_outlive_a_killed_run(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny(RECIPE.replace("fold_constants", "cleanup"))
    project.write("hooks.py", "import time\n\n\ndef wait(graph):\n    time.sleep(60)\n")
    project.replace("tiny.yaml", "  - op: cleanup", '  - hook: "hooks.py:wait"')
    process = subprocess.Popen(
        project.command("run", "tiny.yaml"), cwd=project.folder, stdout=subprocess.DEVNULL
    )
    children = wait_for_children(process.pid, "surgery")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 5
    while any(map(alive, children)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(alive, children))


def test_an_interrupt_ends_the_run_with_130_and_keeps_what_is_done(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    project.write("hooks.py", "import time\n\n\ndef wait(graph):\n    time.sleep(60)\n")
    project.replace("tiny.yaml", "  - op: fold_constants", '  - hook: "hooks.py:wait"')
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = project.started("run", "tiny.yaml", "--json", "--junit", "tests.xml", **pipes)
    wait_for_children(process.pid, "surgery")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    document = json.loads(out)
    assert document["exit_code"] == 130
    tasks = {task["id"]: task for task in document["recipes"][0]["tasks"]}
    assert tasks["export"]["verdict"] == "EXECUTED"
    assert tasks["surgery"]["verdict"] == "SKIPPED"
    assert tasks["surgery"]["reasons"][0]["text"] == "the run was interrupted"
    assert "the run was interrupted" in (project.folder / "tests.xml").read_text()
    assert "interrupted" in err
    assert "Traceback" not in err
    plan = project.trtbuild("plan", "tiny.yaml", "--json").verdicts()
    assert plan["export"] == "UP_TO_DATE"


@pytest.mark.parametrize("same_folder", [True, False], ids=["one folder", "two folders"])
def test_two_runs_at_once_execute_each_action_once(tmp_path: Path, same_folder: bool) -> None:
    first = Project(tmp_path).tiny()
    second = first
    if not same_folder:
        shutil.copytree(first.folder, tmp_path / "other" / "project")
        second = Project(tmp_path / "other")
        second.cache = first.cache
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(Project.run, (first, second)))
    assert [result.code for result in results] == [0, 0], [result.err for result in results]
    for task_id, verdict in results[0].verdicts().items():
        verdicts = [verdict, results[1].verdicts()[task_id]]
        assert verdicts.count("EXECUTED") == 1, (task_id, verdicts)
    no_blob_lies(first)
    engines = [p.folder / "build/tiny/fp32/engine.plan" for p in (first, second)]
    assert engines[0].read_bytes() == engines[1].read_bytes()


def test_tasks_that_do_not_need_each_other_run_at_once(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny(RECIPE.replace("[fp32]", "[fp32, fp16]"))
    result = project.run("-j", "3")
    assert result.code == 0, result.err
    assert set(result.verdicts().values()) == {"EXECUTED"}


def wait_for_children(pid: int, words: str, timeout: float = 30) -> list[int]:
    """The children of a process once one of them has read the request of a stage."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        children = [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        requests = [request_of(child) for child in children]
        if any(words in request for request in requests):
            time.sleep(0.5)
            return children
        time.sleep(0.02)
    raise AssertionError(f"no child runs {words}")


def request_of(pid: int) -> str:
    """The request that a stage's process was started with."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
        return next((Path(c).read_text() for c in command if c.endswith("request.json")), "")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
