"""Puts a precision into the graph: casts for fp16."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import (
    canonicalise,
    check_model,
    input_types,
    load_model,
    output_types,
    save_model,
)
from trtbuild.precision.cases import open_cases
from trtbuild.precision.lowfloat import Lowered, lower
from trtbuild.precision.obtained import count_types, node_types

if TYPE_CHECKING:
    import onnx

    from trtbuild.recipe.model import Input
    from trtbuild.reporter import Reporter
    from trtbuild.stages.base import StageContext

FORMAT = 1


def run(context: StageContext) -> None:
    """Write the model in the precision asked for, and quantize.json, which says what was done."""
    options: Any = context.options
    model = load_model(context.inputs["model"])
    inputs = parse_inputs(options["inputs"])
    keep_io_types = bool(options.get("keep_io_types", True))
    declared = _declared_types(model, inputs, keep_io_types=keep_io_types)
    reference = _reference(context)
    with open_cases(reference, inputs, options.get("renames")) as cases:
        result = lower(
            model,
            "fp16",
            keep_io_types=keep_io_types,
            keep_fp32=tuple(options.get("keep_fp32") or ()),
            cases=cases,
            progress=context.reporter.progress,
        )
    context.reporter.progress("checking and writing", 0.95)
    _warn(result, context.reporter)
    _require_types(result.model, declared)
    document = _document(result, options["precision"])  # before saving moves weights out
    _write(result.model, context.outputs / "model.onnx")
    (context.outputs / "quantize.json").write_text(json.dumps(document, indent=1) + "\n")


def _reference(context: StageContext) -> Path | None:
    reference = context.inputs.get("reference")
    if reference is None:
        context.reporter.warn(
            "ranges are measured on seeded values in the declared ranges, since the recipe has no "
            "dataset: give `verify: {dataset: ...}` to measure them on real data"
        )
    return reference


def _declared_types(
    model: onnx.ModelProto, inputs: tuple[Input, ...], *, keep_io_types: bool
) -> dict[str, str]:
    """The type that each input and output must have in the result; float32 becomes float16 where
    the types are not kept. The recipe's inputs count, and the model's for its outputs.
    """
    types = {item.name: item.dtype for item in output_types(model)}
    types.update((item.name, item.dtype) for item in inputs)
    if keep_io_types:
        return types
    return {name: "float16" if dtype == "float32" else dtype for name, dtype in types.items()}


def _require_types(model: onnx.ModelProto, declared: dict[str, str]) -> None:
    for item in (*input_types(model), *output_types(model)):
        wanted = declared.get(item.name, item.dtype)
        if item.dtype != wanted:
            raise StageError(
                f"'{item.name}' is {item.dtype} after the conversion, but should be {wanted}",
                where=item.name,
                hint=f"write `dtype: {item.dtype}` for it in the recipe, or set keep_io_types",
            )


def _write(model: onnx.ModelProto, path: Path) -> None:
    canonicalise(model)
    save_model(model, path)
    check_model(path)


def _warn(result: Lowered, reporter: Reporter) -> None:
    for constant in result.saturated:
        reporter.warn(
            f"constant '{constant.tensor}' reaches {constant.largest:.4g}, beyond float16: "
            "saturated to 65504, which leaves the float32 outputs as they are"
        )
    if result.overflow:
        tensor, largest = result.overflow[0]
        reporter.warn(
            f"{len(result.overflow)} tensors go beyond float16's 65504, the furthest "
            f"'{tensor}' with {largest:.4g}: the nodes that make and read them stay in float32"
        )


def _document(result: Lowered, precision: str) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "precision": precision,
        "tool": f"modelopt {importlib.metadata.version('nvidia-modelopt')}",
        "kept_fp32": [
            {"node": kept.node, "op_type": kept.op_type, "reason": kept.reason}
            for kept in result.kept
        ],
        "nodes": {"fp16": 0, "fp32": 0} | count_types(node_types(result.model)),
        "saturated": [
            {"tensor": constant.tensor, "largest": constant.largest}
            for constant in result.saturated
        ],
        "overflow": [{"tensor": tensor, "largest": largest} for tensor, largest in result.overflow],
    }
