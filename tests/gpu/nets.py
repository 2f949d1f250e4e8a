"""Small models for tests on a GPU, each for one thing that engines can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper, parser

from trtbuild.recipe.model import Input
from trtbuild.trt.tensors import numpy_dtype

HEADER = '<ir_version: 9, opset_import: ["": 20]>\n'


@dataclass(frozen=True)
class Net:
    """A model, the inputs it is built for, and what it computes."""

    name: str
    text: str  # of the graph, in ONNX's own syntax
    inputs: tuple[Input, ...]
    weights: tuple[tuple[str, NDArray[Any]], ...] = ()
    expected: Callable[..., dict[str, NDArray[Any]]] | None = None  # by input name
    scope: str = ""  # what the nodes' names begin with

    def save(self, path: Path) -> Path:
        """Writes the ONNX file."""
        model = parser.parse_model(HEADER + self.text)
        for name, values in self.weights:
            model.graph.initializer.append(numpy_helper.from_array(values, name))
        for number, node in enumerate(model.graph.node):
            node.name = node.name or f"{self.scope}/{node.op_type}_{number}"
        onnx.save(model, str(path))
        return path


def input_of(name: str, *shapes: tuple[int, ...], dtype: str = "float32") -> Input:
    """An input by its min, opt and max, or by the one shape that it has."""
    low, opt, high = shapes if len(shapes) == 3 else shapes * 3
    return Input(name, dtype, low, opt, high, None, None)


AFFINE = Net(
    "affine",
    "agraph (float[n, 16] x) => (float[n, 16] y) { p = MatMul(x, w)  y = Relu(p) }",
    (input_of("x", (1, 16), (4, 16), (64, 16)),),
    (("w", np.eye(16, dtype=np.float32) * 2),),
    lambda x: {"y": np.maximum(x * 2, 0)},
)

SCALAR = Net(
    "scalar",
    "agraph (float[n, 4] x, float s) => (float[n, 4] y, float t) { y = Mul(x, s)  t = Neg(s) }",
    (input_of("x", (1, 4), (2, 4), (8, 4)), input_of("s", ())),
    (),
    lambda x, s: {"y": x * s, "t": -s},
)

NONZERO = Net(
    "nonzero",
    "agraph (float[n] x) => (int64[1, m] where) { where = NonZero(x) }",
    (input_of("x", (1,), (8,), (64,)),),
    (),
    lambda x: {"where": np.flatnonzero(x)[np.newaxis].astype(np.int64)},
)

SLICE = Net(  # the values of k, in host memory, decide a shape
    "slice",
    "agraph (float[16] x, int64[1] k) => (float[m] y) "
    "{ z = Constant <value = int64[1] {0}> ()  y = Slice(x, z, k, z) }",
    (
        input_of("x", (16,)),
        Input("k", "int64", (1,), (1,), (1,), None, (1, 17)),
    ),
    (),
    lambda x, k: {"y": x[: int(k[0])]},
)

INTEGERS = Net(
    "integers",
    "agraph (int32[n] a, int64[n] b, bool[n] c, uint8[n] d) "
    "=> (int32[n] ya, int64[n] yb, bool[n] yc, uint8[n] yd) "
    "{ ya = Add(a, a)  yb = Add(b, b)  yc = Not(c) "
    "f = Cast <to = 1> (d)  g = Add(f, f)  yd = Cast <to = 2> (g) }",
    (
        input_of("a", (4,), dtype="int32"),
        input_of("b", (4,), dtype="int64"),
        input_of("c", (4,), dtype="bool"),
        input_of("d", (4,), dtype="uint8"),
    ),
    (),
    lambda a, b, c, d: {"ya": a + a, "yb": b + b, "yc": ~c, "yd": d + d},
)

HALVES = Net(
    "halves",
    "agraph (float16[n, 4] h, bfloat16[n, 4] b) => (float16[n, 4] yh, bfloat16[n, 4] yb) "
    "{ yh = Add(h, h)  yb = Add(b, b) }",
    (
        input_of("h", (1, 4), (2, 4), (8, 4), dtype="float16"),
        input_of("b", (1, 4), (2, 4), (8, 4), dtype="bfloat16"),
    ),
    (),
    lambda h, b: {"yh": h + h, "yb": b + b},
)

LARGE = Net(  # 64 Mi values in and out at max: 256 MiB each
    "large",
    "agraph (float[n, 1048576] x) => (float[n, 1048576] y) { y = Relu(x) }",
    (input_of("x", (1, 1 << 20), (1, 1 << 20), (64, 1 << 20)),),
    (),
    lambda x: {"y": np.maximum(x, 0)},
)


def convolutions(layers: int = 8, channels: int = 64, batch: int = 8) -> Net:
    """A stack of 3x3 convolutions on 56x56: steady work of some hundred microseconds."""
    random = np.random.default_rng(0)
    scale = (2 / (channels * 9)) ** 0.5
    weights, lines, value = [], [], "x"
    for index in range(layers):
        kernel = random.normal(0, scale, (channels, channels, 3, 3)).astype(np.float32)
        weights.append((f"w{index}", kernel))
        target = "y" if index == layers - 1 else f"r{index}"
        lines.append(f"c{index} = Conv <pads = [1, 1, 1, 1]> ({value}, w{index})")
        lines.append(f"{target} = Relu(c{index})")
        value = target
    shape = (batch, channels, 56, 56)
    signature = f"float[n, {channels}, 56, 56]"
    return Net(
        f"convolutions{layers}x{channels}x{batch}",
        f"agraph ({signature} x) => ({signature} y) {{ {'  '.join(lines)} }}",
        (input_of("x", (1, *shape[1:]), shape, shape),),
        tuple(weights),
    )


def random_inputs(net: Net, size: str, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Values for each input of a net at "min", "opt" or "max"."""
    random = np.random.default_rng(seed)
    found = {}
    for item in net.inputs:
        dtype, shape = numpy_dtype(item.dtype, item.name), getattr(item, size)
        low, high = item.range or (0, 2)
        whole = dtype.kind in "iub"
        values = random.integers(int(low), int(high), shape) if whole else random.normal(size=shape)
        found[item.name] = np.asarray(values).astype(dtype)
    return found
