"""TensorRT-RTX 1.4 to 1.7 really run: the tests of the builder, and a recipe, with each."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.project import Project
from tests.trt.conformance.bindings import BINDINGS, install
from trtbuild.trt.header import read_plan_header

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TESTS = Path(__file__).parents[1]

VERSIONS = tuple(binding.version for binding in BINDINGS if binding.backend == "tensorrt_rtx")


@dataclass(frozen=True)
class Installed:
    """A version in a folder of its own, about 220 MB."""

    version: str
    folder: Path

    @property
    def path(self) -> str:
        """PYTHONPATH, by which this version is found before the one of the environment."""
        return os.pathsep.join((str(self.folder), str(ROOT)))


@pytest.fixture(scope="module", params=VERSIONS)
def installed(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    folder = tmp_path_factory.mktemp(f"rtx-{request.param}")
    package = "tensorrt-rtx-cu13"
    names = ("tensorrt-rtx", package, f"{package}-libs", f"{package}-bindings")
    reason = install(folder, *(f"{name}=={request.param}" for name in names))
    if reason:
        pytest.skip(reason)
    yield Installed(request.param, folder)
    shutil.rmtree(folder)  # four of them are a gigabyte


def test_every_test_of_the_builder_passes(installed: Installed) -> None:
    this = str(TESTS / "conformance")
    selected = ["-m", "not slow and not gpu", "--ignore", this, str(TESTS)]
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selected],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": installed.path},
    )
    assert process.returncode == 0, process.stdout[-6000:]
    assert " passed" in process.stdout


def test_a_recipe_becomes_an_engine_of_this_version(installed: Installed, tmp_path: Path) -> None:
    project = Project(tmp_path).tiny()
    result = project.trtbuild("run", "tiny.yaml", PYTHONPATH=installed.path)
    assert result.code == 0, result.err + result.out
    header = read_plan_header(project.folder / "build/tiny/fp32/engine.plan")
    assert (header.kind, header.version) == ("tensorrt_rtx", installed.version)
    info = json.loads((project.folder / "build/tiny/fp32/build.json").read_text())
    assert info["version"] == installed.version
