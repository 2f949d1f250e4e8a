"""Output folders: what `clean` takes away, and what a run does not write over."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.project import RECIPE, Project


@pytest.fixture
def exported(project: Project) -> Path:
    """A project whose model was exported; its output folder."""
    project.tiny()
    assert project.run("--only", "surgery").code == 0
    return project.folder / "build" / "tiny"


def test_clean_leaves_nothing_of_a_run(project: Project) -> None:
    project.tiny()
    assert project.run().code == 0
    result = project.trtbuild("clean", "tiny.yaml")
    assert (result.code, result.out) == (0, f"{'build/tiny'}: removed\n")
    assert not (project.folder / "build" / "tiny").exists()
    again = project.run()
    assert set(again.verdicts().values()) == {"RESTORED"}


def test_clean_keeps_what_somebody_put_beside_the_outputs(project: Project, exported: Path) -> None:
    mine = exported / "export" / "notes.txt"
    mine.write_text("mine")
    (exported / "export" / ".model.onnx.123-0123abcd.tmp").write_text("half written")
    (exported / "surgery" / "surgery.failed.log").write_text("of an earlier failure")
    result = project.trtbuild("clean", "tiny.yaml")
    assert result.code == 0
    assert "1 file that trtbuild did not make stays" in result.out
    assert [p for p in exported.rglob("*") if not p.is_dir()] == [mine]
    assert not (exported / "surgery").exists()


def test_clean_follows_no_link(project: Project, exported: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.move(exported / "export", elsewhere)
    (exported / "export").symlink_to(elsewhere)
    assert project.trtbuild("clean", "tiny.yaml").code == 0
    assert (elsewhere / "model.onnx").exists()


def test_clean_takes_the_folder_that_the_settings_name(project: Project) -> None:
    project.tiny()
    project.write("trtbuild.toml", 'out = "elsewhere"\n')
    assert project.run("--only", "export").code == 0
    assert (project.folder / "elsewhere" / "tiny").is_dir()
    assert project.trtbuild("clean", "tiny.yaml").code == 0
    assert not (project.folder / "elsewhere" / "tiny").exists()


@pytest.mark.parametrize("lost", [".trtbuild", ".gitignore"])
def test_a_folder_that_lost_one_of_its_marks_is_still_ours(
    project: Project, exported: Path, lost: str
) -> None:
    path = exported / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert set(project.run("--only", "surgery").verdicts().values()) == {"UP_TO_DATE"}
    assert project.trtbuild("clean", "tiny.yaml").code == 0
    assert not exported.exists()


def test_files_of_the_same_names_are_not_taken_for_our_own(project: Project) -> None:
    project.tiny()
    mine = {
        project.folder / "out/tiny" / name for name in ("fp32/engine.plan", "export/model.onnx")
    }
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_text("made by somebody else")
    for command in ("run", "plan", "lock", "clean"):
        result = project.trtbuild(command, "tiny.yaml", "--out", "out")
        assert result.code == 2, command
        assert "no mark of trtbuild" in result.err
        assert "remove" in result.err
    assert {path.read_text() for path in mine} == {"made by somebody else"}
    assert {path for path in (project.folder / "out").rglob("*") if path.is_file()} == mine
    for path in mine:
        path.unlink()
    assert project.run("--only", "export", "--out", "out").code == 0


def test_a_run_does_not_write_into_a_folder_that_is_not_its_own(project: Project) -> None:
    project.tiny(RECIPE.replace("name: tiny", "name: onnx").replace("tiny.onnx", "onnx/tiny.onnx"))
    (project.folder / "onnx").mkdir()
    model = shutil.move(project.folder / "tiny.onnx", project.folder / "onnx" / "tiny.onnx")
    for command in ("run", "plan", "lock"):
        result = project.trtbuild(command, "tiny.yaml", "--out", ".")
        assert result.code == 2, command
        assert "tiny.yaml:2:1 name: the outputs would go to onnx, which holds files" in result.err
        assert "--out DIR" in result.err
    result = project.trtbuild("clean", "tiny.yaml", "--out", ".")
    assert (result.code, result.out) == (2, "")
    assert "onnx: this has no mark of trtbuild" in result.err
    assert [path.name for path in (project.folder / "onnx").iterdir()] == [Path(model).name]


def test_a_file_where_the_outputs_would_go_is_said(project: Project) -> None:
    project.tiny()
    project.write("build/tiny", "a file")
    result = project.run()
    assert result.code == 2
    assert "tiny, which is a file" in result.json["errors"][0]
    result = project.trtbuild("clean", "tiny.yaml")
    assert result.code == 2
    assert "build/tiny: this is a file, not a folder of outputs" in result.err
    assert (project.folder / "build" / "tiny").read_text() == "a file"


def test_python_beside_the_outputs_is_still_an_input(project: Project) -> None:
    """With `--out .` the project itself is the folder that outputs go to."""
    recipe = RECIPE.replace("  - op: fold_constants\n", '  - hook: "hooks.py:tidy"\n')
    project.tiny(recipe)
    hook = "import names\n\n\ndef tidy(graph):\n    graph.name = names.GRAPH\n    return graph\n"
    project.write("hooks.py", hook)
    project.write("names.py", 'GRAPH = "tidied"\n')
    assert project.run("--out", ".", "--only", "surgery").code == 0
    project.write("names.py", 'GRAPH = "other"\n')
    again = project.run("--out", ".", "--only", "surgery")
    assert again.verdicts() == {"export": "UP_TO_DATE", "surgery": "EXECUTED"}


def test_two_recipes_do_not_share_an_output_folder(project: Project) -> None:
    project.tiny()
    for name in ("a", "b"):
        (project.folder / name).mkdir()
        for file in ("tiny.yaml", "tiny.onnx", "data.npz"):
            shutil.copy(project.folder / file, project.folder / name / file)
    both = ("a/tiny.yaml", "b/tiny.yaml")
    assert project.trtbuild("plan", *both).code == 0  # build/tiny beside each
    for command in ("run", "plan"):
        result = project.trtbuild(command, *both, "--out", "o")
        assert result.code == 2
        assert (
            "b/tiny.yaml:2:1 name: the outputs would go to o/tiny, as those of a/tiny.yaml do"
            in (result.err)
        )
    assert not (project.folder / "o").exists()
