"""Runs a model that is in memory on onnxruntime's CPU provider."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from trtbuild.errors import StageError
from trtbuild.model.bfloat16 import as_float32, holds_bfloat16
from trtbuild.model.inputs import Array, Arrays
from trtbuild.model.onnx_file import save_model

Run = Callable[[Sequence[str], Arrays], list[Array]]
"""(names of outputs, inputs) -> the outputs in that order; inputs that the graph lacks, because
surgery took them out, are left aside, and floats are given in the type that the graph has."""

_DTYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16}

_REFUSALS = (
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)


@contextmanager
def open_session(model: onnx.ModelProto, *, optimise: bool) -> Iterator[Run]:
    """A function that runs the model, usable inside the `with`.

    Give `optimise=False` for graphs that hold float16 or Q/DQ: onnxruntime's optimised graphs of
    those give other numbers than the graph says. Nodes run in the order of the graph, so that a
    node beside its tensor's producer lets the tensor go at once. The model is read from a file,
    since one above 2 GB cannot be given as bytes: give a copy, whose tensors may be moved there.
    A graph with bfloat16 in it is run by its float32 likeness, and gives float32.

    Raises StageError where onnxruntime refuses the model or fails on the inputs.
    """
    if holds_bfloat16(model):
        model, optimise = as_float32(model), False
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors only: every fused node is worth a warning to it
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    with tempfile.TemporaryDirectory(prefix="trtbuild-") as folder:
        path = Path(folder) / "model.onnx"
        save_model(model, path)
        try:
            session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
        except _REFUSALS as error:
            raise _refused("onnxruntime cannot load the model", error) from error

        wanted = {item.name: _DTYPES.get(item.type) for item in session.get_inputs()}

        def run(outputs: Sequence[str], inputs: Arrays) -> list[Array]:
            if not outputs:  # which onnxruntime takes for a mistake
                return []
            require_values(wanted, inputs)
            feeds = {
                name: inputs[name] if dtype is None else inputs[name].astype(dtype, copy=False)
                for name, dtype in wanted.items()
                if name in inputs
            }
            try:
                results: list[Array] = session.run(list(outputs), feeds)
            except _REFUSALS as error:
                raise _refused("onnxruntime cannot run the model", error) from error
            return results

        yield run


def require_values(names: Iterable[str], inputs: Arrays) -> None:
    """Raise StageError for an input of the graph, which surgery may have made, without values."""
    lacking = [repr(name) for name in names if name not in inputs]
    if lacking:
        raise StageError(
            f"there are no values for the graph's input {', '.join(lacking)}",
            hint=f"give arrays of that name in the dataset, beside {', '.join(sorted(inputs))}",
        )


def _refused(what: str, error: Exception) -> StageError:
    return StageError(
        f"{what}: {' '.join(str(error).split())[:600]}",
        hint="check that the inputs' dtypes and shapes fit the model; operators that onnxruntime "
        "does not have cannot be measured",
    )
