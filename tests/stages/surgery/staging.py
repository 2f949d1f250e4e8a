"""The surgery stage in a folder of its own, and small graphs for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.precision.nets import Recorder
from trtbuild.errors import StageError
from trtbuild.stages import surgery
from trtbuild.stages.base import StageContext


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    opset: int = 20,
    **stored: np.ndarray,
) -> onnx.ModelProto:
    """A checked model; `stored` are its initializers."""
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.checker.check_model(model)
    return model


def chain() -> onnx.ModelProto:
    """x -> Relu "first" -> h -> Add "bias" -> a -> Identity "pass" -> y, and a side output of h."""
    return model_of(
        [
            helper.make_node("Relu", ["x"], ["h"], name="/net/first"),
            helper.make_node("Add", ["h", "b"], ["a"], name="/net/bias[0]"),
            helper.make_node("Identity", ["a"], ["y"], name="/out/pass"),
            helper.make_node("Neg", ["h"], ["side"], name="/out/side"),
        ],
        [value("x", "n", 4)],
        [value("y", "n", 4), value("side", "n", 4)],
        b=np.arange(4, dtype=np.float32),
    )


class Stage:
    """The stage with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()

    def run(self, model: onnx.ModelProto | Path, *steps: dict[str, Any]) -> onnx.ModelProto:
        path = model if isinstance(model, Path) else self.folder / "source.onnx"
        if not isinstance(model, Path):
            onnx.save(model, path)
        outputs = self.folder / "outputs"
        outputs.mkdir(exist_ok=True)
        context = StageContext(
            {"steps": list(steps)}, {"model": path}, outputs, self.folder, self.reporter
        )
        surgery.run(context)
        return onnx.load(outputs / "model.onnx")

    def refused(self, model: onnx.ModelProto, *steps: dict[str, Any]) -> StageError:
        with pytest.raises(StageError) as raised:
            self.run(model, *steps)
        return raised.value

    def hook(self, code: str) -> None:
        (self.folder / "hooks.py").write_text(code)


def names(values: Any) -> list[str]:
    return [item.name for item in values]


def dims(item: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in item.type.tensor_type.shape.dim]


def run_ort(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, inputs))


X = np.array([[-1, 2, -3, 4]], np.float32)
