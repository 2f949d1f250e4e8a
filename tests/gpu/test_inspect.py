"""`trtbuild inspect` of engines on a GPU: what is in them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gpu.nets import AFFINE, Net
from tests.gpu.stages import BACKEND
from tests.project import Project
from trtbuild.trt.examine import engine_facts


def test_an_engine_is_loaded_and_told_of(engines: Callable[[Net], Path], project: Project) -> None:
    path = engines(AFFINE)
    found = project.trtbuild("inspect", path, "--json").json["gpu"]
    assert [(t["name"], t["input"], t["shape"]) for t in found["tensors"]] == [
        ("x", True, [-1, 16]),
        ("y", False, [-1, 16]),
    ]
    (profile,) = found["profiles"]
    assert profile["x"] == {"min": [1, 16], "opt": [4, 16], "max": [64, 16]}
    assert len(found["layers"]) >= 1
    assert found["activation_bytes"] >= 0
    assert (found["refittable"], found["streamable_bytes"]) == ([], 0)
    text = project.trtbuild("inspect", path).out
    assert f"loaded on {found['device']}: {len(found['layers'])} layers" in text
    assert "profile 0 x [1, 16] [4, 16] [64, 16]" in text


@pytest.mark.skipif(BACKEND != "tensorrt", reason="TensorRT-RTX refits only on GPUs that it knows")
def test_the_weights_that_can_be_exchanged_are_named(project: Project) -> None:
    project.tiny()
    project.replace(
        "tiny.yaml",
        "backend: tensorrt_rtx, optimization_level: 0",
        "backend: tensorrt, refit: all, weight_streaming: true",
    )
    assert project.trtbuild("run", "tiny.yaml", "--only", "build").code == 0
    facts = engine_facts(project.folder / "build/tiny/fp32/engine.plan", "tensorrt")
    assert set(facts["refittable"]) == {"w", "b"}
    assert facts["streamable_bytes"] > 0
