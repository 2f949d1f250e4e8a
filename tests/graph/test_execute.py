"""Whatever a stage does, even a crash, comes back as an execution."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.discovery.watched import NATIVE, absent, before
from trtbuild.graph.execute import CHILD, Execution, LocalExecutor, Request

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))


def execute(tmp_path: Path, do: str, executor: LocalExecutor | None = None) -> Execution:
    """Run the misbehaving stage."""
    folder = tmp_path / "project"
    folder.mkdir(exist_ok=True)
    (folder / "in").write_bytes(b"content")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    request = Request(
        module="tests.graph.misbehaving",
        options={"do": do},
        inputs={"in": folder / "in"},
        folder=folder,
        project=folder,
        exclude=(tmp_path / "project" / "build", REPOSITORY),
        environment={},
    )
    return (executor or LocalExecutor()).run(request, scratch, lambda _, __: None)


def test_outputs_and_log_of_a_success(tmp_path: Path) -> None:
    execution = execute(tmp_path, "write")
    assert execution.error is None
    assert (execution.outputs / "made").read_bytes() == b"content"
    assert "a line in the log" in execution.log.read_text()


def test_a_warning_is_passed_on(tmp_path: Path) -> None:
    execution = execute(tmp_path, "warn")
    assert execution.error is None
    assert execution.warnings == ("mind the step",)


def test_a_refusal_keeps_place_and_remedy(tmp_path: Path) -> None:
    error = execute(tmp_path, "refuse").error
    assert error is not None
    assert (error.what, error.where, error.hint) == ("no such operator", "node 'a'", "use another")


def test_what_a_stage_made_is_named_without_the_folder_that_is_gone_afterwards(
    tmp_path: Path,
) -> None:
    execution = execute(tmp_path, "refuse its own")
    assert execution.error is not None
    assert (execution.error.where, execution.error.what) == (
        "model.onnx",
        "model.onnx does not run",
    )
    assert execution.warnings == ("model.onnx is odd",)


@pytest.mark.parametrize(
    ("do", "text"),
    [
        ("bug", "KeyError: 'lost'"),
        ("crash", "SIGSEGV"),
        ("exit", "ended with code 7"),
        ("exhaust", "out of memory"),
    ],
)
def test_a_stage_that_dies_is_an_error_and_not_the_end(tmp_path: Path, do: str, text: str) -> None:
    execution = execute(tmp_path, do)
    assert execution.error is not None
    assert text in execution.error.what
    assert "a line in the log" in execution.log.read_text()


def test_a_child_whose_parent_is_gone_already_runs_nothing(tmp_path: Path) -> None:
    made = execute(tmp_path, "write").outputs / "made"
    command = [sys.executable, "-m", CHILD, str(tmp_path / "scratch/request.json"), "1"]
    for parent, runs in ((os.getppid(), False), (os.getpid(), True)):
        made.unlink(missing_ok=True)
        child = subprocess.run([*command, str(parent)], capture_output=True, text=True)
        assert (child.returncode, child.stderr) == (0 if runs else 1, "")
        assert made.exists() is runs


@pytest.mark.parametrize("do", ["sleep", "hang"])
def test_stop_ends_a_running_stage_and_its_children(tmp_path: Path, do: str) -> None:
    executor = LocalExecutor()
    found: list[Execution] = []
    thread = threading.Thread(target=lambda: found.append(execute(tmp_path, do, executor)))
    thread.start()
    log = tmp_path / "scratch" / "log"
    deadline = time.monotonic() + 20
    while not (log.exists() and "a line" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    executor.stop()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert found[0].error is not None
    assert "SIGKILL" in found[0].error.what


def test_what_the_users_code_reads_is_discovered(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "data").mkdir()
    (folder / "build").mkdir()
    (folder / "build" / "old").write_text("")
    (folder / "data" / "classes.txt").write_text("a\nb")
    (folder / "pkg" / "__init__.py").write_text("from pkg.helper import VALUE\n")
    (folder / "pkg" / "helper.py").write_text("import yaml\nVALUE = 1\n")
    (folder / "unused.py").write_text("")
    (folder / "factory.py").write_text(
        "import importlib.metadata, os, pathlib, sys\nimport pkg\n"
        "HERE = pathlib.Path(__file__).parent\n"
        "def make():\n"
        "    open(HERE / 'data' / 'classes.txt').close()\n"
        "    open(HERE / 'build' / 'old').close()\n"
        "    open(HERE / 'written', 'w').close()\n"
        "    os.listdir(HERE / 'data')\n"
        "    sys.path.insert(0, str(HERE))\n"
        "    importlib.metadata.packages_distributions()\n"
        "    open(HERE / 'in').close()\n"
    )
    execution = execute(tmp_path, "read")
    assert execution.error is None
    compiled = {f"pkg/__init__{suffix}" for suffix in NATIVE}
    files = {"data/classes.txt", "factory.py", "pkg/__init__.py", "pkg/helper.py"}
    missing = {*absent("yaml"), *before("pkg/helper"), *compiled}
    names = (*sorted(files | missing), "data/", "package:PyYAML")
    assert execution.discovered == names
