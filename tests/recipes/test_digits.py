"""The digits network: its committed weights, data and training script."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.recipes.conftest import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

WRITTEN = ("weights/digits.safetensors", "data/digits-test.npz", "data/digits-calibration.npz")


def train(into: Path, epochs: int, threads: str = "2") -> str:
    """Run the training script; returns what it printed."""
    command = [sys.executable, RECIPES / "train_digits.py", "--into", into, "--epochs", str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def digests(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in WRITTEN]


def test_the_committed_weights_read_at_least_985_of_1000_unseen_digits(
    recipe_python: Callable[[str], Any],
) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    network = recipe_python("models/digits.py:DigitsNet")(width=24)
    network.load_state_dict(load_file(RECIPES / WRITTEN[0]))
    network.eval()
    test = np.load(RECIPES / WRITTEN[1])
    with torch.inference_mode():
        found = network(torch.from_numpy(test["image"])).argmax(1).numpy()
    assert (found == test["label"]).mean() >= 0.985


def test_the_data_have_the_shapes_and_values_that_the_recipe_says() -> None:
    for name, count in (("digits-test", 450), ("digits-calibration", 256)):
        data = np.load(RECIPES / f"data/{name}.npz")
        assert data["image"].shape == (count, 1, 8, 8)
        assert data["image"].dtype == np.float32
        assert data["image"].min() == 0
        assert data["image"].max() == 1
        assert data["label"].dtype == np.int64
        assert set(data["label"]) == set(range(10))


def test_no_image_is_in_two_splits() -> None:
    pytest.importorskip("sklearn")
    from sklearn.datasets import load_digits

    pixels = np.asarray(load_digits(return_X_y=True)[0] / 16, np.float32)
    everything = [image.tobytes() for image in pixels]
    splits = [np.load(RECIPES / name)["image"] for name in WRITTEN[1:]]
    used = [image.tobytes() for images in splits for image in images]
    assert len(set(everything)) == len(everything)
    assert len(set(used)) == len(used)
    assert set(used) <= set(everything)


def test_what_is_committed_stays_small() -> None:
    assert sum((RECIPES / name).stat().st_size for name in WRITTEN) < 500_000


@pytest.mark.slow
def test_training_twice_gives_the_same_weights(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    train(tmp_path / "a", 2, threads="1")
    train(tmp_path / "b", 2, threads="2")
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert digests(tmp_path / "a")[1:] == digests(RECIPES)[1:]


@pytest.mark.slow
def test_the_training_script_reaches_the_accuracy_that_the_recipe_asks_for(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    last = train(tmp_path, 40).splitlines()[-1]
    assert float(last.split()[4]) >= 0.985
