"""Which distributions a stage says that the user's own code imports."""

import sys
from importlib.metadata import packages_distributions

import numpy  # noqa: F401 - to be found among the modules
import onnx_graphsurgeon  # noqa: F401 - as above
import pytest
import yaml  # noqa: F401 - as above: of a distribution with another name

from trtbuild.stages.packages import distributions


@pytest.mark.parametrize("module", ["numpy", "onnx_graphsurgeon", "yaml", "google"])
def test_a_module_is_traced_to_the_distributions_that_the_metadata_names(
    module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, sys.modules.get(module, sys))
    assert distributions({module}) == sorted(set(packages_distributions()[module]))


def test_what_python_itself_has_is_no_distribution() -> None:
    assert distributions({"json", "no_such_module"}) == []
