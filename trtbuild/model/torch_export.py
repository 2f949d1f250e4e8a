"""Exports PyTorch modules and ExportedPrograms to ONNX models."""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import torch
from torch.utils import _pytree as pytree

from trtbuild.errors import StageError
from trtbuild.model.input_shapes import dim_name, is_dynamic, range_text, require_inputs
from trtbuild.model.inputs import random_values
from trtbuild.model.onnx_file import load_model
from trtbuild.model.references import call_user
from trtbuild.model.symbols import get_dim
from trtbuild.model.torch_failures import explained
from trtbuild.model.torch_outputs import flat_outputs, output_names
from trtbuild.model.torch_source import takes_by_name, to_tensor

if TYPE_CHECKING:
    from trtbuild.recipe.model import Input, Shape

Warn = Callable[[str], None]
Tensors = tuple[torch.Tensor, ...]
Keys = tuple[str | int, ...]

_SEED = 0
_TORCH = f"{Path(torch.__file__).parent}{os.sep}"  # whose own code warns of what is harmless


def example_shape(item: Input) -> Shape:
    """The shape that a module is exported on: 2 where an axis may have it, else its smallest size.

    torch takes 0 and 1 for special sizes, to which graphs are specialised.
    """
    return tuple(min(max(low, 2), high) for low, high in zip(item.min, item.max, strict=True))


def export_module(
    module: torch.nn.Module,
    inputs: Sequence[Input],
    outputs: Sequence[str],
    *,
    reference: str,
    exporter: str,
    opset: int,
    warn: Warn,
) -> onnx.ModelProto:
    """The module as an ONNX model, whose inputs and outputs have the recipe's names.

    `outputs` names what the module returns, in order; where it is empty, names are made of the
    keys and places of what is returned. Raises StageError where the module does not run on the
    example, returns another number of tensors, or cannot be exported.
    """
    scripted = isinstance(module, torch.jit.ScriptModule)
    if scripted and exporter == "dynamo":
        raise StageError(
            "the factory returns a TorchScript module, which torch.export cannot read",
            where=reference,
            hint="return an instance of the model's Python class, or write "
            "`exporter: torchscript` in the recipe",
        )
    given, examples = [item.name for item in inputs], _examples(inputs)
    call = _in_order(module, given)
    made = output_names(_returned_paths(call, examples, inputs, reference), given)
    names = _require_names(made, outputs, reference)
    flat = None if scripted else _flattened(call, reference)
    export = _export_dynamo if exporter == "dynamo" else _export_torchscript
    with _heard_warnings(warn), _forward_replaced(module, flat):
        try:
            return export(module, examples, inputs, names, opset, reference)
        except StageError:
            raise
        except Exception as error:  # torch, sympy, onnxscript and the user's code raise anything
            raise explained(error, inputs, reference, exporter) from error


def export_program(
    program: torch.export.ExportedProgram,
    inputs: Sequence[Input],
    outputs: Sequence[str],
    *,
    where: str,
    opset: int,
    warn: Warn,
) -> onnx.ModelProto:
    """The program as an ONNX model; its inputs keep the names that the program gives them.

    Raises StageError as export_module does.
    """
    made = output_names(_program_paths(program, where), [item.name for item in inputs])
    names = _require_names(made, outputs, where)
    with _heard_warnings(warn):
        try:
            exported = torch.onnx.export(
                program, (), dynamo=True, opset_version=opset, output_names=names, verbose=False
            )
        except Exception as error:  # as in export_module
            raise explained(error, inputs, where, "dynamo") from error
    return _proto(exported, inputs, where)


def _in_order(module: torch.nn.Module, names: Sequence[str]) -> Callable[..., Any]:
    """The module's forward as a function of tensors in the recipe's order."""
    forward, by_name = module.forward, takes_by_name(module, names)

    def call(*tensors: torch.Tensor) -> Any:
        if by_name:
            return forward(**dict(zip(names, tensors, strict=True)))
        return forward(*tensors)

    return call


def _flattened(call: Callable[..., Any], reference: str) -> Callable[..., Tensors]:
    """A function that returns the tensors of what another one returns."""

    def forward(*tensors: torch.Tensor) -> Tensors:
        result = call(*tensors)
        if isinstance(result, torch.Tensor):  # the simple case in a form that torch can trace
            return (result,)
        return tuple(tensor for _, tensor in flat_outputs(result, reference))

    return forward


def _examples(inputs: Sequence[Input]) -> Tensors:
    generator = np.random.default_rng(_SEED)
    return tuple(to_tensor(random_values(item, example_shape(item), generator)) for item in inputs)


def _returned_paths(
    call: Callable[..., Any], examples: Tensors, inputs: Sequence[Input], reference: str
) -> list[Keys]:
    """Run the module once: where in its result each tensor lies."""
    try:
        with torch.no_grad():
            result = call_user(call, reference, *examples)
    except StageError as error:
        shapes = ", ".join(f"{item.name} {list(example_shape(item))}" for item in inputs)
        raise StageError(
            f"{error.what} (on {shapes})",
            where=error.where,
            hint="the module must run on every shape from min to max that the recipe gives; the "
            "whole traceback is in the log",
        ) from error
    return [path for path, _ in flat_outputs(result, reference)]


def _program_paths(program: torch.export.ExportedProgram, where: str) -> list[Keys]:
    """Where in the program's result each tensor lies."""
    kinds = [type(spec.arg).__name__ for spec in program.graph_signature.output_specs]
    returned = program.graph_signature.user_outputs
    leaves = [
        torch.empty(0) if kind == "TensorArgument" else value
        for kind, value in zip(kinds[len(kinds) - len(returned) :], returned, strict=True)
    ]
    spec = program.call_spec.out_spec
    result = pytree.tree_unflatten(leaves, spec) if spec is not None else leaves
    return [path for path, _ in flat_outputs(result, where)]


def _require_names(made: list[str], wanted: Sequence[str], where: str) -> list[str]:
    if wanted and len(wanted) != len(made):
        raise StageError(
            f"the model returns {len(made)} tensors ({', '.join(made)}), the recipe names "
            f"{len(wanted)} outputs ({', '.join(wanted)})",
            where=where,
            hint="name each tensor that the model returns, in that order, or leave `outputs` out",
        )
    return list(wanted) or made


def _export_dynamo(
    module: torch.nn.Module,
    examples: Tensors,
    inputs: Sequence[Input],
    names: list[str],
    opset: int,
    where: str,
) -> onnx.ModelProto:
    # DYNAMIC, not a Dim of a name: two inputs whose sizes the model makes equal are then one
    # dimension, and no error.
    shapes = tuple(
        {
            axis: torch.export.Dim.DYNAMIC(min=item.min[axis], max=item.max[axis])
            for axis in range(len(item.min))
            if is_dynamic(item, axis)
        }
        for item in inputs
    )
    exported = torch.onnx.export(
        module,
        examples,
        dynamo=True,
        opset_version=opset,
        input_names=[item.name for item in inputs],
        output_names=names,
        dynamic_shapes=(shapes,),
        verbose=False,
    )
    return _proto(exported, inputs, where)


def _export_torchscript(
    module: torch.nn.Module,
    examples: Tensors,
    inputs: Sequence[Input],
    names: list[str],
    opset: int,
    where: str,
) -> onnx.ModelProto:
    axes = {
        item.name: {n: dim_name(item, n) for n in range(len(item.min)) if is_dynamic(item, n)}
        for item in inputs
    }
    with tempfile.TemporaryDirectory(prefix="trtbuild-") as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(
            module,
            examples,
            path,
            dynamo=False,
            opset_version=opset,
            input_names=[item.name for item in inputs],
            output_names=names,
            dynamic_axes={name: dims for name, dims in axes.items() if dims},
        )
        model = load_model(path)
    _require_used(model, inputs, where)
    require_inputs(model, inputs, where)
    return model


def _require_used(model: onnx.ModelProto, inputs: Sequence[Input], where: str) -> None:
    there = {value.name for value in model.graph.input}
    unused = [repr(item.name) for item in inputs if item.name not in there]
    if unused:
        raise StageError(
            f"no output depends on {', '.join(unused)}: torch's TorchScript exporter leaves such "
            "inputs out",
            where=where,
            hint="write `exporter: dynamo`, which keeps them, or a forward without them",
        )


def _proto(exported: Any, inputs: Sequence[Input], where: str) -> onnx.ModelProto:
    """The model of a torch.onnx.ONNXProgram, where it is valid for all that the recipe asks.

    torch narrows a range without a word where the code takes another path outside of it.
    """
    model: onnx.ModelProto = exported.model_proto
    require_inputs(model, inputs, where)
    valid = {
        str(symbol): kept for symbol, kept in exported.exported_program.range_constraints.items()
    }
    given = {item.name: item for item in inputs}
    for value in model.graph.input:
        item = given.get(value.name)
        for axis, dim in enumerate(value.type.tensor_type.shape.dim if item else ()):
            kept = valid.get(str(get_dim(dim)))
            if item is None or kept is None:
                continue
            # A program of torch.export itself says 2 where 1 was asked for.
            if kept.lower > max(item.min[axis], 2) or kept.upper < item.max[axis]:
                raise _narrowed(item, axis, f"{kept.lower} to {kept.upper}", where)
    return model


def _narrowed(item: Input, axis: int, kept: str, where: str) -> StageError:
    return StageError(
        f"axis {axis} of '{item.name}' is {range_text(item, axis)} in the recipe, but the exported "
        f"graph is right for {kept} only",
        where=where,
        hint="narrow min and max to that range; or let the model's code do the same for every size "
        "(torch.export saw it branch), or export the program for a wider range",
    )


@contextmanager
def _forward_replaced(
    module: torch.nn.Module, forward: Callable[..., Tensors] | None
) -> Iterator[None]:
    """Let a module run another forward: a wrapping module would add its name to every weight."""
    if forward is None:
        yield
        return
    own = vars(module).get("forward")
    module.forward = forward
    try:
        yield
    finally:
        del module.forward
        if own is not None:
            module.forward = own


@contextmanager
def _heard_warnings(warn: Warn) -> Iterator[None]:
    """Tell the user where a trace is fixed to the example; other warnings go to the log."""
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        try:
            yield
        finally:
            told: set[str] = set()
            for warning in heard:
                place = f"{warning.filename}:{warning.lineno}"
                torchs = warning.filename.startswith(_TORCH)
                if torchs or not issubclass(warning.category, torch.jit.TracerWarning):
                    sys.stderr.write(f"{place}: {warning.message}\n")
                elif place not in told:
                    told.add(place)
                    text = " ".join(str(warning.message).split()).partition(". ")[0]
                    warn(f"{place}: {text}: the graph holds what the example gave there")
