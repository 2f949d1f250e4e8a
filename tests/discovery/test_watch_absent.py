"""What is looked for and is not there: a task is stale when it appears."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.discovery.watched import NATIVE, absent, before, read

HERE = "import os, pathlib\nHERE = pathlib.Path(__file__).parent\n"


@pytest.fixture(autouse=True)
def _tests_are_importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))


@pytest.mark.parametrize(
    "asks",
    [
        "try: open(HERE / 'bias.txt')\n    except OSError: pass",
        "(HERE / 'bias.txt').exists()",
        "os.path.isfile(HERE / 'bias.txt')",
        "os.path.exists(str(HERE / 'bias.txt').encode())",
        "os.access(HERE / 'bias.txt', os.R_OK)",
        "try: os.path.getsize(HERE / 'bias.txt')\n    except OSError: pass",
    ],
)
@pytest.mark.parametrize("there", [False, True])
def test_a_file_that_is_asked_for(tmp_path: Path, asks: str, there: bool) -> None:
    (tmp_path / "project").mkdir()
    if there:
        (tmp_path / "project" / "bias.txt").write_text("1")
    assert read(tmp_path / "project", f"{HERE}def make():\n    {asks}\n") == {"bias.txt"}


def test_a_folder_that_is_asked_for_is_named_without_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "project" / "data").mkdir(parents=True)
    found = read(tmp_path / "project", f"{HERE}def make(): (HERE / 'data').is_dir()")
    assert found == {"data"}


@pytest.mark.parametrize(
    "text",
    ["from local_settings import GAIN", "importlib.import_module('local_settings')"],
)
def test_a_module_that_is_missing(tmp_path: Path, text: str) -> None:
    found = read(
        tmp_path / "project",
        f"import importlib\ntry:\n    {text}\nexcept ImportError:\n    pass\ndef make(): pass",
    )
    assert found == {*absent("local_settings"), "module:local_settings"}


def test_a_part_of_a_package_that_is_missing(tmp_path: Path) -> None:
    (tmp_path / "project" / "net").mkdir(parents=True)
    (tmp_path / "project" / "net" / "__init__.py").write_text("")
    found = read(
        tmp_path / "project",
        "try:\n    from net import local\nexcept ImportError:\n    pass\ndef make(): pass",
    )
    compiled = {f"net/__init__{suffix}" for suffix in NATIVE}
    assert found == {"net/__init__.py", *compiled, *absent("net/local")}


def test_what_would_come_before_a_module(tmp_path: Path) -> None:
    (tmp_path / "project" / "nets").mkdir(parents=True)
    for name in ("helper.py", "nets/__init__.py", "nets/k.py"):
        (tmp_path / "project" / name).write_text("")
    found = read(tmp_path / "project", "import helper\nfrom nets import k\ndef make(): pass")
    assert found - {"helper.py", "nets/__init__.py", "nets/k.py"} == {
        *before("helper"),
        *before("nets/k"),
        *(f"nets/__init__{suffix}" for suffix in NATIVE),
    }


def test_a_module_of_the_project_that_would_come_before_an_installed_one(tmp_path: Path) -> None:
    found = read(tmp_path / "project", "import yaml\ndef make(): pass")
    assert found == {*absent("yaml"), "package:PyYAML"}


def test_what_libraries_and_the_standard_library_look_for_is_nothing(tmp_path: Path) -> None:
    found = read(
        tmp_path / "project",
        "import json, logging.config, importlib.metadata\n"
        "def make():\n    importlib.metadata.version('numpy')\n",
    )
    assert found == set()
