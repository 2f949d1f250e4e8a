"""Who reads: what the user's code names through a library, and in threads that it starts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.discovery.watched import read

LIBRARY = """
import os
OWN = os.path.expanduser("~/.config/library.toml")
def load(path=OWN, *more, **options):
    for name in (path, OWN):
        try:
            open(name).close()
        except OSError:
            pass
def load_all(paths):
    for path in paths:
        load(path)
def find(path):
    return os.path.isfile(path)
def load_in(folder):
    load(os.path.join(folder, "weights"))
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project beside a home folder, with a library that is installed."""
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "library.py").write_text(LIBRARY)
    repository = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (library, repository))))
    (tmp_path / "home" / ".models").mkdir(parents=True)
    (tmp_path / "home" / ".config").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home" / ".models" / "k.npy").write_text("1")
    (tmp_path / "home" / ".config" / "library.toml").write_text("")
    (tmp_path / "data").mkdir()
    for name in ("one.txt", "two.txt"):
        (tmp_path / "data" / name).write_text("1")
    return tmp_path / "project"


def outside(project: Path, does: str) -> set[str]:
    """The absolute paths that were seen to be read, from the folder of the test on."""
    root = project.parent
    text = (
        "import configparser, functools, importlib, multiprocessing.pool, os, threading\n"
        "import library, numpy as np\n"
        f"from concurrent.futures import ThreadPoolExecutor\nROOT = {str(root)!r}\n"
        f"def make():\n    {does}\n"
    )
    found = read(project, text)
    files = {name for name in found if name.startswith("/")}
    return {os.path.relpath(name, root) for name in files} | {n for n in found if "env:" in n}


@pytest.mark.parametrize(
    ("does", "files"),
    [
        ("library.load(ROOT + '/over.npy')", {"over.npy"}),
        ("library.load(path=ROOT + '/over.npy')", {"over.npy"}),
        ("library.load('x', ROOT + '/over.npy'); library.load_in(ROOT)", {"weights"}),
        ("library.load_all([ROOT + '/a', (ROOT + '/b').encode()])", {"a", "b"}),
        (
            "configparser.ConfigParser().read([ROOT + '/a.ini', ROOT + '/b.ini'])",
            {"a.ini", "b.ini"},
        ),
        ("try: np.load(ROOT + '/over.npy')\n    except OSError: pass", {"over.npy"}),
        ("library.find(ROOT + '/over.npy')", {"over.npy"}),
        ("library.load(os.path.expanduser('~/.models/k.npy'))", {"home/.models/k.npy"}),
        ("library.load(os.path.expanduser('~/.models/none'))", {"home/.models/none"}),
        ("library.load()", set()),
    ],
)
def test_what_the_users_code_names_is_its_own_wherever_it_lies(
    project: Path, does: str, files: set[str]
) -> None:
    assert outside(project, does) == files


@pytest.mark.parametrize(
    ("does", "files"),
    [
        ("list(ThreadPoolExecutor().map(np.loadtxt, [ROOT + '/data/one.txt']))", {"data/one.txt"}),
        ("list(ThreadPoolExecutor().map(open, [ROOT + '/data/one.txt']))", {"data/one.txt"}),
        ("list(ThreadPoolExecutor().map(library.load, [ROOT + '/none']))", {"none"}),
        (
            "multiprocessing.pool.ThreadPool(2).map(open, [ROOT + '/data/two.txt'])",
            {"data/two.txt"},
        ),
        ("list(ThreadPoolExecutor().map(os.path.exists, [ROOT + '/none']))", {"none"}),
        ("list(ThreadPoolExecutor().map(os.getenv, ['GAIN']))", {"env:GAIN"}),
        (
            "thread = threading.Thread(target=os.listdir, args=(ROOT + '/data',))\n"
            "    thread.start()\n    thread.join()",
            {"data"},
        ),
        ("list(ThreadPoolExecutor().map(library.load, []))", set()),
    ],
)
def test_a_thread_reads_for_who_started_it(project: Path, does: str, files: set[str]) -> None:
    assert outside(project, does) == files
