"""trtexec's command lines to recipes and back, in the project's folder."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from typing import Any

from tests.project import Project, Result
from trtbuild.cli import main
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe
from trtbuild.recipe.yaml import parse


def trtbuild(*words: str) -> Result:
    """A command in this process, in the project's folder: there are hundreds of them."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
        code = main(words)
    return Result(code, out.getvalue(), err.getvalue())


def imported(project: Project, *words: str, output: str = "made.yaml") -> Recipe:
    """The recipe that a command line becomes, loaded as `run` loads it."""
    path = project.folder / output
    path.unlink(missing_ok=True)
    result = trtbuild("import-trtexec", "-o", output, "--", *words)
    assert (result.code, result.err) == (0, "")
    return load_recipes([path])[0]


def again() -> tuple[str, ...]:
    """The command that made.yaml becomes."""
    result = trtbuild("export-trtexec", "made.yaml", "--json")
    assert (result.code, result.err) == (0, "")
    return tuple(result.json["variants"]["fp32"]["command"])


def data_of(project: Project, *words: str) -> dict[str, Any]:
    """The recipe that a command line becomes, as it is written."""
    imported(project, *words)
    data = parse((project.folder / "made.yaml").read_bytes()).data
    assert data is not None
    return data


def told_in(project: Project) -> str:
    """The comments of made.yaml, as one line."""
    return " ".join((project.folder / "made.yaml").read_text().replace("\n#  ", " ").split())
