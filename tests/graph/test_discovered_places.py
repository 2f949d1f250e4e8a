"""Files of the user's beside what runs make, and what runs make beside files of the user's."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.graph.test_discovered import HOOKED, graph_name, hooked, surgery, verdict
from tests.project import Project
from trtbuild.discovery.folders import CACHE

LISTS = "import pathlib\nHERE = pathlib.Path(__file__).parent\n"


def discovered(project: Project, **env: str) -> set[str]:
    """What the surgery hook was seen to read."""
    surgery(project, **env)
    result = project.trtbuild("cache", "show", surgery(project).task("surgery")["key"], "--json")
    return set(result.json["action"]["discovered"])


@pytest.mark.parametrize("place", ["build", "out", "."])
def test_a_file_beside_the_outputs_is_an_input(tmp_path: Path, place: str) -> None:
    reads = f"{LISTS}NAME = (HERE / '{place}' / 'k.txt').read_text()"
    project = hooked(tmp_path, reads, "NAME")
    for word in ("one", "two"):
        project.write(f"{place}/k.txt", word)
        result = project.run("--only", "surgery", "--out", place)
        assert result.verdicts()["surgery"] == "EXECUTED"
        again = project.run("--only", "surgery", "--out", place)
        assert again.verdicts()["surgery"] == "UP_TO_DATE"


def test_a_project_in_the_folder_of_the_cache_has_inputs(tmp_path: Path) -> None:
    project = hooked(tmp_path, "from words import NAME", "NAME")
    project.cache = tmp_path
    for word in ("one", "two"):
        project.write("words.py", f"NAME = '{word}'")
        assert verdict(project) == "EXECUTED"
        assert graph_name(project) == word


def test_the_cache_makes_nothing_that_counts(tmp_path: Path) -> None:
    project = Project(tmp_path).tiny(HOOKED)
    project.write("hooks.py", "def tidy(graph):\n    return graph\n")
    surgery(project)
    assert {path.name for path in project.cache.iterdir()} <= CACHE


def test_what_runs_make_is_not_among_the_names_of_a_folder(tmp_path: Path) -> None:
    """A fresh checkout has none of it; another recipe, a lock or accepted results bring more."""
    lists = f"{LISTS}NAME = str(sorted(path.name for path in HERE.glob('*.py')))"
    project = hooked(tmp_path / "a", lists, "NAME")
    assert verdict(project) == "EXECUTED"
    fresh = Project(tmp_path / "b")
    shutil.copytree(project.folder, fresh.folder, dirs_exist_ok=True)
    shutil.rmtree(fresh.folder / "build")
    fresh.cache = project.cache
    assert verdict(fresh) == "RESTORED"
    assert not [name for name in discovered(project) if name.startswith("/")]
    (project.folder / "other.yaml").write_text(HOOKED.replace("name: tiny", "name: other"))
    assert verdict(project) == "EXECUTED", "a recipe is not made"
    assert project.trtbuild("run", "other.yaml").code == 0
    project.write("accepted.json", "{}")
    assert verdict(project) == "UP_TO_DATE"
    assert project.trtbuild("lock", "tiny.yaml").code == 0
    assert project.trtbuild("lock", "--check", "tiny.yaml").code == 0


def test_a_cache_in_a_listed_folder_makes_nothing_stale(tmp_path: Path) -> None:
    project = hooked(tmp_path, f"{LISTS}NAME = str(sorted(HERE.iterdir()))", "NAME")
    project.cache = project.folder
    assert verdict(project) == "EXECUTED"
    assert verdict(project) == "UP_TO_DATE"
    project.write("more.txt", "")
    assert verdict(project) == "EXECUTED"
