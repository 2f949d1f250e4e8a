"""What a recipe says besides precisions, on a GPU: renamed inputs, profiles, a file of values."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tests.gpu.nets import AFFINE
from tests.gpu.projects import project_of

SECTIONS = """\
surgery:
  - {op: rename, tensors: {x: features}}
precisions: [fp32, fp16]
verify: {dataset: {random: {seed: 0}}, samples: 8, tolerance: {fp16: {cosine: 0.999}}}
benchmark:
  profile_index: 1
  inputs: {files: {x: values.npy}}
  baselines: [{kind: onnxruntime, provider: cpu, graph: variant}]
  rounds: 8
  warmup: 50ms
  duration: 200ms
"""
PROFILES = """, profiles: [
  {x: {min: [1, 16], opt: [4, 16], max: [16, 16]}},
  {x: {min: [16, 16], opt: [32, 16], max: [64, 16]}}]}"""


def test_renamed_inputs_and_profiles_are_followed_to_verify_and_benchmark(tmp_path: Path) -> None:
    project = project_of(AFFINE, tmp_path, SECTIONS)
    recipe = (project.folder / "tiny.yaml").read_text()
    build = next(line for line in recipe.splitlines() if line.startswith("build:"))
    project.write("tiny.yaml", recipe.replace(build, build.removesuffix("}") + PROFILES))
    np.save(project.folder / "values.npy", np.ones((32, 16), np.float32))
    done = project.run()
    assert done.code == 0, done.out + done.err
    for variant in ("fp32", "fp16"):
        folder = project.folder / "build/tiny" / variant
        verified = json.loads((folder / "verify.json").read_text())
        assert verified["engine"] == "compared"
        kinds = [golden["kind"] for golden in verified["golden"]]
        # 16 rows fit both profiles, and are run in each.
        assert {"max of profile 0", "min of profile 1"} <= set(kinds)
        (point,) = json.loads((folder / "benchmark.json").read_text())["points"]
        assert point["shapes"] == {"features": [32, 16]}
        assert point["baselines"]["missing"] == []
