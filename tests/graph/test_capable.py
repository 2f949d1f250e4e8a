"""What the installed TensorRT cannot do on this machine is said before anything runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.errors import RecipeError
from trtbuild.graph import toolchain
from trtbuild.graph.capable import check_capable, check_targets
from trtbuild.graph.device import Device
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe

H100 = Device((("gpu", "NVIDIA H100"), ("gpu.compute_capability", "9.0")))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path).tiny()


def recipe(project: Project, build: str) -> Recipe:
    project.write("tiny.yaml", RECIPE.partition("\nbuild:")[0] + f"\nbuild: {build}\n")
    return load_recipes([project.folder / "tiny.yaml"])[0]


def refusal(project: Project, build: str, device: Device | None) -> str:
    try:
        check_capable(recipe(project, build), device)
    except RecipeError as error:
        return str(error)
    return ""


def install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, name: str = "tensorrt"
) -> None:
    """A TensorRT of this version, as far as its package's name tells."""
    (tmp_path / "site" / f"{name}-{version}.dist-info").mkdir(parents=True)
    monkeypatch.setattr(sys, "path", [str(tmp_path / "site"), *sys.path])
    toolchain.installed_versions.cache_clear()


@pytest.fixture(autouse=True)
def forgotten() -> object:
    yield
    toolchain.installed_versions.cache_clear()


def test_refit_for_rtx_needs_a_gpu(project: Project) -> None:
    hint = "this machine has no GPU; the backend tensorrt does it for the GPU that it runs on"
    assert refusal(project, "{refit: all, strip_weights: true}", None) == (
        f"{project.folder}/tiny.yaml:9:9 build.refit: TensorRT-RTX needs a GPU and one compute "
        "capability to build a refittable engine\n"
        f"  hint: {hint}\n"
        f"{project.folder}/tiny.yaml:9:21 build.strip_weights: TensorRT-RTX needs a GPU and one "
        "compute capability to build an engine without its weights\n"
        f"  hint: {hint}"
    )


def test_refit_for_rtx_takes_one_compute_capability(project: Project) -> None:
    assert "names several" in refusal(project, "{refit: all, compute_capabilities: [86, 89]}", H100)
    assert refusal(project, "{refit: all, compute_capabilities: [89]}", H100) == ""
    assert refusal(project, "{refit: none}", None) == ""


def test_a_version_that_lacks_an_option_is_told_those_that_have_it(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "10.3.0")
    text = "{backend: tensorrt, max_tactics: 5, hardware_compatibility: same_compute_capability}"
    assert refusal(project, text, H100) == (
        f"{project.folder}/tiny.yaml:9:28 build.max_tactics: TensorRT 10.3.0 has no such option\n"
        "  hint: it is in TensorRT from 10.4, TensorRT-RTX; install such a version, or leave it "
        "out\n"
        f"{project.folder}/tiny.yaml:9:44 build.hardware_compatibility: TensorRT 10.3.0 has no "
        "such option (value same_compute_capability)\n"
        "  hint: it is in TensorRT from 10.9; install such a version, or leave it out"
    )


def test_a_version_that_lost_an_option_is_told_too(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "11.1.0.106")
    text = "{backend: tensorrt, tactic_sources: {cudnn: true}, dla: {core: 0}, refit: all}"
    told = refusal(project, text, H100)
    assert "build.tactic_sources.cudnn: TensorRT 11.1.0.106 has no such option" in told
    assert "it is in TensorRT before 11.0;" in told
    assert "it is in TensorRT before 10.8 and from 11.4;" in told
    assert "build.refit:" not in told


def test_a_gpu_that_a_version_of_rtx_does_not_build_for_is_told(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "1.4.0.76", "tensorrt_rtx")
    assert refusal(project, "{compute_capabilities: [86, 121]}", None) == (
        f"{project.folder}/tiny.yaml:9:9 build.compute_capabilities: TensorRT-RTX 1.4.0.76 has no "
        "such option (value 86, 121)\n"
        "  hint: it is in TensorRT-RTX from 1.5; install such a version, or leave it out"
    )
    assert refusal(project, "{compute_capabilities: [86, 120]}", None) == ""


def test_nothing_is_said_where_the_backend_is_not_installed(project: Project) -> None:
    assert refusal(project, "{backend: tensorrt, max_tactics: 5}", None) == ""


def test_a_run_says_it_before_the_first_task(project: Project) -> None:
    recipe(project, "{refit: all}")
    for command in ("run", "plan"):
        result = project.trtbuild(command, "tiny.yaml")
        assert result.code == 2
        assert "tiny.yaml:9:9 build.refit: TensorRT-RTX needs a GPU" in result.err
    assert not (project.folder / "build").exists()
    assert project.trtbuild("run", "tiny.yaml", "--only", "export").code == 0


def test_a_device_that_is_not_there_is_no_reason_not_to_build_without_one(
    project: Project,
) -> None:
    recipe(project, "{device: 3, optimization_level: 0}")
    assert project.trtbuild("run", "tiny.yaml", "--only", "build").code == 0


def test_a_precision_that_a_target_lacks_is_told_at_its_key(project: Project) -> None:
    text = RECIPE.replace("[fp32]", "{fp32: {}, fp8: {base: bf16}}").replace(
        "optimization_level: 0", "compute_capabilities: [75, 86, 89]"
    )
    project.write("tiny.yaml", text + "calibration: {random: {seed: 0}}\n")
    result = project.trtbuild("run", "tiny.yaml")
    assert result.code == 2
    for precision, needed, found in (
        ("fp8", "8.9", "7.5"),
        ("fp8", "8.9", "8.6"),
        ("bf16", "8.0", "7.5"),
    ):
        said = f"{precision} needs compute capability {needed} with tensorrt_rtx"
        assert f"{said}, but the engine is to run on {found}" in result.err
    assert result.err.count("tiny.yaml:8:24 precisions.fp8: ") == 3
    assert "leave this precision out" in result.err


def test_the_gpu_here_is_the_target_of_tensorrt(project: Project) -> None:
    old = Device((("gpu", "NVIDIA A100"), ("gpu.compute_capability", "8.0")))
    text = RECIPE.replace("[fp32]", "[fp8]").replace("tensorrt_rtx", "tensorrt")
    project.write("tiny.yaml", text + "calibration: {random: {seed: 0}}\n")
    (loaded,) = load_recipes([project.folder / "tiny.yaml"])
    with pytest.raises(RecipeError, match=r"fp8 needs compute capability 8\.9 with tensorrt"):
        check_targets(loaded, old)
    check_targets(loaded, H100)
    check_targets(loaded, None)
