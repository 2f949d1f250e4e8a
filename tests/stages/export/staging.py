"""The export stage in a folder of its own, and what its tests ask of a graph."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

from tests.precision.nets import Recorder
from tests.stages.export.nets import NETS
from trtbuild.stages import export
from trtbuild.stages.base import StageContext


def declared(
    name: str,
    low: list[int],
    high: list[int] | None = None,
    dtype: str = "float32",
    dims: list[str | None] | None = None,
    range: list[float] | None = None,  # noqa: A002 - the option's name
) -> dict[str, Any]:
    """An input as the options of a stage hold it."""
    return {"name": name, "dtype": dtype, "min": low, "max": high or low, "dims": dims,
            "range": range}  # fmt: skip


IMAGE = declared("image", [1, 1, 8, 8], [64, 1, 8, 8], dims=["batch", None, None, None])
MASK = declared("mask", [1, 10], [64, 10])


class Stage:
    """The stage with a folder of its own, which holds nets.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()
        folder.mkdir(exist_ok=True)
        (folder / "nets.py").write_text(NETS)

    @property
    def file(self) -> Path:
        return self.folder / "outputs" / "model.onnx"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def torch(
        self,
        factory: str,
        *inputs: dict[str, Any],
        outputs: tuple[str, ...] = (),
        exporter: str = "torchscript",  # in a twentieth of the time
        opset: int = 20,
        **kwargs: Any,
    ) -> onnx.ModelProto:
        source = {
            "kind": "torch",
            "factory": factory if ":" in factory else f"nets.py:{factory}",
            "kwargs": kwargs,
            "weights_key": None,
            "strict": True,
            "exporter": exporter,
            "opset": opset,
        }
        return self.run(source, inputs, outputs)

    def program(
        self, path: Path, *inputs: dict[str, Any], outputs: tuple[str, ...] = (), opset: int = 20
    ) -> onnx.ModelProto:
        return self.run({"kind": "exported_program", "opset": opset}, inputs, outputs, program=path)

    def onnx(
        self, model: onnx.ModelProto | Path, *inputs: dict[str, Any], outputs: tuple[str, ...] = ()
    ) -> onnx.ModelProto:
        path = model if isinstance(model, Path) else self.folder / "source.onnx"
        if not isinstance(model, Path):
            onnx.save(model, path)
        return self.run({"kind": "onnx"}, inputs, outputs, onnx=path)

    def run(
        self,
        source: dict[str, Any],
        inputs: tuple[dict[str, Any], ...],
        outputs: tuple[str, ...],
        **files: Path,
    ) -> onnx.ModelProto:
        self.file.parent.mkdir(exist_ok=True)
        options: Any = {"source": source, "inputs": list(inputs), "outputs": list(outputs)}
        context = StageContext(options, files, self.file.parent, self.folder, self.reporter)
        export.run(context)
        return onnx.load(self.file)


def signature(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {
        item.name: [d.dim_param or d.dim_value for d in item.type.tensor_type.shape.dim]
        for item in (*model.graph.input, *model.graph.output)
    }


def opset_of(model: onnx.ModelProto) -> int:
    return next(item.version for item in model.opset_import if item.domain == "")


def run_ort(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))
