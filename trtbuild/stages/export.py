"""The export stage: PyTorch, an ExportedProgram or ONNX becomes a canonical ONNX model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import onnx

from trtbuild.errors import StageError
from trtbuild.model import onnx_outputs
from trtbuild.model.input_shapes import require_inputs, write_inputs
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import (
    canonicalise,
    check_model,
    load_model,
    opset_of,
    output_types,
    save_model,
)
from trtbuild.model.trial import Shapes, try_shapes
from trtbuild.recipe.model import Input
from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Write model.onnx, with the recipe's names of inputs, dimensions and outputs.

    Its bytes depend on the model alone. Raises StageError where the model cannot be exported, the
    recipe's inputs do not fit it, or the result is no valid ONNX or does not run at min and max.
    """
    inputs = parse_inputs(context.options["inputs"])
    outputs = cast("Sequence[str]", context.options["outputs"])
    source = cast("dict[str, Any]", context.options["source"])
    make = {"torch": _from_torch, "exported_program": _from_program, "onnx": _from_onnx}
    model, example = make[source["kind"]](context, source, inputs, outputs)
    for output in output_types(model):
        if output.dtype == "float64":
            context.reporter.warn(
                f"output '{output.name}' is float64, which TensorRT does not have: the engine "
                "gives float32"
            )
    canonicalise(model)
    path = context.outputs / "model.onnx"
    save_model(model, path)
    del model  # as large as the weights
    context.reporter.progress("checking", 0.8)
    check_model(path)
    context.reporter.progress("running at min and max", 0.9)
    try_shapes(path, inputs, example, context.reporter.warn)


def _from_torch(
    context: StageContext, source: dict[str, Any], inputs: Sequence[Input], outputs: Sequence[str]
) -> tuple[onnx.ModelProto, Shapes | None]:
    context.reporter.progress("importing torch", 0.0)
    from trtbuild.model.torch_calls import example_shape
    from trtbuild.model.torch_export import export_module
    from trtbuild.model.torch_source import load_module

    context.reporter.progress("loading the model", 0.2)
    module = load_module(source, context.inputs, context.folder, context.reporter.warn)
    context.reporter.progress("exporting", 0.3)
    model = export_module(
        module,
        inputs,
        outputs,
        reference=source["factory"],
        exporter=source["exporter"],
        opset=source["opset"],
        warn=context.reporter.warn,
    )
    _fit(context, model, inputs, source)
    return model, {item.name: example_shape(item) for item in inputs}


def _from_program(
    context: StageContext, source: dict[str, Any], inputs: Sequence[Input], outputs: Sequence[str]
) -> tuple[onnx.ModelProto, Shapes | None]:
    context.reporter.progress("importing torch", 0.0)
    from trtbuild.model.torch_export import export_program
    from trtbuild.model.torch_source import load_program

    context.reporter.progress("loading the program", 0.2)
    path = context.inputs["program"]
    program = load_program(path)
    context.reporter.progress("exporting", 0.3)
    model = export_program(
        program,
        inputs,
        outputs,
        where=str(path),
        opset=source["opset"],
        warn=context.reporter.warn,
    )
    _fit(context, model, inputs, source)
    return model, None


def _from_onnx(
    context: StageContext, _: dict[str, Any], inputs: Sequence[Input], outputs: Sequence[str]
) -> tuple[onnx.ModelProto, Shapes | None]:
    context.reporter.progress("loading the model", 0.0)
    path = context.inputs["onnx"]
    model = load_model(path)
    check_model(path)
    context.reporter.progress("fitting the inputs", 0.5)
    require_inputs(model, inputs, str(path))
    for note in write_inputs(model, inputs, name_all=False):
        context.reporter.warn(note)
    return onnx_outputs.select(model, outputs, str(path)), None


def _fit(
    context: StageContext, model: onnx.ModelProto, inputs: Sequence[Input], source: dict[str, Any]
) -> None:
    """Require of what torch made that it has the opset asked for, and name its dimensions."""
    opset = opset_of(model)
    if opset != source["opset"]:
        raise StageError(
            f"torch exported opset {opset} instead of {source['opset']}",
            hint=f"write `opset: {opset}` in the recipe, or another from 18 to 23",
        )
    for note in write_inputs(model, inputs, name_all=True):
        context.reporter.warn(note)
