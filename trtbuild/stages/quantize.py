"""Puts a precision into the graph: casts for fp16 and bf16, Q/DQ for int8 and fp8, int4 weights."""

from __future__ import annotations

import importlib.metadata
import json
from typing import TYPE_CHECKING, Any

from trtbuild.errors import OptionError
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import (
    canonicalise,
    check_model,
    input_types,
    load_model,
    output_types,
    save_model,
)
from trtbuild.precision.autocast import MARGIN, SUMMED
from trtbuild.precision.cases import open_cases
from trtbuild.precision.constants import LARGEST
from trtbuild.precision.describe import describe
from trtbuild.precision.lowfloat import Lowered
from trtbuild.stages.convert import convert
from trtbuild.stages.wishes import base_of, int4_samples

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import onnx

    from trtbuild.recipe.model import Input
    from trtbuild.reporter import Reporter
    from trtbuild.stages.base import StageContext

_TYPES = {"fp16": "float16", "bf16": "bfloat16"}


def run(context: StageContext) -> None:
    """Write the model in the precision asked for, and quantize.json, which says what was done."""
    options: Any = context.options
    model = load_model(context.inputs["model"])
    inputs = parse_inputs(options["inputs"])
    declared = _declared_types(model, inputs, options)
    reference = context.inputs.get("reference")
    if reference is None and base_of(options) != "fp32":
        context.reporter.warn(
            "ranges are measured on seeded values in the declared ranges, since the recipe has no "
            "dataset: give `verify: {dataset: ...}` to measure them on real data"
        )
    with open_cases(reference, inputs, options.get("renames")) as cases:
        samples = int4_samples(context) if options["precision"] == "int4" else None
        result = convert(model, context, cases, samples=samples)
    context.reporter.progress("checking and writing", 0.95)
    target = result.model
    lowered = result if isinstance(result, Lowered) else result.lowered
    base = base_of(options)
    document = describe(result, options["precision"], base, _tool(lowered))
    if lowered is not None:
        _warn(lowered, base, document["nodes"], context.reporter)
    _require_types(target, declared)
    if samples is not None and samples.taken:
        document["calibration"] = samples.document()
    _write(target, context.outputs / "model.onnx")
    (context.outputs / "quantize.json").write_text(json.dumps(document, indent=1) + "\n")


def _declared_types(
    model: onnx.ModelProto, inputs: tuple[Input, ...], options: Any
) -> dict[str, str]:
    """The type that each input and output must have in the result; float32 becomes the base's type
    where the types are not kept. The recipe's inputs count, and the model's for its outputs.
    """
    types = {item.name: item.dtype for item in output_types(model)}
    types.update((item.name, item.dtype) for item in inputs)
    low = _TYPES.get(base_of(options))
    if options.get("keep_io_types", True) or low is None:
        return types
    return {name: low if dtype == "float32" else dtype for name, dtype in types.items()}


def _require_types(model: onnx.ModelProto, declared: dict[str, str]) -> None:
    for item in (*input_types(model), *output_types(model)):
        wanted = declared.get(item.name, item.dtype)
        if item.dtype != wanted:
            raise OptionError(
                f"'{item.name}' is {item.dtype} after the conversion, but should be {wanted}",
                where=item.name,
                hint=f"write `dtype: {item.dtype}` for it in the recipe, or set keep_io_types",
            )


def _write(model: onnx.ModelProto, path: Path) -> None:
    canonicalise(model)
    save_model(model, path)
    check_model(path)


def _warn(lowered: Lowered, base: str, nodes: Mapping[str, int], reporter: Reporter) -> None:
    """Say what the user may not expect; `nodes` counts the graph's by the type they compute in."""
    for constant in lowered.saturated:
        reporter.warn(
            f"constant '{constant.tensor}' reaches {constant.largest:.4g}, beyond {base}: "
            f"saturated to {LARGEST[base]:.5g}, which leaves the float32 outputs as they are"
        )
    total, highest = sum(nodes.values()), LARGEST[base]
    if lowered.large:
        tensor, largest = lowered.large[0]
        kept = sum(item.reason == "range" for item in lowered.kept)
        reporter.warn(
            f"{kept} of {total} nodes stay in fp32, since {len(lowered.large)} tensors come near "
            f"{base}'s {highest:.5g} or go beyond it (the limit is {highest / MARGIN:.5g}, "
            f"{SUMMED:.5g} where they are added up): the furthest is '{tensor}' with {largest:.4g}"
        )
    if not nodes.get(base) and nodes["fp32"]:
        reporter.warn(
            f"no node of the graph is in {base}, and {nodes['fp32']} of {total} are in fp32: "
            "`kept_fp32` in quantize.json says why"
        )


def _tool(lowered: Lowered | None) -> str:
    """What made the casts; Q/DQ are trtbuild's own."""
    if lowered is None:
        return "trtbuild"
    return f"modelopt {importlib.metadata.version('nvidia-modelopt')}"
