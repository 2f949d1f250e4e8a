from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.model.nets import WEIGHT, mlp, save
from tests.stages.running import run_reference


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder with the reference of the small network on labelled data."""
    values = np.random.default_rng(2).standard_normal((6, 4)).astype(np.float32)
    label = np.maximum(values @ WEIGHT, 0).argmax(1)
    label[0] = (label[0] + 1) % 3  # one of six is wrong
    np.savez(tmp_path / "data.npz", x=values, label=label)
    path = save(mlp(), tmp_path / "source.onnx")
    inputs = {"onnx": path, "exported": path, "dataset": tmp_path / "data.npz"}
    run_reference(tmp_path, inputs, dataset={"kind": "npz"})
    search = list(sys.path)
    yield tmp_path
    sys.path[:] = search
    sys.modules.pop("metrics", None)
