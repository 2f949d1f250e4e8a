"""A PyTorch module that a recipe names beside its ONNX model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.gpu.nets import AFFINE
from tests.gpu.projects import project_of

NET = """\
import torch

class Net(torch.nn.Module):
    def __init__(self, factor: float, bias: float = 0) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(16, 16)
        torch.nn.init.eye_(self.linear.weight).data.mul_(factor)
        torch.nn.init.constant_(self.linear.bias, bias)

    def forward(self, x):
        return torch.relu(self.linear(x))
"""


def baselines(tmp_path: Path, kwargs: str) -> Any:
    """The baselines of a run, with a module made by these arguments."""
    sections = f"""\
verify: {{tolerance: {{fp32: {{cosine: 0.999}}}}}}
benchmark:
  warmup: 50ms
  duration: 100ms
  rounds: 8
  baselines: [torch, torch_compile, onnxruntime]
  torch: {{factory: "net.py:Net", kwargs: {kwargs}}}
"""
    project = project_of(AFFINE, tmp_path, sections)
    project.write("net.py", NET)
    done = project.run()
    assert done.code == 0, done.out + done.err
    document = json.loads((project.folder / "build/tiny/fp32/benchmark.json").read_text())
    return document["points"][0]["baselines"]


def test_a_module_that_gives_the_same_is_measured_beside_the_engine(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    found = baselines(tmp_path, "{factor: 2.0}")
    assert found["missing"] == []
    names = [other["name"].split(",")[0] for other in found["others"]]
    assert names[:2] == ["PyTorch eager", "PyTorch compiled (default)"]
    assert all(other["speedup"]["wall"]["estimate"] > 0 for other in found["others"])


def test_a_module_that_gives_something_else_is_left_out_with_the_reason(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("this torch has no CUDA")
    found = baselines(tmp_path, "{factor: -2.0, bias: 1.0}")
    assert [missing["kind"] for missing in found["missing"]] == ["torch", "torch_compile"]
    assert all("something else than the model" in item["reason"] for item in found["missing"])
    assert len(found["others"]) == 1
