"""`trtbuild doctor`: what the machine can do, and what recipes need and lack."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.graph.machine import cache_state, compilers, within
from trtbuild.graph.toolchain import version_of


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path).tiny()


def test_packages_are_compared_with_what_is_wanted(project: Project) -> None:
    found = project.trtbuild("doctor", "--json").json
    by_name = {item["name"].lower(): item for item in found["packages"]}
    assert by_name["onnx"]["installed"] == version_of("onnx")
    assert by_name["onnx"]["right"] is True
    assert by_name["onnx"]["extra"] == ""
    assert by_name["torch"]["extra"] in ("torch", "quantize")
    assert by_name["tensorrt"]["extra"] == "tensorrt"
    assert "pytest" not in by_name
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))


@pytest.mark.parametrize(
    ("version", "wanted", "right"),
    [
        ("2.13.0+cpu", "<2.15,>=2.8", True),
        ("2.15.0", "<2.15,>=2.8", False),
        ("10.16.1.11", ">=10.3,<12", True),
        ("1.0.0", "<=1", True),
        ("1.7.1.116", ">=1.6.1,<1.8", True),
        ("2026.1", ">=2026.1", True),
        ("0.36.9", ">=0.37,<0.38", False),
    ],
)
def test_a_version_is_within_a_range_or_not(version: str, wanted: str, right: bool) -> None:
    assert within(version, wanted) is right


def test_the_flavours_that_are_there_are_loaded_to_be_sure(project: Project) -> None:
    found = {
        item["backend"]: item for item in project.trtbuild("doctor", "--json").json["flavours"]
    }
    assert found["tensorrt_rtx"]["loads"] == ""
    if found["tensorrt"]["installed"] is None:
        assert "TensorRT is not installed" in found["tensorrt"]["loads"]


def test_a_recipe_that_lacks_nothing_is_told_what_is_skipped(project: Project) -> None:
    result = project.trtbuild("doctor", "tiny.yaml", "--json")
    (recipe,) = result.json["recipes"]
    assert result.code == 0
    assert recipe["lacks"] == []
    assert recipe["needs"]["tensorrt-rtx"] == version_of("tensorrt-rtx")
    assert recipe["needs"]["onnx"] == version_of("onnx")
    assert f" onnx {version_of('onnx')}, " in project.trtbuild("doctor", "tiny.yaml").out
    assert "build:fp32" not in recipe["skipped_without_gpu"]


def test_what_a_recipe_cannot_do_here_makes_it_a_failure(project: Project) -> None:
    if project.trtbuild("doctor", "--json").json["gpu"]["devices"]:
        pytest.skip("this machine has a GPU")
    project.write("tiny.yaml", RECIPE.replace("optimization_level: 0", "refit: all"))
    result = project.trtbuild("doctor", "tiny.yaml")
    assert result.code == 1
    assert "build.refit: TensorRT-RTX needs a GPU and one compute capability" in result.out
    assert "none: no CUDA device" in result.out


def test_a_recipe_that_is_not_right_hides_nothing_of_the_machine(project: Project) -> None:
    project.write("bad.yaml", RECIPE.replace("tiny.onnx", "gone.onnx"))
    result = project.trtbuild("doctor", "bad.yaml", "tiny.yaml", "missing.yaml")
    assert result.code == 2
    assert "! bad.yaml:3:9 model.onnx: no such file 'gone.onnx'" in result.out
    assert "! missing.yaml: no such file" in result.out
    assert "tiny (tiny.yaml)" in result.out
    assert "to build PyCUDA" in result.out
    found = project.trtbuild("doctor", "bad.yaml", "--json").json
    assert (found["exit_code"], found["recipes"][0]["valid"]) == (2, False)


def test_the_cache_is_where_it_is_said_to_be(tmp_path: Path) -> None:
    state = cache_state(tmp_path / "not" / "there")
    assert state["exists"] is False
    assert state["writable"] is True
    assert state["free_bytes"] > 0


def test_compilers_are_found_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    assert set(compilers().values()) == {None}
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda.h").touch()
    for name in ("g++", "nvcc"):
        (tmp_path / name).touch(mode=0o755)
    assert None not in compilers().values()
