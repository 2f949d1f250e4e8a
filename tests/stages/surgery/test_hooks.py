"""Hooks: the user's Python on the graph."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest
from onnx import TensorProto, helper

from tests.stages.surgery.staging import Stage, X, chain, model_of, run_ort, value

HOOK = """
import numpy as np
import onnx_graphsurgeon as gs

def scale(graph, factor):
    value = gs.Variable("scaled", np.float32, None)
    graph.nodes.append(gs.Node("Mul", "scale", inputs=[
        graph.inputs[0], gs.Constant("factor", np.array(factor, np.float32))], outputs=[value]))
    first = next(node for node in graph.nodes if node.op == "Relu")
    first.inputs[0] = value
    return graph

def nothing(graph):
    graph.cleanup()

def text(graph):
    return "graph"

def crash(graph):
    return graph.nodes[99]

def odd(graph):
    graph.outputs[0].name = 5
    return graph

def read(graph):
    for tensor in graph.tensors().values():
        if isinstance(tensor, gs.Constant):
            tensor.values.sum
    return graph

def twice(graph):
    graph.nodes[0].outputs[0].name = "y"
    return graph

def namesakes(graph):
    graph.nodes[1].name = graph.nodes[0].name
    return graph

def in_bytes(graph):
    image = graph.inputs[0]
    graph.inputs = [gs.Variable("x8", np.uint8, image.shape)]
    graph.nodes.append(gs.Node("Cast", "up", {"to": 1}, graph.inputs, [image]))
    graph.inputs[0].name, image.name = "x", "inner"
    return graph

def transposed(graph):
    image = graph.inputs[0]
    graph.inputs = [gs.Variable("turned", np.float32, image.shape[::-1])]
    graph.nodes.append(gs.Node("Transpose", "turn", {}, graph.inputs, [image]))
    return graph

def double(graph):
    constant = next(t for t in graph.tensors().values() if isinstance(t, gs.Constant))
    constant.values = constant.values.astype(np.float64)
    return graph
"""


def test_a_hook_rewrites_the_graph_with_its_options(stage: Stage) -> None:
    stage.hook(HOOK)
    step = {"op": "hook", "hook": "hooks.py:scale", "options": {"factor": -1}}
    model = stage.run(chain(), step)
    assert [node.op_type for node in model.graph.node][:2] == ["Mul", "Relu"]
    assert np.array_equal(run_ort(model, x=X)[1], -np.maximum(-X, 0))
    assert "1 of 1: hooks.py:scale" in stage.reporter.lines


@pytest.mark.parametrize(
    ("function", "line", "what"),
    [
        ("nothing", 13, "hooks.py:nothing returned nothing, not a graph"),
        ("text", 16, "hooks.py:text returned a str, not a graph"),
        ("crash", 20, "hooks.py:crash raised IndexError: list index out of range"),
        ("odd", 22, "hooks.py:odd returned a graph that cannot be written as ONNX"),
        ("scale", 5, "hooks.py:scale raised TypeError: scale() missing 1 required"),
    ],
)
def test_a_hook_that_fails_is_told_of_by_its_line(
    stage: Stage, function: str, line: int, what: str
) -> None:
    stage.hook(HOOK)
    step = {"op": "hook", "hook": f"hooks.py:{function}"}
    error = stage.refused(chain(), {"op": "cleanup"}, step)
    assert error.where == f"{stage.folder / 'hooks.py'}:{line}"
    assert error.what.startswith(f"surgery[1] hook: {what}")
    assert not list((stage.folder / "outputs").iterdir())


@pytest.mark.parametrize(
    ("function", "what"),
    [
        ("in_bytes", "'x' is uint8, in the source model float32"),
        (
            "transposed",
            "'x' is no input any more; the new input 'turned' has dimensions that vary, and the "
            "recipe cannot declare them",
        ),
    ],
)
def test_a_hook_that_changes_the_inputs_is_refused(stage: Stage, function: str, what: str) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "hook", "hook": f"hooks.py:{function}"})
    assert error.what.endswith(f"the graph does not take the model's inputs any more: {what}")


def test_two_tensors_of_one_name_are_refused(stage: Stage) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "hook", "hook": "hooks.py:twice"})
    assert error.where == "surgery[0] hook"
    assert error.what == (
        "two tensors are called 'y', made by node '/net/first' (Relu) and by node '/out/pass' "
        "(Identity)"
    )


def test_two_nodes_of_one_name_are_refused(stage: Stage) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "hook", "hook": "hooks.py:namesakes"})
    assert error.what == "two nodes are called '/net/first', a Relu and a Add"


def test_a_step_that_leaves_types_that_do_not_fit_is_named(stage: Stage) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "cleanup"}, {"op": "hook", "hook": "hooks.py:double"})
    assert error.where == "surgery[1] hook"
    assert "/net/bias[0]" in error.what


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2fnuz", "int4", "uint4"])
@pytest.mark.parametrize("steps", [["cleanup"], ["cleanup", "hook"]])
def test_low_precision_weights_survive_even_a_hook_that_reads_them(
    stage: Stage, name: str, steps: list[str]
) -> None:
    weight = np.array([1, -2, 3, 0, 2], np.float32).astype(getattr(ml_dtypes, name))
    low = model_of(
        [helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)],
        [],
        [value("y", 5)],
        opset=21,
        w=weight,
    )
    stage.hook(HOOK)
    model = stage.run(low, *({"op": op, "hook": "hooks.py:read"} for op in steps))
    assert model.graph.initializer[0] == low.graph.initializer[0]
