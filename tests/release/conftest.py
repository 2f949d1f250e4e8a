"""A tiny project that is built, locked and committed once, and copied for each test."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.project import Project
from tests.release.bundles import release, write_key
from trtbuild.errors import ExitCode

RECIPE = """\
trtbuild: 1
name: tiny
model: {onnx: tiny.onnx}
inputs:
  x: {dtype: float32, min: [1, 4], opt: [2, 4], max: [8, 4]}
surgery:
  - op: fold_constants
  - hook: "rewrite.py:same"
precisions: [fp32]
build: {backend: tensorrt_rtx, optimization_level: 0}
verify:
  dataset: {npz: data.npz}
  tolerance: {fp32: {max_abs: 1.0e-5}}
package: {licence: CC-BY-4.0}
"""

HOOK = """\
import onnx_graphsurgeon as gs
from helper import NOTHING

def same(graph):
    assert NOTHING == 0
    assert isinstance(graph, gs.Graph)
    return graph
"""


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder, as somebody with no settings of their own."""
    return subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@example.org", *arguments],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/"}
        | {"GIT_AUTHOR_DATE": "@1700000000 +0000", "GIT_COMMITTER_DATE": "@1700000000 +0000"},
    ).stdout


def commit(project: Project, message: str = "work") -> None:
    """Commit everything in the project's folder."""
    git(project.folder, "add", "-A")
    git(project.folder, "commit", "-qm", message)


@pytest.fixture(scope="session")
def locked_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Built, locked and committed; not to be changed."""
    project = Project(tmp_path_factory.mktemp("locked")).tiny(RECIPE)
    project.write("rewrite.py", HOOK)
    project.write("helper.py", "NOTHING = 0\n")
    project.write(".gitignore", "build/\n__pycache__/\n")
    result = project.trtbuild("lock", "tiny.yaml")
    assert result.code == 0, result.err + result.out
    git(project.folder, "init", "-q", "-b", "main")
    commit(project)
    return project


@pytest.fixture
def locked(locked_once: Project, tmp_path: Path) -> Project:
    """A copy of the locked project with its cache, in another folder."""
    return locked_once.copy_to(tmp_path / "copy")


@pytest.fixture(scope="session")
def made(locked_once: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the bundle as `folder` and as `bundle.tar`, signed, and as `unsigned`."""
    root = tmp_path_factory.mktemp("bundles")
    key = write_key(root / "key.pem")
    with pytest.MonkeyPatch.context() as monkeypatch:
        for target in ("folder", "bundle.tar"):
            out = ["-o", str(root / target), "--onnx", "--key", str(key)]
            assert release(locked_once, monkeypatch, *out) == ExitCode.DONE
        assert release(locked_once, monkeypatch, "-o", str(root / "unsigned")) == ExitCode.DONE
    return root


@pytest.fixture
def bundle(made: Path, tmp_path: Path) -> Path:
    """The signed bundle as a folder that a test may change."""
    return Path(shutil.copytree(made / "folder", tmp_path / "bundle"))
