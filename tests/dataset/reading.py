"""Datasets of files, read as a stage reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trtbuild.dataset import demand_of, open_dataset
from trtbuild.dataset.base import Batch
from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs


def declared(name: str, *shape: int, dtype: str = "float32", most: int = 8) -> dict[str, Any]:
    return {
        "name": name,
        "dtype": dtype,
        "min": [1, *shape],
        "opt": [2, *shape],
        "max": [most, *shape],
    }


def read(
    folder: Path, options: dict[str, Any], *inputs: dict[str, Any], **limits: Any
) -> list[Batch]:
    return list(open_dataset(demand_of(options, parse_inputs(inputs), folder, None, **limits)))


def error(
    folder: Path, options: dict[str, Any], *inputs: dict[str, Any], **limits: Any
) -> StageError:
    with pytest.raises(StageError) as caught:
        read(folder, options, *inputs, **limits)
    assert caught.value.where
    assert caught.value.hint
    return caught.value


def save(path: Path, values: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, values)


def joined(batches: list[Batch], name: str) -> np.ndarray:
    return np.concatenate([batch.inputs[name] for batch in batches])
