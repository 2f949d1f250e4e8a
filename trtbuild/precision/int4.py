"""Quantizes the weights of linear layers to int4 by blocks, on top of fp32, fp16 or bf16.

The searches are made here, since ModelOpt's keeps every activation of the data in memory, writes a
blocked DequantizeLinear that no runtime takes for Gemm, and leaves the rest of the graph float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper, numpy_helper

from trtbuild.model.inputs import Array, Arrays
from trtbuild.precision import blocks
from trtbuild.precision.choice import EXCLUDED, KEPT, LeftOut, error_of
from trtbuild.precision.graph import attributes
from trtbuild.precision.moments import Moments, measure_moments
from trtbuild.precision.names import select_nodes
from trtbuild.precision.sites import FLOATS

OPSET = 21
"""The first opset whose DequantizeLinear takes int4 and blocks."""

METHOD: blocks.Method = "awq_clip"
BLOCK = 128
"""Weights that share a scale; TensorRT-RTX 1.7.1.116 builds 16, 32, 64 and 128."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the recipe says of int4: the method, the block size along the input channels, and the
    nodes to leave out (names, patterns, operator types).
    """

    method: blocks.Method = METHOD
    block: int = BLOCK
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear layer: its node, the activation it reads, and its weight, K by N."""

    node: str
    activation: str
    weight: str
    channels: int


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers to quantize, the products that are not and why, and every node that stays in
    float32: what the recipe keeps, in the parts that it was split into.
    """

    chosen: tuple[Layer, ...]
    left_out: tuple[LeftOut, ...]
    kept: frozenset[str]


@dataclass(frozen=True, slots=True)
class Found:
    """The layers to quantize with their codes, and what their activation is divided by."""

    codes: Mapping[str, blocks.Blocks]  # by node
    smoothing: Mapping[str, Array]  # by activation
    layers: tuple[Layer, ...]


def split_gemms(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Write every Gemm that is a linear layer as MatMul and Add, in place; the weight as K by N.

    Gives the names of the nodes that each named node is now. The MatMul keeps the Gemm's. A blocked
    int4 weight of a Gemm with transB has its blocks along the wrong axis.
    """
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes = list(model.graph.node)
    del model.graph.node[:]
    parts: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        split = _split(node, stored, model.graph)
        parts[node.name] = tuple(part.name for part in split)
        model.graph.node.extend(split)
    return parts


def find_layers(model: onnx.ModelProto, wish: Wish, keep_fp32: Sequence[str] = ()) -> Layers:
    """The products with a constant matrix, and those of them that are not quantized: they cannot
    be, or the recipe leaves them out or keeps them in float32.

    The model is a prepared one, in which Gemms are split afterwards, so that the recipe's patterns
    mean the nodes that its writer knows. Raises OptionError for a pattern that matches nothing, and
    where the recipe leaves out all layers; StageError where there is none.
    """
    keep = select_nodes(model, keep_fp32, key="keep_fp32")
    named = dict.fromkeys(select_nodes(model, wish.exclude, key="exclude"), EXCLUDED)
    named |= dict.fromkeys(keep, KEPT)
    op_types = {node.name: node.op_type for node in model.graph.node}
    parts = split_gemms(model)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    chosen: list[Layer] = []
    left_out: list[LeftOut] = []
    for node in model.graph.node:
        weight = stored.get(node.input[1]) if node.op_type == "MatMul" else None
        if weight is None or node.input[0] in stored or len(weight.dims) != 2:
            continue
        reason = named.get(node.name) or _refusal(weight, wish)
        if reason:
            left_out.append(LeftOut(node.name, op_types[node.name], reason))
        else:
            chosen.append(Layer(node.name, node.input[0], weight.name, weight.dims[0]))
    if not chosen:
        why = "; ".join(sorted({item.reason for item in left_out})) or "it has no such product"
        raise error_of(left_out)(
            f"no product with a constant matrix is left to quantize to int4: {why}",
            hint="int4 is for linear layers: leave it out for this model, or change block_size",
        )
    kept = frozenset(part for name in keep for part in parts[name])
    return Layers(tuple(chosen), tuple(left_out), kept)


def search(
    model: onnx.ModelProto,
    layers: Sequence[Layer],
    wish: Wish,
    batches: Callable[[], Iterable[Arrays]],
) -> Found:
    """Codes and scales of every layer; `batches` gives the data, once or more often.

    Layers that read the same activation are searched together, since they share what it is
    divided by. `rtn` reads no data.
    """
    readers: dict[str, list[Layer]] = {}
    for layer in layers:
        readers.setdefault(layer.activation, []).append(layer)
    values = {t.name: t for t in model.graph.initializer if t.name in {x.weight for x in layers}}
    codes: dict[str, blocks.Blocks] = {}
    smoothing: dict[str, Array] = {}

    def take(activation: str, moments: Moments | None) -> None:
        group = readers[activation]
        weights = [numpy_helper.to_array(values[x.weight]).astype(np.float32) for x in group]
        found = blocks.quantize_matrices(weights, wish.block, wish.method, moments)
        codes.update((x.node, m) for x, m in zip(group, found.matrices, strict=True))
        if found.smoothing is not None:
            smoothing[activation] = found.smoothing

    if wish.method == "rtn":
        for activation in readers:
            take(activation, None)
    else:
        channels = {name: group[0].channels for name, group in readers.items()}
        for activation, moments in measure_moments(model, channels, batches):
            take(activation, moments)
    return Found(codes, smoothing, tuple(layers))


def _refusal(weight: onnx.TensorProto, wish: Wish) -> str:
    if weight.data_type not in FLOATS:
        return "no floating-point weights"
    if weight.dims[0] % wish.block:
        return f"input channels that {wish.block} does not divide"
    return ""


def _split(
    node: onnx.NodeProto, stored: dict[str, onnx.TensorProto], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    settings = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0} | attributes(node)
    plain = settings["alpha"] == settings["beta"] == 1.0 and not settings["transA"]
    if node.op_type != "Gemm" or not plain or node.input[1] not in stored:
        return [node]
    weight = node.input[1]
    if settings["transB"]:
        weight = f"{weight}_transposed"
        if weight not in stored:
            values = np.ascontiguousarray(numpy_helper.to_array(stored[node.input[1]]).T)
            stored[weight] = numpy_helper.from_array(values, weight)
            graph.initializer.append(stored[weight])
    if len(node.input) < 3 or not node.input[2]:
        return [helper.make_node("MatMul", [node.input[0], weight], node.output, node.name)]
    product = f"{node.output[0]}_product"
    return [
        helper.make_node("MatMul", [node.input[0], weight], [product], node.name),
        helper.make_node("Add", [product, node.input[2]], node.output, f"{node.name}_bias"),
    ]
