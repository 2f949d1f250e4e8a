"""Files outside of the project, and those that are nobody's input."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.discovery.watched import read, run
from trtbuild.discovery.places import Places


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder in a checkout of its own; what tests import is found."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    folder = tmp_path / "checkout" / "project"
    folder.mkdir(parents=True)
    (folder.parent / ".git").mkdir()
    (folder / "pyproject.toml").write_text("")
    return folder


def on_path(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    """Put folders on PYTHONPATH before the tests."""
    path = os.pathsep.join([*map(str, folders), os.environ["PYTHONPATH"]])
    monkeypatch.setenv("PYTHONPATH", path)


def test_a_file_behind_a_link_of_the_project_is_named_as_it_lies_there(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "helper.py").write_text("GAIN = 7")
    (project / "lib").symlink_to(tmp_path / "elsewhere")
    found = read(project, "from lib.helper import GAIN\ndef make(): pass")
    assert "lib/helper.py" in found
    assert not any("elsewhere" in name for name in found)


def test_a_link_within_the_project_is_followed_by_its_name(project: Path) -> None:
    (project / "v1").mkdir()
    (project / "v1" / "w.txt").write_text("1")
    (project / "current").symlink_to("v1")
    found = read(project, "def make(): open(__file__.replace('factory.py', 'current/w.txt'))")
    assert found == {"current/w.txt"}, "what it leads to may be another folder tomorrow"


@pytest.mark.parametrize("how", ["path.resolve()", "os.path.realpath(path)", "os.readlink(path)"])
def test_where_a_link_leads_is_an_input_of_who_asks_for_it(project: Path, how: str) -> None:
    (project / "v1").mkdir()
    (project / "current").symlink_to("v1")
    found = read(
        project,
        f"""
        import os, pathlib
        def make():
            path = pathlib.Path(__file__).with_name("current")
            {how}
        """,
    )
    assert "link:current" in found


def test_a_way_up_from_a_linked_folder_is_the_one_that_the_system_takes(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "elsewhere" / "w.txt").write_text("1")
    (project / "w.txt").write_text("2")
    (project / "lib").symlink_to(tmp_path / "elsewhere" / "deep")
    found = read(project, "def make(): open(__file__.replace('factory.py', 'lib/../w.txt'))")
    assert str(tmp_path / "elsewhere" / "w.txt") in found
    assert "w.txt" not in found


def test_a_sibling_in_the_same_checkout_is_named_relative_to_the_recipe(project: Path) -> None:
    (project.parent / "common").mkdir()
    (project.parent / "common" / "shared.py").write_text("")
    found = read(
        project,
        """
        import sys, pathlib
        sys.path.append(str(pathlib.Path(__file__).parents[1] / "common"))
        import shared
        def make(): pass
        """,
    )
    assert "../common/shared.py" in found
    assert not any(name.startswith("/") for name in found)


def test_a_project_that_is_a_virtual_environment_has_files_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`python -m venv .` makes the project's folder the prefix of Python."""
    library = project / "lib" / "python3" / "site-packages"
    library.mkdir(parents=True)
    (library / "installed.py").write_text("")
    (library / "installed-1.dist-info").mkdir()
    (project / "helper.py").write_text("")
    (project / "lib" / "words.txt").write_text("")
    on_path(monkeypatch, library)
    monkeypatch.setattr("sys.prefix", str(project))
    places = Places(project, project, ())
    assert places.is_installed(str(library / "installed.py"))
    assert not places.is_nobodys(str(project / "helper.py"))
    assert not places.is_nobodys(str(project / "lib" / "words.txt"))
    monkeypatch.setattr("sys.prefix", str(project / ".venv"))
    assert Places(project, project, ()).is_installed(str(project / ".venv" / "bin" / "python"))


def test_a_project_on_the_path_with_metadata_of_its_own_is_not_installed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "project-1.dist-info").mkdir()
    (project / "helper.py").write_text("")
    on_path(monkeypatch, project)
    assert "helper.py" in read(project, "import helper\ndef make(): pass")


def helper_beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a module `helper`, outside of the checkout and on the path."""
    source = folder / "src"
    source.mkdir()
    (source / "helper.py").write_text("")
    on_path(monkeypatch, source)
    return source


def test_a_file_outside_of_the_checkout_has_its_absolute_path_and_the_way_to_it(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = helper_beside(tmp_path, monkeypatch)
    found = read(project, "import helper\ndef make(): pass")
    assert {str(source / "helper.py"), "../../src/helper.py", "module:helper"} <= found


def test_what_a_library_opens_for_the_users_code_is_discovered(
    project: Path, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "w.txt").write_text("1")
    (tmp_path / "data" / "n.txt").write_text("1")
    found = read(
        project,
        f"""
        import numpy, pathlib
        def make():
            numpy.loadtxt({str(tmp_path / "data" / "w.txt")!r})
            pathlib.Path({str(tmp_path / "data" / "n.txt")!r}).read_text()
        """,
    )
    assert {str(tmp_path / "data" / name) for name in ("w.txt", "n.txt")} <= found


def test_what_a_library_reads_by_itself_is_no_input(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its settings and caches are others on each machine; a file of the user's there is one."""
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    for name in ("library.toml", "user.toml"):
        (home / ".config" / name).write_text("")
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "settings.py").write_text(
        "import os\nPATH = os.path.expanduser('~/.config/library.toml')\n"
        "open(PATH).close()\n"
        "def load(path=PATH):\n    os.path.exists('/no/such')\n    open(path).close()\n"
    )
    monkeypatch.setenv("HOME", str(home))
    on_path(monkeypatch, library)
    found = read(
        project,
        """
        import os, settings
        def make():
            settings.load()
            open(os.path.expanduser("~/.config/user.toml")).close()
        """,
    )
    outside = {name for name in found if name.startswith("/")}
    assert outside == {str(home / ".config" / "user.toml")}
    assert not any(name.startswith("env:") for name in found)


@pytest.mark.parametrize(
    ("how", "found"), [("a+", True), ("r+", True), ("w+", False), ("a", False)]
)
def test_a_file_that_was_there_is_an_input_however_it_is_opened_to_be_read(
    project: Path, tmp_path: Path, how: str, found: bool
) -> None:
    for name in ("there", "appended"):
        (tmp_path / name).write_text("1")
    names = read(
        project,
        f"""
        import pathlib
        def make():
            root = pathlib.Path({str(tmp_path)!r})
            root.joinpath("there").open({how!r}).close()
            root.joinpath("new").open("a+").close()
            root.joinpath("new").read_text()
            root.joinpath("appended").open("a").close()
            root.joinpath("appended").read_text()
        """,
    )
    expected = {"there", "appended"} if found else {"appended"}
    assert {name for name in names if name.startswith("/")} == {
        str(tmp_path / name) for name in expected
    }


def test_what_a_run_makes_itself_is_no_input(project: Path) -> None:
    found = read(
        project,
        """
        import pathlib, subprocess, tempfile, zoneinfo
        def make():
            with tempfile.TemporaryDirectory() as folder:
                path = pathlib.Path(folder, "x")
                path.write_text("1")
                path.read_text()
                path.with_name("y").exists()
                list(pathlib.Path(folder).iterdir())
            open("/proc/self/status").close()
            zoneinfo.ZoneInfo("UTC")
        """,
    )
    assert found == set()


def test_the_names_are_the_same_in_every_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    found = []
    for place in ("one", "somewhere/else/two"):
        folder = tmp_path / place / "project"
        folder.mkdir(parents=True)
        (folder / "net.py").write_text("import yaml, numpy")
        (folder / "data.txt").write_text("1")
        text = """
            import os, pathlib, sys
            try:
                import no_such_module
            except ImportError:
                import net
            def make():
                os.environ.get("GAIN")
                pathlib.Path(__file__).with_name("data.txt").read_text()
                pathlib.Path(__file__).with_name("none.txt").exists()
            """
        found.append(run(folder, text).discovered)
    assert found[0] == found[1]
    assert not any(name.startswith("/") for name in found[0])
