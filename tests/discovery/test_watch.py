"""Which distributions a stage says that the user's own code imports."""

import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy  # noqa: F401 - to be found among the modules
import onnx_graphsurgeon  # noqa: F401 - as above
import pytest
import yaml  # noqa: F401 - as above: of a distribution with another name

from tests.discovery.watched import absent, run
from trtbuild.discovery.packages import distributions


@pytest.mark.parametrize("module", ["numpy", "onnx_graphsurgeon", "yaml", "google"])
def test_a_module_is_traced_to_the_distributions_that_the_metadata_names(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, sys.modules.get(module, sys))
    assert distributions({module}) == sorted(set(packages_distributions()[module]))


def test_what_python_itself_has_is_no_distribution() -> None:
    assert distributions({"json", "no_such_module"}) == []


def test_what_a_declared_file_imports_is_discovered_and_not_the_file(tmp_path: Path) -> None:
    text = "import yaml\ndef make(): pass"
    found = set(run(tmp_path / "project", text, declared=True).discovered)
    assert found == {*absent("yaml"), "package:PyYAML"}


@pytest.mark.parametrize(
    "imports",
    [
        "import liba",
        "import importlib\nimportlib.import_module('libb')",
        "def load():\n    import liba\n    liba.later()\nload()",
    ],
)
def test_what_is_imported_in_turn_or_by_name_is_a_package_too(
    tmp_path: Path, imports: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = tmp_path / "site-packages"
    modules = {"liba": "import libb\ndef later():\n    import libc\n", "libb": "", "libc": ""}
    for name, text in modules.items():
        metadata = library / f"{name}-1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Name: {name}\nVersion: 1\n")
        (metadata / "RECORD").write_text(f"{name}.py,,\n")
        (library / f"{name}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", f"{library}:{Path(__file__).parents[2]}")
    found = run(tmp_path / "project", f"{imports}\ndef make(): pass").discovered
    packages = {name for name in found if name.startswith("package:")}
    assert "package:libb" in packages
    assert ("package:liba" in packages) == ("liba" in imports)
    assert ("package:libc" in packages) == ("later" in imports)


def test_what_a_tool_imports_is_not(tmp_path: Path) -> None:
    found = run(tmp_path / "project", "import torch\ndef make(): pass").discovered
    assert [name for name in found if name.startswith("package:")] == ["package:torch"]


def test_a_module_that_is_there_already_is_imported_by_name(tmp_path: Path) -> None:
    text = "import importlib, torch\ndef make():\n    importlib.import_module('numpy')"
    assert "package:numpy" in run(tmp_path / "project", text).discovered
