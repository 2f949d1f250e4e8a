"""The recipes, run by the command line with the real builder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.recipes.conftest import RECIPES, need_fetched
from trtbuild.recipe.load import load_recipes

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("tensorrt_rtx", reason="the recipes build with TensorRT-RTX")

PRECISIONS = ("fp32", "tf32", "fp16", "bf16", "int8", "fp8", "int4")
QUICK = ("silero_vad_seq", "wake_embedding")
FETCHED = sorted(path.stem for path in RECIPES.glob("*.yaml") if path.stem != "digits-cnn")


def run(recipe: Path, folder: Path) -> tuple[int, str]:
    """Exit code and output of `trtbuild run`, with everything it writes below `folder`."""
    environment = {**os.environ, "TRTBUILD_CACHE": str(folder / "cache"), "COLUMNS": "200"}
    command = [sys.executable, "-m", "trtbuild", "run", str(recipe), "--out", str(folder / "out")]
    ran = subprocess.run(command, capture_output=True, text=True, env=environment)
    return ran.returncode, ran.stdout + ran.stderr


def scores(folder: Path, name: str, precision: str) -> dict[str, Any]:
    document = json.loads((folder / "out" / name / precision / "verify.json").read_text())
    assert document["passed"]
    return {key: score["value"] for key, score in document["metrics"].items()}


def test_digits_run_to_verified_engines(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    code, said = run(RECIPES / "digits-cnn.yaml", tmp_path)
    assert code == 0, said
    accuracy = {name: scores(tmp_path, "digits-cnn", name)["accuracy"] for name in PRECISIONS}
    assert min(accuracy.values()) >= 0.985
    assert abs(accuracy["int8"] - accuracy["fp32"]) <= 0.005
    for precision in PRECISIONS:
        assert (tmp_path / "out/digits-cnn" / precision / "engine.plan").stat().st_size > 100_000


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in FETCHED],
)
def test_a_fetched_model_runs_to_verified_engines(
    name: str, tmp_path: Path, fetch_models: Any
) -> None:
    need_fetched(fetch_models, name)
    code, said = run(RECIPES / f"{name}.yaml", tmp_path)
    assert code == 0, said
    for precision in load_recipes([RECIPES / f"{name}.yaml"])[0].precisions:
        assert scores(tmp_path, name, precision) or name.startswith("wake_")
        assert (tmp_path / "out" / name / precision / "engine.plan").stat().st_size > 100_000


def test_control_flow_is_named_with_what_to_do(tmp_path: Path, fetch_models: Any) -> None:
    need_fetched(fetch_models, "silero_vad_if")
    code, said = run(RECIPES / "impossible/silero_vad_if.yaml", tmp_path)
    assert code == 1
    assert "If" in said
    assert "'/model/decoder/If_1'" in said
    assert "set_dims" in said
    assert "Traceback" not in said


def test_a_sequence_that_no_engine_gives_is_named(tmp_path: Path, fetch_models: Any) -> None:
    need_fetched(fetch_models, "logreg_iris")
    code, said = run(RECIPES / "impossible/logreg_iris.yaml", tmp_path)
    assert code == 1
    assert "ZipMap" in said
    assert "outputs: [label]" in said
    assert "Traceback" not in said


def test_a_torchscript_archive_is_an_invalid_recipe(tmp_path: Path, fetch_models: Any) -> None:
    need_fetched(fetch_models, "silero_vad_jit")
    code, said = run(RECIPES / "impossible/silero_vad_jit.yaml", tmp_path)
    assert code == 2
    assert "is a TorchScript archive" in said
    assert not (tmp_path / "out").exists()
