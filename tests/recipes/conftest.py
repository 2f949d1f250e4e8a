"""What the tests of recipes/ share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

RECIPES = Path(__file__).resolve().parents[2] / "recipes"


@pytest.fixture
def recipe_python() -> Iterator[Callable[[str], Any]]:
    """Loads "datasets/page.py:lines" as a stage does, and forgets the modules after the test."""
    from trtbuild.model.references import load_callable

    path, modules = list(sys.path), set(sys.modules)
    yield lambda reference: load_callable(reference, RECIPES)
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(RECIPES)):
            del sys.modules[name]


@pytest.fixture(scope="session")
def fetch_models() -> Any:
    """The module recipes/fetch_models.py."""
    spec = importlib.util.spec_from_file_location("fetch_models", RECIPES / "fetch_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fetch_models"] = module  # its dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def need_fetched(fetch_models: Any, recipe: str) -> None:
    """Skip the test where recipes/fetched lacks what a recipe needs."""
    wheels = fetch_models.select(fetch_models.read_manifest(RECIPES / "models.toml"), [recipe])
    left = fetch_models.missing(wheels, RECIPES / "fetched")
    if left:
        names = ", ".join(file.to for wheel in left for file in wheel.files)
        pytest.skip(f"recipes/fetched lacks {names}: run recipes/fetch_models.py --only {recipe}")


class Case:
    """What a metric is given."""

    def __init__(
        self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], extras: Mapping[str, Any]
    ) -> None:
        self.inputs, self.outputs, self.extras = inputs, outputs, extras


def run_onnx(model: Path, samples: Sequence[Mapping[str, Any]]) -> list[Case]:
    """Run a model on samples or batches of a dataset, one by one, on the CPU."""
    import numpy as np
    import onnxruntime

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    ranks = {tensor.name: len(tensor.shape) for tensor in session.get_inputs()}
    names = [tensor.name for tensor in session.get_outputs()]
    cases = []
    for sample in samples:
        single = any(sample[name].ndim == rank - 1 for name, rank in ranks.items())
        batch = {name: np.asarray(a)[None] if single else a for name, a in sample.items()}
        inputs = {name: batch.pop(name) for name in ranks}
        outputs = dict(zip(names, session.run(None, inputs), strict=True))
        cases.append(Case(inputs, outputs, batch))
    return cases
