"""Runs in one output folder: one after the other, and what is recorded was made from its inputs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import pytest

from tests.project import RECIPE, Project, write_tiny_model

HOOK = """\
import time

def slow(graph):
    time.sleep(3)
    return graph
"""

SPOILING = """\
from pathlib import Path

def spoil(graph):
    model = Path(__file__).parent / "build/tiny/export/model.onnx"
    data = model.read_bytes()
    model.write_bytes(data.replace(b"matmul", b"MATMUL"))
    return graph
"""


@pytest.fixture
def slow(project: Project) -> Project:
    """A project whose surgery takes some seconds, and a second recipe of the same name."""
    recipe = RECIPE.replace("  - op: fold_constants\n", '  - hook: "hooks.py:slow"\n')
    project.tiny(recipe)
    project.write("hooks.py", HOOK)
    write_tiny_model(project.folder / "other.onnx", seed=1)
    project.write("other.yaml", recipe.replace("onnx: tiny.onnx", "onnx: other.onnx"))
    return project


def begin(project: Project, *arguments: str) -> subprocess.Popen[str]:
    """Start a command; its standard output is read to the end by whoever needs it."""
    return subprocess.Popen(
        project.command(*arguments),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def until_it_holds(project: Project) -> None:
    """Wait until a run holds the output folder and its surgery has begun."""
    deadline = time.monotonic() + 60
    made = project.folder / "build/tiny/export/model.onnx"
    while not made.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_run_waits_and_says_for_whom(slow: Project) -> None:
    first = begin(slow, "run", "tiny.yaml", "--only", "surgery")
    until_it_holds(slow)
    # With a cache of its own, so that no lock of an action is between them.
    second = slow.trtbuild("run", "other.yaml", "--only", "surgery", "--cache", "elsewhere")
    out, error = first.communicate()
    assert (first.returncode, second.code) == (0, 0), out + error + second.out + second.err
    assert f"waiting for build/tiny, held by pid {first.pid} (user " in second.out
    assert "trtbuild run tiny.yaml" in second.out
    for name in ("tiny.yaml", "other.yaml"):  # each cache holds what its own recipe gives
        fresh = slow.copy_to(slow.root.parent / f"fresh-{name}")
        cache = ("--cache", str(slow.cache if name == "tiny.yaml" else slow.folder / "elsewhere"))
        cached = fresh.trtbuild("run", name, "--only", "surgery", "--json", *cache)
        built = fresh.trtbuild("run", name, "--only", "surgery", "--json", "--cache", "new")
        assert made(cached.json) == made(built.json)


def made(document: object) -> dict[str, object]:
    """The digests of every task's outputs."""
    text = json.dumps(document)
    return {task["id"]: task["outputs"] for task in json.loads(text)["recipes"][0]["tasks"]}


def test_a_run_that_was_killed_keeps_nobody_waiting(slow: Project) -> None:
    first = begin(slow, "run", "tiny.yaml", "--only", "surgery")
    until_it_holds(slow)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    result = slow.trtbuild("run", "other.yaml", "--only", "export")
    assert result.code == 0
    assert "waiting" not in result.out


def test_commands_that_only_read_do_not_wait(slow: Project) -> None:
    first = begin(slow, "run", "tiny.yaml", "--only", "surgery")
    until_it_holds(slow)
    assert slow.trtbuild("plan", "other.yaml").code == 0
    assert first.poll() is None
    first.communicate()


def test_clean_waits_for_a_run(slow: Project) -> None:
    first = begin(slow, "run", "tiny.yaml", "--only", "surgery")
    until_it_holds(slow)
    result = slow.trtbuild("clean", "tiny.yaml")
    assert first.poll() is not None
    assert f"held by pid {first.pid}" in result.err
    assert (result.code, result.out) == (0, "build/tiny: removed\n")
    first.communicate()
    assert first.returncode == 0


def test_what_read_another_s_artifact_is_not_recorded(project: Project) -> None:
    """By whoever does not hold the folder, such as an editor."""
    project.tiny(RECIPE.replace("  - op: fold_constants\n", '  - hook: "hooks.py:spoil"\n'))
    project.write("hooks.py", SPOILING)
    result = project.run("--only", "surgery")
    assert result.code == 1
    assert "an input was changed while the stage ran" in result.task("surgery")["error"]
    assert len(list((project.cache / "actions").rglob("*.json"))) == 1, "of the export"


def test_a_folder_that_is_only_read_is_still_up_to_date(project: Project) -> None:
    project.tiny()
    assert project.run("--only", "surgery").code == 0
    folder = project.folder / "build/tiny"
    (folder / ".trtbuild/lock").unlink()
    for path in (folder, folder / ".trtbuild"):
        path.chmod(0o555)
    result = project.run("--only", "surgery")
    assert set(result.verdicts().values()) == {"UP_TO_DATE"}
    for path in (folder, folder / ".trtbuild"):
        path.chmod(0o755)
