"""What user code reads decides its task's key: stale when it changes, the same everywhere else."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import onnx
import pytest

from tests.project import RECIPE, Project, Result

HOOKED = RECIPE.replace("  - op: fold_constants\n", '  - hook: "hooks.py:tidy"\n')
NAMED = "def tidy(graph):\n    graph.name = {name}\n    return graph\n"


def hooked(root: Path, hook: str, name: str) -> Project:
    """A project with a surgery hook that calls the graph what an expression gives."""
    project = Project(root).tiny(HOOKED)
    project.write("hooks.py", f"{hook}\n\n\n{NAMED.format(name=name)}")
    return project


def surgery(project: Project, **env: str) -> Result:
    result = project.trtbuild("run", "tiny.yaml", "--json", "--only", "surgery", **env)
    assert result.code == 0, result.err + result.out
    return result


def verdict(project: Project, **env: str) -> str:
    return surgery(project, **env).verdicts()["surgery"]


def graph_name(project: Project) -> str:
    return onnx.load(project.folder / "build" / "tiny" / "surgery" / "model.onnx").graph.name


def test_another_checkout_with_another_file_behind_the_same_name_gets_its_own_result(
    tmp_path: Path,
) -> None:
    """One has a link to a package elsewhere, the other a real folder."""
    store = tmp_path / "elsewhere"
    store.mkdir()
    (store / "helper.py").write_text('NAME = "seven"')
    linked = hooked(tmp_path / "a", "from lib.helper import NAME", "NAME")
    (linked.folder / "lib").symlink_to(store)
    assert verdict(linked) == "EXECUTED"
    real = hooked(tmp_path / "b", "from lib.helper import NAME", "NAME")
    real.write("lib/helper.py", 'NAME = "one"')
    real.cache = linked.cache
    assert verdict(real) == "EXECUTED"
    assert (graph_name(linked), graph_name(real)) == ("seven", "one")
    real.write("lib/helper.py", 'NAME = "seven"')
    assert verdict(real) == "RESTORED", "the same names and bytes are the same action"
    (store / "helper.py").write_text('NAME = "eight"')
    assert verdict(linked) == "EXECUTED"
    assert graph_name(linked) == "eight"


@pytest.mark.parametrize("how", ["PYTHONPATH", "absolute"])
def test_a_file_outside_of_the_project_is_an_input(tmp_path: Path, how: str) -> None:
    source = tmp_path / "src"
    source.mkdir()
    (source / "words.py").write_text('NAME = "one"')
    if how == "PYTHONPATH":
        project = hooked(tmp_path / "p", "from words import NAME", "NAME")
    else:
        read = f'exec(open("{source}/words.py").read())'
        project = hooked(tmp_path / "p", read, "NAME")
    env = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{source}"}
    assert verdict(project, **env) == "EXECUTED"
    assert verdict(project, **env) == "UP_TO_DATE"
    (source / "words.py").write_text('NAME = "two"')
    assert verdict(project, **env) == "EXECUTED"
    assert graph_name(project) == "two"


def test_a_module_that_python_finds_elsewhere_is_another(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "words.py").write_text(f'NAME = "{name}"')
    project = hooked(tmp_path / "p", "from words import NAME", "NAME")
    tests = Path(__file__).parents[2]
    assert verdict(project, PYTHONPATH=f"{tests}:{tmp_path}/one") == "EXECUTED"
    result = surgery(project, PYTHONPATH=f"{tests}:{tmp_path}/two")
    assert result.verdicts()["surgery"] == "EXECUTED"
    assert graph_name(project) == "two"
    assert "discovered.module:words" in [r["field"] for r in result.task("surgery")["reasons"]]


def test_an_environment_variable_is_an_input_and_its_value_nowhere(tmp_path: Path) -> None:
    project = hooked(tmp_path, "import os", 'os.environ.get("WORD", "none")')
    assert verdict(project, WORD="secret-one") == "EXECUTED"
    assert verdict(project, WORD="secret-one") == "UP_TO_DATE"
    explained = project.trtbuild("explain", "tiny.yaml", "surgery", WORD="secret-two")
    assert "environment variable WORD changed" in explained.out
    result = surgery(project)
    assert graph_name(project) == "none"
    reasons = [reason["text"] for reason in result.task("surgery")["reasons"]]
    assert reasons == ["environment variable WORD is no longer set"]
    assert verdict(project, WORD="secret-one") == "RESTORED"
    kept = [*(project.cache / "actions").rglob("*.json"), *project.folder.rglob(".trtbuild/*")]
    assert kept
    assert not [path for path in kept if b"secret" in path.read_bytes()]


def with_module(project: Project) -> None:
    project.write("local_settings.py", 'NAME = "local"')


def with_package(project: Project) -> None:
    project.write("local_settings/__init__.py", 'NAME = "local"')


def with_file(project: Project) -> None:
    project.write("name.txt", "local")


IMPORTS = 'try:\n    from local_settings import NAME\nexcept ImportError:\n    NAME = "none"'
OPENS = (
    "import pathlib\ntry:\n    NAME = pathlib.Path(__file__).with_name('name.txt').read_text()\n"
    'except FileNotFoundError:\n    NAME = "none"'
)
ASKS = (
    "import pathlib\nPATH = pathlib.Path(__file__).with_name('name.txt')\n"
    'NAME = PATH.read_text() if PATH.exists() else "none"'
)


@pytest.mark.parametrize(
    ("hook", "appear", "file"),
    [
        (IMPORTS, with_module, "local_settings.py"),
        (IMPORTS, with_package, "local_settings/__init__.py"),
        (OPENS, with_file, "name.txt"),
        (ASKS, with_file, "name.txt"),
    ],
)
def test_what_was_missing_makes_the_task_stale_when_it_appears(
    tmp_path: Path, hook: str, appear: Callable[[Project], None], file: str
) -> None:
    project = hooked(tmp_path, hook, "NAME")
    assert verdict(project) == "EXECUTED"
    project.write("unrelated.txt", "")
    assert verdict(project) == "UP_TO_DATE"
    appear(project)
    result = surgery(project)
    assert result.verdicts()["surgery"] == "EXECUTED"
    assert [r["field"] for r in result.task("surgery")["reasons"]] == [f"discovered.{file}"]
    assert graph_name(project) == "local"
    (project.folder / file).unlink()
    assert verdict(project) == "RESTORED"
    assert graph_name(project) == "none"


def test_a_link_that_leads_elsewhere_makes_the_task_stale(tmp_path: Path) -> None:
    name = "pathlib.Path(__file__).with_name('current').resolve().name"
    project = hooked(tmp_path, "import pathlib", name)
    for place in ("one", "two"):
        (project.folder / place).mkdir()
        (project.folder / "current").unlink(missing_ok=True)
        (project.folder / "current").symlink_to(project.folder / place)
        result = surgery(project)
        assert result.verdicts()["surgery"] == "EXECUTED"
        assert graph_name(project) == place
    assert [r["field"] for r in result.task("surgery")["reasons"]] == ["discovered.link:current"]
    assert verdict(project) == "UP_TO_DATE"


@pytest.mark.parametrize("file", ["words/__init__.py", f"words{EXTENSION_SUFFIXES[-1]}"])
def test_a_module_that_comes_before_another_makes_the_task_stale(tmp_path: Path, file: str) -> None:
    project = hooked(tmp_path, "from words import NAME", "NAME")
    project.write("words.py", 'NAME = "one"')
    assert verdict(project) == "EXECUTED"
    project.write(file, 'NAME = "two"')  # no native code, which cannot be imported
    expected = "FAILED" if file.endswith(EXTENSION_SUFFIXES[-1]) else "EXECUTED"
    assert project.run("--only", "surgery").verdicts()["surgery"] == expected


def test_two_checkouts_share_what_a_plain_project_gave(tmp_path: Path) -> None:
    hook = f"import os\nimport yaml\nimport words\n{IMPORTS}"
    one = hooked(tmp_path / "one", hook, 'words.WORD + os.environ.get("WORD", "")')
    one.write("words.py", 'WORD = "word"')
    assert verdict(one, HOME="/nowhere", TZ="UTC") == "EXECUTED"
    two = Project(tmp_path / "some" / "where" / "else")
    shutil.copytree(one.folder, two.folder, dirs_exist_ok=True)
    shutil.rmtree(two.folder / "build")
    two.cache = one.cache
    assert verdict(two, HOME="/elsewhere", TZ="Asia/Tokyo") == "RESTORED"


def test_code_beside_the_outputs_is_an_input_too(tmp_path: Path) -> None:
    project = hooked(tmp_path, "import words", "words.WORD")
    for word in ("one", "two"):
        project.write("words.py", f'WORD = "{word}"')
        result = project.run("--only", "surgery", "--out", ".")
        assert result.verdicts()["surgery"] == "EXECUTED"
