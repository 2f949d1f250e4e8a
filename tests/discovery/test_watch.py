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
