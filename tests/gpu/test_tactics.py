"""Tactics that a build on this GPU records, and another build is held to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.nets import convolutions
from tests.gpu.stages import BACKEND
from tests.project import Project

pytestmark = pytest.mark.skipif(
    BACKEND != "tensorrt", reason="only TensorRT chooses kernels when it builds"
)


def recipe(cache: str, channels: int = 64) -> str:
    """A stack of convolutions, for which there are many kernels."""
    return f"""\
trtbuild: 1
name: tiny
model: {{onnx: stack.onnx}}
inputs: {{x: {{dtype: float32, shape: [8, {channels}, 56, 56]}}}}
precisions: [fp16]
build: {{backend: tensorrt, timing_cache: {cache}}}
verify: {{tolerance: {{fp16: {{cosine: 0.999}}}}}}
"""


def tactics(project: Project) -> dict[str, Any]:
    """What the engine's build says of its tactics."""
    document = json.loads((project.folder / "build/tiny/fp16/build.json").read_text())
    found: dict[str, Any] = document["tactics"]
    return found


def test_recorded_tactics_are_taken_again_and_held_to(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    project = Project(tmp_path)
    convolutions(4).save(project.folder / "stack.onnx")
    project.write("tiny.yaml", recipe("{tactics: record}"))
    done = project.run()
    assert done.code == 0, done.out + done.err
    recorded = tactics(project)
    record_property("tactics", json.dumps(recorded))
    assert recorded
    assert any("operation" in item for item in recorded.values())

    (project.folder / "timing").mkdir()
    cache = project.folder / "timing/fp16.cache"
    cache.write_bytes((project.folder / "build/tiny/fp16/timing.cache").read_bytes())
    project.write("tiny.yaml", recipe('{tactics: verified, file: "timing/{precision}.cache"}'))
    done = project.run()
    assert done.code == 0, done.out + done.err
    hashes = {key: item["tactic"] for key, item in recorded.items()}
    assert {key: item["tactic"] for key, item in tactics(project).items()} == hashes
    assert project.trtbuild("lock", "tiny.yaml").code == 0
    rebuilt = project.trtbuild("rebuild", "--check", "--rounds", "3", "tiny.yaml", "--json")
    (variant,) = rebuilt.json["variants"]
    record_property("levels of rebuilding", json.dumps(variant["levels"]))
    assert variant["levels"]["R2"]["reached"], variant["levels"]["R2"]

    # Another network has operations that were never recorded.
    convolutions(4, channels=32).save(project.folder / "stack.onnx")
    project.write("tiny.yaml", recipe('{tactics: verified, file: "timing/{precision}.cache"}', 32))
    refused = project.run()
    assert refused.code == 1, refused.out + refused.err
    record_property("what is said of others", refused.out)
