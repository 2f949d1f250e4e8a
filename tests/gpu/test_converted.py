"""The PyTorch modules that published ONNX models are measured beside compute what those do."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.project import Project
from tests.published import MODELS, needs_models

ROOT = Path(__file__).parents[2]
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "magika": {"bytes": (4, 2048)},
    "ppocr4_det": {"x": (1, 3, 320, 320)},
    "ppocr4_rec": {"x": (1, 3, 48, 320)},
    "paraphrase_minilm_l3": {"input_ids": (4, 64), "attention_mask": (4, 64)},
    "silero_vad_seq": {"input": (2, 576), "h": (1, 1, 128), "c": (1, 1, 128)},
}


@needs_models
@pytest.mark.filterwarnings("ignore")  # of onnx2torch2's own code
@pytest.mark.parametrize("recipe", SHAPES)
def test_a_converted_module_computes_what_its_graph_does(recipe: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx2torch2")
    torch = pytest.importorskip("torch")
    if not (MODELS / f"{recipe}.onnx").is_file():
        pytest.skip(f"recipes/fetched has no {recipe}.onnx: run `python recipes/fetch_models.py`")
    converted = importlib.import_module("benchmarks.models.converted")
    project, shapes = Project(tmp_path), SHAPES[recipe]
    only = ("--precision", "fp16", "--only", "quantize", "--out", tmp_path)
    done = project.trtbuild("run", ROOT / f"recipes/{recipe}.yaml", *only)
    assert done.code == 0, done.err
    for folder, precision in (("surgery", 1e-5), ("fp16", 1e-2)):
        path = tmp_path / recipe / folder / "model.onnx"
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        values = {
            item.name: random_values(item, shapes[item.name]) for item in session.get_inputs()
        }
        module = converted.module(str(path), shapes).eval()
        with torch.no_grad():
            found = module(*map(torch.from_numpy, values.values()))
        found = found if isinstance(found, tuple | list) else [found]
        expected = session.run(None, values)
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert np.allclose(one.float().numpy(), other, atol=precision, rtol=10 * precision)


def random_values(item: Any, shape: tuple[int, ...]) -> NDArray[Any]:
    random = np.random.default_rng(0)
    if item.type == "tensor(float)":
        return random.uniform(-1, 1, shape).astype(np.float32)
    values = random.integers(1, 2 if "mask" in item.name else 200, shape)
    return values.astype(np.int32 if "int32" in item.type else np.int64)
