"""What becomes of a command's work and exit code where its output goes nowhere."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.project import RECIPE, Project, Result
from trtbuild.cli import main
from trtbuild.errors import ExitCode
from trtbuild.store.roots import registrations


def shell(project: Project, line: str, *arguments: str) -> Result:
    """Run a command line of bash, in which T stands for trtbuild with some arguments."""
    command = shlex.join(project.command(*arguments))
    process = subprocess.run(
        ["bash", "-c", line.replace("T ", f"{command} ")],
        cwd=project.folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Result(process.returncode, process.stdout, process.stderr)


def test_a_run_whose_reader_leaves_goes_on_to_its_end(project: Project) -> None:
    project.tiny()
    result = shell(project, "T | true; exit ${PIPESTATUS[0]}", "run", "tiny.yaml")
    assert (result.code, result.err) == (0, "")
    assert (project.folder / "build/tiny/fp32/verify.json").exists()


def test_a_failure_is_one_although_the_reader_left(project: Project) -> None:
    project.tiny(RECIPE.replace("- op: fold_constants", '- hook: "hooks.py:fails"'))
    project.write("hooks.py", "def fails(graph):\n    raise ValueError('no')\n")
    lines = ("T | true; exit ${PIPESTATUS[0]}", "T | head -1; exit ${PIPESTATUS[0]}")
    assert [shell(project, line, "run", "tiny.yaml").code for line in lines] == [1, 1]
    (project.folder / "bundle").mkdir()
    assert shell(project, lines[0], "verify-release", "bundle").code == 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_changes_nothing_else(project: Project, closed: str) -> None:
    project.tiny()
    result = shell(project, f"T {closed}", "run", "tiny.yaml", "--only", "export")
    assert (result.code, result.err) == (0, "")
    assert ("EXECUTED" in result.out) == (closed in ("<&-", "2>&-"))
    assert shell(project, f"T {closed}", "run", "none.yaml").code == 2


def test_a_full_disk_is_said_and_is_no_success(project: Project) -> None:
    project.tiny()
    result = shell(project, "T > /dev/full", "run", "tiny.yaml", "--only", "export")
    assert result.code == 1
    assert result.err == ("error: standard output could not be written: No space left on device\n")
    assert (project.folder / "build/tiny/export/model.onnx").exists()
    assert shell(project, "T > /dev/full", "run", "none.yaml").code == 2
    assert shell(project, "T > /dev/full", "config", "--help").code == 1


def test_a_path_that_is_no_utf8_can_be_shown_and_written(project: Project) -> None:
    project.tiny()
    name = os.fsdecode(b"tiny-\xff.yaml")
    (project.folder / "tiny.yaml").rename(project.folder / name)
    strict = {"PYTHONIOENCODING": "utf-8:strict"}
    files = ("--html", "page.html", "--junit", "tasks.xml")
    ran = project.trtbuild("run", name, *files, "--only", "export", **strict)
    assert (ran.code, ran.err) == (0, "")
    assert "tiny-?.yaml" in (project.folder / "page.html").read_text()
    planned = project.trtbuild("plan", name, **strict)
    assert "tiny (tiny-\\udcff.yaml -> " in planned.out
    as_json = project.trtbuild("plan", name, "--json", **strict)
    assert as_json.json["recipes"][0]["path"] == name
    locked = project.trtbuild("lock", name, **strict)
    assert (locked.code, locked.err) == (0, "")
    lock = project.folder / os.fsdecode(b"tiny-\xff.lock")
    assert [found.path for found in registrations(project.cache)] == [lock]


def test_a_folder_that_is_no_utf8_can_be_planned(project: Project) -> None:
    project.folder = project.root / os.fsdecode(b"project-\xff")
    project.folder.mkdir()
    planned = project.tiny().trtbuild("plan", "tiny.yaml")
    assert (planned.code, planned.err) == (0, "")


def test_a_line_that_cannot_be_parsed_is_json_where_json_is_asked_for(project: Project) -> None:
    result = project.trtbuild("run", "--json", "--no-such-option", "a.yaml")
    assert result.code == 2
    assert result.json["exit_code"] == 2
    assert "--no-such-option" in result.json["errors"][0]
    assert result.err == ""
    assert project.trtbuild("run", "--no-such-option", "a.yaml").out == ""


def test_a_help_page_is_a_success(project: Project, tmp_path: Path) -> None:
    assert project.trtbuild("run", "--help").code == 0
    assert project.trtbuild("run").code == 2


def test_an_interrupt_while_a_command_is_imported_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(command: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("trtbuild.cli._module", interrupted)
    assert main(["run", "tiny.yaml"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err == "interrupted; whatever was finished is kept\n"
