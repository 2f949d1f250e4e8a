"""The surgery stage: rewrites the exported graph step by step, in the order of the recipe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import onnx_graphsurgeon as gs
from onnx_graphsurgeon.util.exception import OnnxGraphSurgeonException

from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import canonicalise, input_types, load_model, save_model
from trtbuild.model.references import call_user, load_callable
from trtbuild.model.surgery.check import check, is_consistent, require_distinct
from trtbuild.model.surgery.convert import outline, to_graph, to_model
from trtbuild.model.surgery.ops import OPERATIONS
from trtbuild.model.surgery.signature import Signature
from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Write model.onnx: the input "model" after every step of `options["steps"]`.

    Each step is {"op": name, ...its options}; "hook" calls the user's "file.py:function" with the
    graph and its "options" as keyword arguments. Raises StageError with the step's place in the
    recipe, surgery[n], where a step cannot be done, leaves a graph that is not valid, or the graph
    in the end does not take the source model's inputs.
    """
    steps = cast("Sequence[Mapping[str, Any]]", context.options["steps"])
    context.reporter.progress("loading the model", 0.0)
    source = load_model(context.inputs["model"])
    graph = to_graph(source)
    consistent = is_consistent(graph)
    signature = Signature(input_types(source))
    for index, step in enumerate(steps):
        context.reporter.progress(
            f"{index + 1} of {len(steps)}: {_title(step)}", index / len(steps)
        )
        with _told_of_step(f"surgery[{index}] {step['op']}"):
            if step["op"] == "extract":
                signature.require_part(step["inputs"], step["outputs"])
            graph = _apply(graph, step, context.folder)
            if step["op"] == "rename":
                signature.rename(step["tensors"])
            check(graph, consistent=consistent)
            if index + 1 == len(steps):  # a hook may take up what the one before it left
                signature.require_kept(graph)
    context.reporter.progress("writing the model", 1.0)
    model = to_model(graph, source)
    canonicalise(model)
    save_model(model, context.outputs / "model.onnx")


def _title(step: Mapping[str, Any]) -> str:
    return str(step["hook"] if step["op"] == "hook" else step["op"])


def _apply(graph: gs.Graph, step: Mapping[str, Any], folder: Path) -> gs.Graph:
    if step["op"] == "hook":
        return _call_hook(graph, step["hook"], step.get("options") or {}, folder)
    operation = OPERATIONS.get(step["op"])
    if operation is None:
        raise StageError(
            f"there is no operation '{step['op']}'{nearest(step['op'], OPERATIONS)}",
            hint=f"the operations are {', '.join(OPERATIONS)}, or a hook",
        )
    operation(graph, step)
    return graph


def _call_hook(
    graph: gs.Graph, reference: str, options: Mapping[str, Any], folder: Path
) -> gs.Graph:
    """The graph that the user's function returns, sorted: hooks append nodes at the end."""
    function = load_callable(reference, folder)
    result = call_user(function, reference, graph, **options)
    if not isinstance(result, gs.Graph):
        given = "nothing" if result is None else f"a {type(result).__name__}"
        raise StageError(
            f"{reference} returned {given}, not a graph",
            where=_place(function),
            hint="end the function with `return graph`",
        )
    _require_writable(result, reference, function)
    require_distinct(result)
    return result.toposort()


def _require_writable(graph: gs.Graph, reference: str, function: Callable[..., Any]) -> None:
    try:
        outline(graph)
    except MemoryError:
        raise
    except OnnxGraphSurgeonException:
        require_distinct(graph)  # what it most often means, in a message that names it
        raise
    # What a hook may have left in a graph fails in onnx, numpy or protobuf, each with exceptions
    # of its own.
    except Exception as error:
        raise StageError(
            f"{reference} returned a graph that cannot be written as ONNX: "
            f"{type(error).__name__}: {' '.join(str(error).split())[:400]}",
            where=_place(function),
            hint="names must be str, and attributes and values of kinds that ONNX has; the log "
            "has the traceback",
        ) from error


def _place(function: Callable[..., Any]) -> str:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code else ""


@contextmanager
def _told_of_step(place: str) -> Iterator[None]:
    """Add the step to the errors of this block; the place in a hook's own file goes first."""
    try:
        yield
    except StageError as error:
        what = f"{place}: {error.what}" if error.where else error.what
        raise StageError(what, where=error.where or place, hint=error.hint) from error
    except OnnxGraphSurgeonException as error:
        raise StageError(
            f"onnx-graphsurgeon refuses the graph: {str(error).splitlines()[0]}",
            where=place,
            hint="the whole message is in the log",
        ) from error
    except RecursionError as error:
        raise StageError(
            "the nodes are too far from a topological order to be sorted",
            where=place,
            hint="insert new nodes into graph.nodes near the place where they work",
        ) from error
