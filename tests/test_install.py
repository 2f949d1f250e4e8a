"""What a user installs: the wheel with the core's dependencies alone, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.project import Project

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's wheel."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder)]
    built = subprocess.run([*pip, str(ROOT)], capture_output=True, text=True)
    if built.returncode and "hatchling" in built.stderr and "No matching" in built.stderr:
        pytest.skip("the package index cannot be reached for the build's requirements")
    assert built.returncode == 0, built.stderr
    (found,) = folder.glob("trtbuild-*.whl")
    return found


def test_the_wheel_holds_the_schema_and_the_types_marker(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "trtbuild/_schemas/recipe.schema.json" in names
    assert "trtbuild/py.typed" in names
    assert not [name for name in names if name.startswith(("tests/", "recipes/"))]


def test_the_core_alone_validates_plans_and_says_what_a_build_needs(
    wheel: Path, tmp_path: Path
) -> None:
    place = tmp_path / "venv"
    venv.create(place, with_pip=True)
    python = place / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "--quiet", "-c", str(ROOT / "constraints.txt")]
    installed = subprocess.run([*pip, str(wheel)], capture_output=True, text=True)
    if installed.returncode and "No matching distribution" in installed.stderr:
        pytest.skip("the package index cannot be reached")
    assert installed.returncode == 0, installed.stderr
    project = Project(tmp_path / "user").tiny()

    def trtbuild(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(place / "bin" / "trtbuild"), *arguments]
        env = {"PATH": "/usr/bin:/bin", "TRTBUILD_CACHE": str(project.cache)}
        return subprocess.run(command, cwd=project.folder, env=env, capture_output=True, text=True)

    assert "A declarative build system" in trtbuild("--help").stdout
    assert trtbuild("validate", "tiny.yaml").stdout == "tiny.yaml: valid\n"
    assert trtbuild("schema").stdout == (ROOT / "schemas/recipe.schema.json").read_text()
    plan = trtbuild("plan", "tiny.yaml")
    assert plan.returncode == 0, plan.stderr
    assert "export" in plan.stdout
    run = trtbuild("run", "tiny.yaml")
    assert run.returncode == 2
    assert "pip install 'trtbuild[rtx]'" in run.stderr
    assert not (project.folder / "build").exists()
