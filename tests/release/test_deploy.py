"""Where engines will run is checked before they are built."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.cli import main
from trtbuild.errors import ExitCode, RecipeError
from trtbuild.graph.deploy import TRITON, check_deploy
from trtbuild.graph.toolchain import version_of
from trtbuild.recipe.load import load_recipes


def run(project: Project, deploy: str, monkeypatch: pytest.MonkeyPatch) -> ExitCode:
    """A run, in this process, of the tiny recipe with a `deploy`."""
    project.tiny(RECIPE + f"deploy: {deploy}\n")
    monkeypatch.chdir(project.folder)
    return main(["run", "tiny.yaml", "--json", "--only", "build", "--cache", str(project.cache)])


def test_another_version_than_the_one_that_builds_is_refused_before_building(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(project, "{tensorrt_rtx: '1.2'}", monkeypatch) == ExitCode.INVALID
    said = capsys.readouterr().out
    assert "tiny.yaml:12:10 deploy.tensorrt_rtx: engines are to run in TensorRT-RTX 1.2" in said
    assert f"{version_of('tensorrt-rtx')} is installed" in said
    assert not (project.folder / "build").exists()


def test_as_much_of_the_version_as_is_given_must_agree(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = version_of("tensorrt-rtx")
    assert installed is not None
    parts = installed.split(".")
    project.tiny()
    for length in (1, 2, 3, 4):
        text = RECIPE + f"deploy: {{tensorrt_rtx: '{'.'.join(parts[:length])}'}}\n"
        (recipe,) = load_recipes([project.write("tiny.yaml", text)])
        check_deploy(recipe)
    text = RECIPE + f"deploy: {{tensorrt_rtx: '{parts[0]}.{int(parts[1]) + 10}'}}\n"
    (recipe,) = load_recipes([project.write("tiny.yaml", text)])
    with pytest.raises(RecipeError):
        check_deploy(recipe)


@pytest.mark.parametrize(
    ("deploy", "message"),
    [
        (
            "{triton: '25.06'}",
            "deploy.triton: engines of the backend tensorrt_rtx do not run",
        ),
        ("{tensorrt: '10.3', triton: '25.06'}", "deploy: tensorrt and triton exclude each other"),
        ("{}", "deploy: exactly one of tensorrt, tensorrt_rtx, triton is needed"),
        ("{triton: 25.10}", "deploy.triton: expected a tag such as '25.06', in quotes, got 25.1"),
        ("{tensorrt_rtx: new}", "deploy.tensorrt_rtx: expected a version such as 1.7, got 'new'"),
    ],
)
def test_a_deployment_that_makes_no_sense_is_a_mistake_in_the_recipe(
    project: Project, deploy: str, message: str
) -> None:
    project.tiny()
    path = project.write("tiny.yaml", RECIPE + f"deploy: {deploy}\n")
    with pytest.raises(RecipeError) as raised:
        load_recipes([path])
    assert message in str(raised.value)


def recipe_for_tensorrt(folder: Path, deploy: str, build: str = "") -> Path:
    """A recipe for TensorRT proper."""
    text = RECIPE.replace("backend: tensorrt_rtx, ", f"backend: tensorrt, {build}")
    path = folder / "other.yaml"
    path.write_text(text + f"deploy: {deploy}\n")
    return path


def test_a_triton_container_stands_for_its_tensorrt(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.tiny()
    (recipe,) = load_recipes([recipe_for_tensorrt(project.folder, "{triton: '24.12'}")])
    versions = {"10.7.0.23": True, "10.13.2.6": False, "11.0.0.114": False}
    for installed, loads in versions.items():
        monkeypatch.setattr("trtbuild.graph.deploy.required_version", lambda _, v=installed: v)
        if loads:
            check_deploy(recipe)
        else:
            with pytest.raises(RecipeError, match=r"TensorRT 10\.7 of Triton 24\.12"):
                check_deploy(recipe)


def test_a_container_that_is_not_in_the_table_asks_for_the_version(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.tiny()
    assert "29.12" not in TRITON
    (recipe,) = load_recipes([recipe_for_tensorrt(project.folder, "{triton: '29.12'}")])
    monkeypatch.setattr("trtbuild.graph.deploy.required_version", lambda _: "10.7.0.23")
    with pytest.raises(RecipeError, match="give its version"):
        check_deploy(recipe)
