"""What a person reads."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from tests.project import RECIPE, Project
from trtbuild.report.fitting import fitting_table
from trtbuild.report.terminal import COLUMNS, SPARE, size_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "0.977 KiB"),
        (581_000, "567 KiB"),
        (1023 << 10, "0.999 MiB"),
        (1 << 20, "1 MiB"),
        (4_665_000, "4.45 MiB"),
        (2_304_000_000, "2.15 GiB"),
        (5 << 40, "5120 GiB"),
    ],
)
def test_sizes_have_three_digits(size: int, text: str) -> None:
    assert size_text(size) == text


def test_where_everything_is_is_said_only_where_everything_is_there(project: Project) -> None:
    project.tiny()
    assert "tiny: everything is in build/tiny" in project.trtbuild("run", "tiny.yaml").out
    project.write("hooks.py", "def fails(graph):\n    raise ValueError('no')\n")
    project.write("tiny.yaml", RECIPE.replace("- op: fold_constants", '- hook: "hooks.py:fails"'))
    failed = project.trtbuild("run", "tiny.yaml")
    assert failed.code == 1
    assert "everything" not in failed.out
    assert "tiny: what could be made is in build/tiny" in failed.out
    project.write("tiny.yaml", RECIPE.replace("name: tiny", "name: other"))
    project.write("tiny.onnx", "no model")
    assert "is in build/other" not in project.trtbuild("run", "tiny.yaml").out


def test_an_engine_of_a_precision_that_was_taken_out_is_pointed_out(project: Project) -> None:
    project.tiny(RECIPE.replace("[fp32]", "[fp32, tf32]"))
    assert project.run("--only", "build").json["recipes"][0]["outdated"] == []
    project.write("tiny.yaml", RECIPE)
    text = "build/tiny/tf32/engine.plan: of a precision that the recipe no longer has"
    assert text in project.trtbuild("run", "tiny.yaml", "--only", "build").out
    assert project.trtbuild("clean", "tiny.yaml").code == 0
    again = project.run("--only", "build")
    assert again.json["recipes"][0]["outdated"] == []


ROW = (
    *("digits-cnn", "fp16", "EXECUTED", "fp16/engine.plan", "4.45 MiB"),
    *("passed (engine not run: no CUDA device)", "accuracy 0.9867", "12.3 s", ""),
)


@pytest.mark.parametrize("width", [30, 60, 80, 200])
def test_a_narrow_terminal_shows_fewer_columns_and_cuts_none(width: int) -> None:
    console = Console(width=width, file=io.StringIO())
    table = fitting_table(console, COLUMNS, [(ROW, "green")], SPARE)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert "fp16" in text
    names = [column.header for column in table.columns]
    assert names[:3] == ["recipe", "variant", "verdict"]
    assert "benchmark" not in names, "it has nothing to show"
    if width > 30:  # where not even three columns fit
        assert {"verdict", "EXECUTED", "digits-cnn"} <= set(text.split())
        assert max(map(len, text.splitlines())) <= width
    if width == 80:
        assert {"verified", "passed", "device)"} <= set(text.split())
    if width == 200:
        assert names == list(COLUMNS[:-1])
