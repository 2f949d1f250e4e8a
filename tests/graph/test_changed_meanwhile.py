"""Files that are changed while a stage reads them: its result is not what they give now."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.graph.test_discovered import graph_name, hooked, surgery, verdict

HERE = "import os, pathlib, subprocess\nHERE = pathlib.Path(__file__).parent\n"
OTHER = "subprocess.run(['sh', '-c', {command!r}], cwd=HERE, check=True)\n"


@pytest.mark.parametrize(
    ("reads", "command"),
    [
        ("from words import NAME", "echo \"NAME = 'new'\" > words.py"),
        ("NAME = (HERE / 'name.txt').read_text()", "printf new > name.txt"),
        ("NAME = (HERE / 'name.txt').read_text()", "rm name.txt"),
        ("NAME = str((HERE / 'name.txt').exists())", "rm name.txt"),
    ],
)
def test_a_result_of_what_is_no_more_is_thrown_away(
    tmp_path: Path, reads: str, command: str
) -> None:
    once = f"if not (HERE / 'done').exists():\n    {OTHER.format(command=command + '; touch done')}"
    project = hooked(tmp_path, f"{HERE}{reads}\n{once}", "NAME")
    project.write("words.py", "NAME = 'old'")
    project.write("name.txt", "old")
    result = project.run("--only", "surgery")
    assert result.verdicts()["surgery"] == "FAILED"
    assert "an input was changed while the stage ran" in result.out
    project.write("name.txt", "new")
    assert verdict(project) == "EXECUTED"
    assert graph_name(project) in ("new", "True")
    assert verdict(project) == "UP_TO_DATE"


@pytest.mark.parametrize(
    "reads",
    ["NAME = str((HERE / 'late.txt').exists())", "NAME = str(sorted(os.listdir(HERE / 'data')))"],
)
def test_what_appears_meanwhile_was_missing_for_the_result(tmp_path: Path, reads: str) -> None:
    appear = OTHER.format(command="touch late.txt data/late.txt")
    project = hooked(tmp_path, f"{HERE}{reads}\n{appear}", "NAME")
    project.write("data/one.txt", "")
    verdicts = [verdict(project) for _ in range(3)]
    assert verdicts == ["EXECUTED", "EXECUTED", "UP_TO_DATE"]
    assert graph_name(project) in ("True", "['late.txt', 'one.txt']")


@pytest.mark.parametrize(
    "keeps",
    [
        "NAME = PATH.read_text() if PATH.exists() else PATH.write_text('none') and 'none'",
        "NAME = PATH.name if PATH.exists() else 'none'\n(HERE / 'x').write_text('')\n"
        "os.rename(HERE / 'x', PATH)",
        "PATH.touch()\nNAME = 'n'\nwith PATH.open('r+') as file:\n    file.read()\n"
        "    file.write('more')",
        "import sqlite3\nNAME = 'n'\nwith sqlite3.connect(PATH) as db:\n"
        "    db.execute('create table if not exists t (a)')\n"
        "    db.execute('insert into t values (1)')",
        "PATH.write_text('1')\nos.listdir(HERE)\nNAME = PATH.read_text()\n"
        "os.remove(PATH) if PATH.exists() else None",
    ],
)
def test_what_a_stage_keeps_in_the_project_itself_is_no_such_change(
    tmp_path: Path, keeps: str
) -> None:
    project = hooked(tmp_path, f"{HERE}PATH = HERE / 'kept'\n{keeps}", "NAME")
    assert verdict(project) == "EXECUTED"
    assert verdict(project) == "UP_TO_DATE"


def test_the_reason_names_what_has_changed_since(tmp_path: Path) -> None:
    appear = OTHER.format(command="touch late.txt")
    project = hooked(tmp_path, f"{HERE}NAME = str((HERE / 'late.txt').exists())\n{appear}", "NAME")
    surgery(project)
    reasons = surgery(project).task("surgery")["reasons"]
    assert [reason["field"] for reason in reasons] == ["discovered.late.txt"]
