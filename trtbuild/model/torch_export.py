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

import onnx
import torch
from torch.utils import _pytree as pytree

from trtbuild.errors import StageError
from trtbuild.model import onnx_outputs
from trtbuild.model.input_shapes import dim_name, is_dynamic, range_text, require_inputs
from trtbuild.model.onnx_file import load_model
from trtbuild.model.symbols import get_dim
from trtbuild.model.torch_calls import (
    Tensors,
    examples,
    flattened,
    forward_replaced,
    in_order,
    returned_paths,
)
from trtbuild.model.torch_failures import explained
from trtbuild.model.torch_inputs import position_note
from trtbuild.model.torch_outputs import Keys, are_own, flat_outputs, output_names

if TYPE_CHECKING:
    from trtbuild.recipe.model import Input

Warn = Callable[[str], None]
_TORCH = f"{Path(torch.__file__).parent}{os.sep}"  # whose own code warns of what is harmless


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

    Outputs have names made of the keys and places of what is returned; `outputs` chooses of these,
    or gives all of them other names, in order. Raises StageError where the module does not run on
    the example, returns another number of tensors, or cannot be exported.
    """
    scripted = isinstance(module, torch.jit.ScriptModule)
    if scripted and exporter == "dynamo":
        raise StageError(
            "the factory returns a TorchScript module, which torch.export cannot read",
            where=reference,
            hint="return an instance of the model's Python class, or write "
            "`exporter: torchscript` in the recipe",
        )
    given, tensors = [item.name for item in inputs], examples(inputs)
    call = in_order(module, given)
    if (note := position_note(module, given)) is not None:
        warn(note)
    made = output_names(returned_paths(call, tensors, inputs, reference), given)
    names = _require_names(made, outputs, reference)
    flat = None if scripted else flattened(call, reference)
    export = _export_dynamo if exporter == "dynamo" else _export_torchscript
    with _heard_warnings(warn), forward_replaced(module, flat):
        try:
            model = export(module, tensors, inputs, names, opset, reference)
        except (StageError, MemoryError):
            raise
        except Exception as error:  # torch, sympy, onnxscript and the user's code raise anything
            raise explained(error, inputs, reference, exporter) from error
    return onnx_outputs.select(model, outputs, reference)


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
        except MemoryError:
            raise
        except Exception as error:  # as in export_module
            raise explained(error, inputs, where, "dynamo") from error
    return onnx_outputs.select(_proto(exported, inputs, where), outputs, where)


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
    """The names that the exporter gives the outputs: the model's own where all that are wanted are
    among these, to be chosen by name afterwards, else those that are wanted.
    """
    if are_own(wanted, made):
        return made
    if len(wanted) != len(made):
        raise StageError(
            f"the model returns {len(made)} tensors ({', '.join(made)}), the recipe names "
            f"{len(wanted)} outputs ({', '.join(wanted)})",
            where=where,
            hint="name each tensor that the model returns, in that order; or some of the model's "
            "own names; or leave `outputs` out",
        )
    moved = [name for name, own in zip(wanted, made, strict=True) if name in made and name != own]
    if moved:
        raise StageError(
            f"the recipe names the outputs {', '.join(wanted)}, but the model returns "
            f"{', '.join(made)}: '{moved[0]}' would be the name of another tensor than the model's",
            where=where,
            hint="name the outputs in the order in which the model returns them, or all by the "
            "model's own names",
        )
    return list(wanted)


def _export_dynamo(
    module: torch.nn.Module,
    tensors: Tensors,
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
        tensors,
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
    tensors: Tensors,
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
            tensors,
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
    from onnx_ir.passes.common import NameFixPass  # torch.onnx has imported it

    # torch names outputs as it is told and lets a value inside, such as an embedding, keep the
    # same name; inputs and outputs come first here.
    NameFixPass()(exported.model)
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
