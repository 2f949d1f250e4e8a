"""doit's view of this repository: the recipes in recipes/, and the project's own chores.

`doit list` names the tasks, `doit run digits-cnn:build:fp16` runs one with what it needs, and
`doit` alone brings the recipes up to date. Chores: `doit lint`, `doit types`, `doit tests`.
"""

import sys
from pathlib import Path

from trtbuild.cli.dodo import recipe_tasks

DOIT_CONFIG = {
    # Whether a task is stale is trtbuild's decision alone, so doit needs no state on disk.
    "backend": "sqlite3",
    "dep_file": ":memory:",
    "default_tasks": ["digits-cnn:*"],
    "verbosity": 2,
}


def task_recipes():
    """The recipe that works without fetched models, brought up to date."""
    yield from recipe_tasks([Path("recipes/digits-cnn.yaml")])


def task_lint():
    """Lint and formatting."""
    return {"actions": [_tool("ruff", "check", "."), _tool("ruff", "format", "--check", ".")]}


def task_types():
    """Types, strictly."""
    return {"actions": [_tool("mypy")]}


def task_tests():
    """All tests that run without a GPU."""
    return {"actions": [_tool("pytest", "-n", "2", "-m", "not gpu")]}


def _tool(*command):
    """A tool of the environment that runs doit, whether that is on the PATH or not."""
    return [sys.executable, "-m", *command]
