"""The quantize stage with a folder of its own, and what its tests look at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from tests.precision.nets import Recorder
from trtbuild.model.cases import Case, CaseWriter
from trtbuild.model.inputs import Arrays
from trtbuild.precision.table import Table, write_table
from trtbuild.stages import quantize
from trtbuild.stages.base import StageContext


def declaration(name: str, *shape: int) -> dict[str, Any]:
    """An input as a stage's options hold it."""
    sizes = {"min": [1, *shape], "opt": [2, *shape], "max": [4, *shape]}
    return {"name": name, "dtype": "float32", "dims": None, "range": None, **sizes}


def write_reference(folder: Path, cases: list[Arrays]) -> Path:
    """A reference artifact without outputs, which quantize does not read."""
    path = folder / "reference.json"
    with CaseWriter(path) as writer:
        for case in cases:
            writer.add("data", Case(case, {}))
        writer.finish("onnx", {"kind": "npz", "note": "test"})
    return path


class Stage:
    """The stage with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()
        self.roles: dict[str, Path] = {}

    def calibrate(self, amax: dict[str, float]) -> None:
        """Give the stage a calibration table."""
        self.roles["calibration"] = self.folder / "calibration.json"
        write_table(Table("minmax", 1, "test", amax), self.roles["calibration"])

    def run(
        self,
        model: onnx.ModelProto,
        inputs: list[dict[str, Any]],
        cases: list[Arrays] | None = None,
        **options: Any,
    ) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """The written model and quantize.json."""
        onnx.save(model, self.folder / "source.onnx")
        outputs = self.folder / "outputs"
        outputs.mkdir(exist_ok=True)
        roles = {"model": self.folder / "source.onnx", **self.roles}
        if (self.folder / "data.npz").exists():
            roles["dataset"] = self.folder / "data.npz"
        if cases is not None:
            roles["reference"] = write_reference(self.folder, cases)
        quantize.run(
            StageContext(
                {"precision": "fp16", "inputs": inputs, **options},
                roles,
                outputs,
                self.folder,
                self.reporter,
            )
        )
        document = json.loads((outputs / "quantize.json").read_text())
        return onnx.load(outputs / "model.onnx"), document


X = [declaration("x", 8)]


CASES = [{"x": np.random.default_rng(7).standard_normal((4, 8)).astype(np.float32)}]


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of inputs and outputs."""
    values = (*model.graph.input, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def evaluate(model: onnx.ModelProto, case: Arrays) -> np.ndarray:
    """The first output in the types that the graph says, which onnxruntime does not keep to."""
    return np.asarray(ReferenceEvaluator(model).run(None, case)[0])
