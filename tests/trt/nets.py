"""Small ONNX models to build: a digits classifier, and one for each thing that can go wrong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, parser

from trtbuild.recipe.model import Input

HEADER = '<ir_version: 9, opset_import: ["": 17, "mine": 1]>\n'

IMAGE = Input("image", "float32", (1, 1, 8, 8), (4, 1, 8, 8), (16, 1, 8, 8), None, None)


def written(path: Path, text: str) -> Path:
    """An ONNX file from the text form of a graph, whose nodes stay without names."""
    onnx.save(parser.parse_model(HEADER + text), str(path))
    return path


def digits(path: Path, batch: int | str = "batch", dtype: type = np.float32) -> Path:
    """A small classifier with random weights: image [batch, 1, 8, 8] -> logits [batch, 10]."""
    rng = np.random.default_rng(0)
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    weights = {
        "kernel": rng.standard_normal((8, 1, 3, 3)).astype(dtype),
        "matrix": rng.standard_normal((512, 10)).astype(dtype),
    }
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["image", "kernel"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Flatten", ["r"], ["f"], name="flatten"),
            helper.make_node("MatMul", ["f", "matrix"], ["logits"], name="head"),
        ],
        "digits",
        [helper.make_tensor_value_info("image", element, [batch, 1, 8, 8])],
        [helper.make_tensor_value_info("logits", element, [batch, 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    return _saved(path, graph)


def attention(path: Path) -> Path:
    """One Attention operator of opset 23, in float16: q, k and v of [1, 4, 16, 64]."""
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT16, [1, 4, 16, 64]) for name in "qkvy"
    ]
    node = helper.make_node("Attention", ["q", "k", "v"], ["y"], name="mixer")
    graph = helper.make_graph([node], "attention", ports[:3], ports[3:])
    opset = [helper.make_opsetid("", 23)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), str(path))
    return path


def refused(path: Path) -> Path:
    """Operators that no parser knows, one of them unnamed, between ones that are supported."""
    nodes = [
        helper.make_node("Relu", ["x"], ["a"], name="relu"),
        helper.make_node("Foo", ["a"], ["b"], name="first", domain="mine"),
        helper.make_node("Foo", ["b"], ["c"], name="second", domain="mine"),
        helper.make_node("Bar", ["c"], ["d"], domain="mine"),
        helper.make_node("Det", ["d"], ["y"], name="determinant"),
    ]
    return _saved(path, _graph(nodes, [2, 4, 4]))


def dilated(path: Path) -> Path:
    """Two poolings with dilations, each of which the parser refuses twice."""
    nodes = [
        helper.make_node(
            "MaxPool", [source], [target], name=name, kernel_shape=[2, 2], dilations=[2, 2]
        )
        for source, target, name in (("x", "a", "inner"), ("a", "y", "outer"))
    ]
    return _saved(path, _graph(nodes, [1, 1, 16, 16]))


def mixed(path: Path) -> Path:
    """float32 and float16 added, which a strongly typed network cannot."""
    nodes = [
        helper.make_node("Cast", ["x"], ["a"], name="cast", to=TensorProto.FLOAT16),
        helper.make_node("Add", ["x", "a"], ["y"], name="add"),
    ]
    return _saved(path, _graph(nodes, [3]))


def dangling(path: Path) -> Path:
    """A node that reads what no node makes."""
    node = helper.make_node("Add", ["x", "ghost"], ["y"], name="add")
    return _saved(path, _graph([node], [3]))


def identity(path: Path, element: int) -> Path:
    """x -> y of an element type."""
    node = helper.make_node("Identity", ["x"], ["y"], name="identity")
    return _saved(path, _graph([node], [3], element))


def old(path: Path) -> Path:
    """A sum in the broadcasting of opset 6."""
    node = helper.make_node("Add", ["x", "w"], ["y"], name="add", axis=1, broadcast=1)
    graph = _graph([node], [2, 3, 4])
    graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "w"))
    return _saved(path, graph, opset=6)


def with_external_data(folder: Path) -> Path:
    """A model whose one large weight lies in weights.bin beside it."""
    path = digits(folder / "external.onnx")
    onnx.save_model(
        onnx.load(str(path)),
        str(path),
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=1024,
    )
    return path


BRANCH = """g (bool c, float[N, 4] x) => (float[N, 4] y) {
    y = If (c) <then_branch = t () => (float[N, 4] a) { a = Relu(x) },
                else_branch = e () => (float[N, 4] b) { b = Neg(x) }>
}"""
"""An If that TensorRT can build."""

RANKS = """g (bool c, float[1, 4] x) => (float[M, K] y) {
    axes = Constant <value = int64[1] {0}> ()
    y = If (c) <then_branch = t () => (float[4] a) { a = Squeeze(x, axes) },
                else_branch = e () => (float[1, 4] b) { b = Neg(x) }>
}"""
"""An If whose branches differ in rank, which TensorRT parses and cannot build."""

RANGE = """g (int64 n) => (int64[M] y) {
    zero = Constant <value = int64 {0}> ()
    one = Constant <value = int64 {1}> ()
    y = Range(zero, n, one)
}"""
"""An input whose value decides the shape of the output."""

SHARED = """g (float[N, 4] x, float[N, 4] z) => (float[N, 4] y) { y = Add(x, z) }"""
"""Two inputs that share a dimension."""

INNER = """g (float[N, 4] x, float[K, 4] z) => (float[M, 4] y) { y = Add(x, z) }"""
"""Two inputs whose first dimensions must agree, though nothing in their names says so."""


def _graph(
    nodes: list[onnx.NodeProto], shape: list[int], element: int = TensorProto.FLOAT
) -> onnx.GraphProto:
    return helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", element, None)],
    )


def _saved(path: Path, graph: onnx.GraphProto, opset: int = 17) -> Path:
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("mine", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), str(path))
    return path
