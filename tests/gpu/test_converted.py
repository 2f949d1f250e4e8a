"""The PyTorch modules that published ONNX models are measured beside compute what those do."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from tests.project import Project
from tests.published import needs_models

ROOT = Path(__file__).parents[2]
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "magika": {"bytes": (4, 2048)},
    "ppocr4_det": {"x": (1, 3, 320, 320)},
    "ppocr4_rec": {"x": (1, 3, 48, 320)},
    "paraphrase_minilm_l3": {"input_ids": (4, 64), "attention_mask": (4, 64)},
    "silero_vad_seq": {"input": (2, 576), "h": (1, 1, 128), "c": (1, 1, 128)},
}


@needs_models
@pytest.mark.parametrize("stage", ["surgery", "quantize"])
@pytest.mark.parametrize("recipe", SHAPES)
def test_a_converted_module_computes_what_its_graph_does(
    recipe: str, stage: str, tmp_path: Path
) -> None:
    pytest.importorskip("onnx2torch2")
    torch = pytest.importorskip("torch")
    converted = importlib.import_module("benchmarks.models.converted")
    project = Project(tmp_path)
    only = ("--precision", "fp16", "--only", stage)
    done = project.trtbuild("run", ROOT / f"recipes/{recipe}.yaml", "--out", tmp_path, *only)
    assert done.code == 0, done.err
    path = tmp_path / recipe / ("fp16" if stage == "quantize" else stage) / "model.onnx"
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    values = {
        item.name: random.uniform(-1, 1, SHAPES[recipe][item.name]).astype(np.float32)
        if item.type == "tensor(float)"
        else random.integers(1, 2 if "mask" in item.name else 200, SHAPES[recipe][item.name])
        .astype(np.int32 if "int32" in item.type else np.int64)
        for item in session.get_inputs()
    }  # fmt: skip
    module = converted.module(str(path)).eval()
    with torch.no_grad():
        found = module(*map(torch.from_numpy, values.values()))
    found = found if isinstance(found, tuple | list) else [found]
    expected = session.run(None, values)
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.float().numpy(), other, atol=1e-5 if stage == "surgery" else 0.01)
