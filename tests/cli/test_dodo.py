"""Recipes in somebody's dodo.py: what doit says of them."""

from __future__ import annotations

import subprocess
import sys

from tests.project import RECIPE, Project, Result

DODO = """\
from pathlib import Path
from trtbuild.cli.dodo import recipe_tasks

DOIT_CONFIG = {"backend": "sqlite3", "dep_file": ":memory:"}

def task_engines():
    yield from recipe_tasks([Path("tiny.yaml")])
"""


def doit(project: Project, *arguments: str) -> Result:
    project.write("dodo.py", DODO)
    process = subprocess.run(
        [sys.executable, "-m", "doit", *arguments],
        cwd=project.folder,
        env={"PATH": "/usr/bin:/bin", "TRTBUILD_CACHE": str(project.cache), **path()},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(process.returncode, process.stdout, process.stderr)


def path() -> dict[str, str]:
    """Where this process has trtbuild from."""
    return {"PYTHONPATH": ":".join(entry for entry in sys.path if entry)}


def test_doit_names_and_runs_the_tasks(project: Project) -> None:
    project.tiny()
    assert "tiny:build:fp32" in doit(project, "list", "--all").out
    assert doit(project, "run", "tiny:export").code == 0
    assert (project.folder / "build/tiny/export/model.onnx").exists()


def test_doit_says_why_a_task_failed(project: Project) -> None:
    project.tiny()
    project.write("tiny.onnx", "\x08\x0a: no model")
    result = doit(project, "run", "tiny:export")
    assert result.code == 1
    everything = result.out + result.err
    assert "tiny.yaml:3:" in everything
    assert "model" in everything
    assert "log: " in everything or "hint: " in everything
    assert "Traceback" not in everything


def test_a_bad_recipe_is_an_error_of_doit_and_no_traceback(project: Project) -> None:
    project.tiny(RECIPE.replace("precisions", "precision"))
    result = doit(project, "list")
    assert result.code == 3
    assert "tiny.yaml:8:1" in result.err
    assert "Did you mean 'precisions'" in result.err
    assert "Traceback" not in result.err
