"""Runs an ONNX file on the CPU, by names, with the numbers that the graph says."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from trtbuild.errors import StageError
from trtbuild.model import external, walk
from trtbuild.model.bfloat16 import as_float32
from trtbuild.model.inputs import numpy_dtype
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import (
    TensorType,
    dtype_name,
    input_types,
    load_model,
    load_structure,
    opset_of,
    output_types,
    save_model,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from trtbuild.model.inputs import Array, Arrays

_LOW = ("float16", "bfloat16", "float8", "float4", "int4", "uint4", "int2", "uint2")
_QUANTIZERS = {"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"}

_FAILURES = (
    failures.Fail,
    failures.InvalidArgument,
    failures.InvalidGraph,
    failures.InvalidProtobuf,
    failures.NotImplemented,
    failures.RuntimeException,
)
OLDEST_OPSET = 7
"""The first opset that onnxruntime's CPU kernels are written for."""

_PREFIX = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")


class UnsupportedModelError(StageError):
    """The graph holds an operator that the CPU has no implementation of (a TensorRT plugin)."""


class Runner(Protocol):
    """An ONNX graph that can be run; `types` says what it takes and gives."""

    inputs: tuple[TensorType, ...]
    outputs: tuple[TensorType, ...]

    # The named outputs (all of them by default) for inputs by name.
    def run(self, values: Arrays, names: Sequence[str] = ()) -> Arrays: ...


def open_model(path: Path) -> Runner:
    """A runner for a file, by onnxruntime.

    Graphs with float16, float8 or Q/DQ run without onnxruntime's optimisations: with them int8 on
    float16 and float8 give wrong results. onnxruntime's CPU provider has no bfloat16 operators, so
    such a graph runs as its equal in float32. It computes float16 operators that it lacks in
    float32, which hides an overflow: ranges are checked where the graph is made.

    Raises UnsupportedModelError for operators that the CPU does not have, else StageError.
    """
    structure = load_structure(path)
    _require_tensors(structure, path)
    used = dtypes_of(structure)
    if "bfloat16" in used:
        return _Rounding(path, structure)
    quantized = any(node.op_type in _QUANTIZERS for node in walk.nodes(structure))
    low = quantized or any(name.startswith(_LOW) for name in used)
    return _Session(path, structure, optimise=not low)


def dtypes_of(model: onnx.ModelProto) -> frozenset[str]:
    """The names of the element types that a graph stores, takes, gives, or casts to."""
    found = {tensor.data_type for tensor in walk.tensors(model)}
    for graph in walk.graphs(model):
        for value in (*graph.input, *graph.output, *graph.value_info):
            found.add(value.type.tensor_type.elem_type)
    for node in walk.nodes(model):
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                found.add(attribute.i)
    return frozenset(dtype_name(element) for element in found)


class _Session:
    """onnxruntime on the CPU."""

    def __init__(
        self, path: Path, structure: onnx.ModelProto, *, optimise: bool, place: Path | None = None
    ) -> None:
        self.inputs, self.outputs = input_types(structure), output_types(structure)
        self._place = str(place or path)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal only: errors are raised, the rest is noise
        level = onnxruntime.GraphOptimizationLevel
        options.graph_optimization_level = (
            level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
        )
        with _readable(path, structure) as file:
            try:
                self._session = onnxruntime.InferenceSession(
                    str(file), options, providers=["CPUExecutionProvider"]
                )
            except _FAILURES as error:
                raise _load_error(str(error), self._place, structure) from error

    def run(self, values: Arrays, names: Sequence[str] = ()) -> Arrays:
        """Run once. Raises StageError with the shapes where onnxruntime refuses them."""
        wanted = [output.name for output in self.outputs if not names or output.name in names]
        feeds = _feeds(self.inputs, values, self._place)
        try:
            results = self._session.run(wanted, feeds)
        except _FAILURES as error:
            raise _run_error(str(error), feeds, self._place) from error
        return dict(zip(wanted, results, strict=True))


@contextmanager
def _readable(path: Path, structure: onnx.ModelProto) -> Iterator[Path]:
    """The file, or where small tensors lie outside of it a copy that holds them: onnxruntime
    cannot infer shapes from what it has not read.
    """
    if not external.small_ones_outside(structure):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="trtbuild-") as folder:
        copy = Path(folder) / "model.onnx"
        save_model(load_model(path), copy)
        yield copy


class _Rounding:
    """onnxruntime on a bfloat16 graph's equal in float32, which rounds where the graph does."""

    def __init__(self, path: Path, structure: onnx.ModelProto) -> None:
        self.inputs, self.outputs = input_types(structure), output_types(structure)
        self._place = str(path)
        with tempfile.TemporaryDirectory(prefix="trtbuild-") as folder:
            equal = Path(folder) / "model.onnx"
            save_model(as_float32(load_model(path)), equal)
            self._session = _Session(equal, load_structure(equal), optimise=False, place=path)

    def run(self, values: Arrays, names: Sequence[str] = ()) -> Arrays:
        """Run once. Raises StageError as onnxruntime alone does."""
        feeds = _feeds(self.inputs, values, self._place)
        results = self._session.run(
            {name: _as_float32(array) for name, array in feeds.items()}, names
        )
        types = {output.name: numpy_dtype(output.dtype) for output in self.outputs}
        return {name: array.astype(types[name], copy=False) for name, array in results.items()}


def _as_float32(array: Array) -> Array:
    return array.astype(np.float32) if array.dtype == ml_dtypes.bfloat16 else array


def _require_tensors(model: onnx.ModelProto, path: Path) -> None:
    for value in (*input_types(model), *output_types(model)):
        if value.dtype in ("sequence", "map", "optional", "sparse_tensor", "string"):
            raise StageError(
                f"'{value.name}' is a {value.dtype}, not a tensor of numbers",
                where=str(path),
                hint="name the outputs that you need under `outputs` in the recipe, or take the "
                "part before it: TensorRT has tensors of numbers only",
            )


def _feeds(inputs: tuple[TensorType, ...], values: Arrays, place: str) -> Arrays:
    """The graph's inputs, cast where the graph takes another floating type than the data has."""
    feeds = {}
    for item in inputs:
        if item.name not in values:
            raise StageError(
                f"the graph takes an input '{item.name}'{nearest(item.name, values)}, "
                "for which there are no values",
                where=place,
                hint=f"the values at hand are {', '.join(sorted(values)) or 'none'}; give its own "
                "under that name in the dataset",
            )
        feeds[item.name] = _cast(values[item.name], item, place)
    return feeds


def _cast(values: Array, item: TensorType, place: str) -> Array:
    wanted = numpy_dtype(item.dtype)
    if values.dtype == wanted:
        return values
    if not (_floating(values.dtype) and _floating(wanted)):
        raise StageError(
            f"input '{item.name}' is {item.dtype} in the graph, but the values are {values.dtype}",
            where=place,
            hint=f"write `dtype: {item.dtype}` for it in the recipe",
        )
    return values.astype(wanted)


def _floating(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or dtype == ml_dtypes.bfloat16


def _load_error(text: str, place: str, structure: onnx.ModelProto) -> StageError:
    unsupported = re.search(
        r"is not a registered function/op|NOT_IMPLEMENTED|No Op registered", text
    )
    kind = UnsupportedModelError if unsupported else StageError
    hint = "the graph is not valid: look at the operator that the message names"
    if unsupported:
        hint = "the CPU has no such operator: only a GPU can check this graph"
    opset = opset_of(structure)
    if unsupported and opset < OLDEST_OPSET:
        hint = (
            f"onnxruntime runs opset {OLDEST_OPSET} and later, this is {opset}: export the model "
            "again, or raise it with onnx.version_converter"
        )
    return kind(f"onnxruntime cannot load the model: {_plain(text)}", where=place, hint=hint)


def _run_error(text: str, feeds: Arrays, place: str) -> StageError:
    shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in feeds.items())
    return StageError(
        f"the graph does not run on {shapes}: {_plain(text)}",
        where=place,
        hint="a graph can be exported for the example's sizes alone: give min, opt and max that it "
        "runs on, or make the dimension dynamic in the source",
    )


def _plain(text: str) -> str:
    return _PREFIX.sub("", " ".join(text.split()))[:800]
