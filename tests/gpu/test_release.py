"""A release that is made on this machine: how far it is the same again, and that it runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu.nets import convolutions
from tests.gpu.projects import project_of
from tests.gpu.stages import BACKEND
from tests.project import RECIPE, Project


def test_a_release_gives_its_golden_outputs_again(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    project = Project(tmp_path).tiny(RECIPE.replace("tensorrt_rtx", BACKEND))
    for command in (("run",), ("lock",)):
        done = project.trtbuild(*command, "tiny.yaml")
        assert done.code == 0, done.out + done.err
    rebuilt = project.trtbuild("rebuild", "--check", "--rounds", "2", "tiny.yaml", "--json")
    assert rebuilt.code in (0, 4), rebuilt.out + rebuilt.err
    (variant,) = rebuilt.json["variants"]
    record_property("levels of rebuilding", json.dumps(variant["levels"]))
    for level in ("R1", "R2", "R3"):  # R2 and R3 by the inspector
        assert variant["levels"][level]["reached"], variant["levels"]
    assert variant["levels"]["R5"]["reached"], variant["levels"]["R5"]
    bundle = tmp_path / "bundle.tar"
    made = project.trtbuild(
        "release", "tiny.yaml", "-o", bundle, "--allow", "dirty,unsigned", "--require", "R1,R5"
    )
    assert made.code == 0, made.out + made.err
    again = project.trtbuild("verify-release", bundle, "--rerun", "--json")
    assert again.code == 0, again.out + again.err
    assert [run["problems"] for run in again.json["runs"]] == [[]]


def test_the_consumer_s_example_runs_a_release_without_trtbuild(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    pytest.importorskip("pycuda")
    project = Project(tmp_path).tiny(RECIPE.replace("tensorrt_rtx", BACKEND))
    for command in (
        ("lock", "tiny.yaml"),
        ("release", "tiny.yaml", "-o", tmp_path / "bundle", "--allow", "dirty,unsigned"),
    ):
        done = project.trtbuild(*command)
        assert done.code == 0, done.out + done.err
    example = Path(__file__).parents[2] / "docs/run_release.py"
    ran = subprocess.run(
        [sys.executable, str(example), str(tmp_path / "bundle")], capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    record_property("the example", ran.stdout)
    name, _, difference = ran.stdout.strip().partition(" differs by at most ")
    assert name == "y"
    assert float(difference) < 0.01


def test_a_machine_without_a_gpu_releases_what_this_one_verified(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny(RECIPE.replace("tensorrt_rtx", BACKEND))
    remote = str(tmp_path / "remote")
    locked = project.trtbuild("lock", "tiny.yaml", "--remote", remote)
    assert locked.code == 0, locked.out + locked.err
    shutil.rmtree(project.cache)
    shutil.rmtree(project.folder / "build")
    made = project.trtbuild(
        *("release", "tiny.yaml", "-o", tmp_path / "bundle.tar", "--only-cached"),
        *("--remote", remote, "--allow", "dirty,unsigned"),
        CUDA_VISIBLE_DEVICES="",
    )
    assert made.code == 0, made.out + made.err
    assert project.trtbuild("verify-release", tmp_path / "bundle.tar").code == 0


def test_an_engine_tells_the_types_of_its_layers(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    sections = """\
precisions: [fp32, fp16]
verify: {tolerance: {fp32: {cosine: 0.999}, fp16: {cosine: 0.999}}}
"""
    project = project_of(convolutions(4), tmp_path, sections)
    done = project.trtbuild("run", "tiny.yaml", "--json")
    assert done.code == 0, done.out + done.err
    for precision in ("fp32", "fp16"):
        report = project.folder / f"build/tiny/{precision}/verify.json"
        obtained = json.loads(report.read_text())["precision_obtained"]
        record_property(f"types of an {precision} engine's layers", json.dumps(obtained))
        assert obtained["layers"].get(precision), obtained
