"""Every precision on every base is built by TensorRT-RTX; published models go through all of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.precision.nets import images, linear, residual, rows, snr_db
from tests.precision.test_qdq import Given, data, ground, run, table
from trtbuild.model.inputs import Arrays, parse_inputs, random_values
from trtbuild.precision import int4
from trtbuild.precision.calibration import Method, calibrate
from trtbuild.precision.cases import Cases
from trtbuild.precision.choice import Wish
from trtbuild.precision.limits import KEPT_OPS
from trtbuild.precision.lowfloat import lower
from trtbuild.precision.prepare import prepare
from trtbuild.precision.quantized import Base, Ground, quantize_activations, quantize_weights
from trtbuild.precision.sites import candidates

trt = pytest.importorskip("tensorrt_rtx", reason="TensorRT-RTX builds without a GPU")

MODELS = Path(__file__).parents[2] / "recipes" / "fetched"
published = pytest.mark.skipif(
    not MODELS.is_dir(), reason="the published models are not here: run recipes/fetch_models.py"
)
BASES: tuple[Base, ...] = ("fp32", "fp16", "bf16")


def built(model: onnx.ModelProto, shapes: dict[str, list[list[int]]]) -> int:
    """Bytes of the engine; 0 where TensorRT refuses."""
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString()), parser.get_error(0).desc()
    config = builder.create_builder_config()
    profile = builder.create_optimization_profile()
    for name, (low, opt, high) in shapes.items():
        profile.set_shape(name, low, opt, high)
    config.add_optimization_profile(profile)
    engine = builder.build_serialized_network(network, config)
    return int(engine.nbytes) if engine else 0


IMAGE_SHAPES = {"x": [[1, 16, 8, 8], [4, 16, 8, 8], [8, 16, 8, 8]]}
ROW_SHAPES = {"x": [[1, 128], [32, 128], [64, 128]]}


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("wish", [Wish("int8"), Wish("fp8"), Wish("int8", per_channel=False)])
def test_int8_and_fp8_are_built_on_every_base(base: Base, wish: Wish) -> None:
    result = quantize_activations(residual(), wish, table(), ground(base))
    assert built(result.model, IMAGE_SHAPES)


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("block", [16, 32, 64, 128])
def test_int4_is_built_in_every_block_size(base: Base, block: int) -> None:
    given = Ground(base, True, (), Given(rows()), lambda *_: None)
    result = quantize_weights(linear(), int4.Wish("rtn", block), data, given)
    assert built(result.model, ROW_SHAPES)


@pytest.mark.parametrize("low", ["fp16", "bf16"])
@pytest.mark.parametrize("keep_io_types", [True, False])
def test_casts_are_built_with_and_without_the_types_of_inputs(
    low: Any, keep_io_types: bool
) -> None:
    result = lower(
        residual(),
        low,
        keep_io_types=keep_io_types,
        keep_fp32=("conv2",),
        cases=Given(images()),
        progress=lambda *_: None,
    )
    assert built(result.model, IMAGE_SHAPES)


@pytest.mark.parametrize("op_type", ["ConvTranspose", "HardSwish", "Mish"])
def test_what_is_kept_for_the_backend_is_what_it_refuses(op_type: str) -> None:
    """Where a later TensorRT takes the operator, this test says that the table is out of date."""
    assert op_type in KEPT_OPS["bf16"]
    element = onnx.TensorProto.BFLOAT16
    given, constants = ["x"], []
    if op_type == "ConvTranspose":
        given.append("w")
        constants.append(onnx.helper.make_tensor("w", element, [2, 2, 2, 2], [0.5] * 16))
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node(op_type, given, ["y"], "node")],
        "net",
        [onnx.helper.make_tensor_value_info("x", element, [1, 2, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", element, None)],
        constants,
    )
    opset = [onnx.helper.make_opsetid("", 22)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=10)
    logger = trt.Logger(trt.Logger.INTERNAL_ERROR)
    builder = trt.Builder(logger)
    network = builder.create_network(0)
    if trt.OnnxParser(network, logger).parse(model.SerializeToString()):
        assert builder.build_serialized_network(network, builder.create_builder_config()) is None


def declared(name: str, dtype: str, shape: list[int], low: float, high: float) -> dict[str, Any]:
    sizes = {"min": [1, *shape[1:]], "opt": shape, "max": [2 * shape[0], *shape[1:]]}
    return {"name": name, "dtype": dtype, "range": [low, high], **sizes}


PUBLISHED = {
    "magika": [declared("bytes", "int32", [2, 2048], 0, 257)],
    "wake_embedding": [declared("input_1", "float32", [2, 76, 32, 1], 0, 4)],
    "paraphrase_minilm_l3": [
        declared("input_ids", "int64", [2, 16], 0, 30522),
        declared("attention_mask", "int64", [2, 16], 1, 2),
    ],
}


class Published:
    """A published model, seeded inputs for it, and its table."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.inputs = parse_inputs(PUBLISHED[name])
        self.shapes = {i.name: [list(i.min), list(i.opt), list(i.max)] for i in self.inputs}

    def load(self) -> onnx.ModelProto:
        return onnx.load(MODELS / f"{self.name}.onnx")

    def batches(self, count: int = 2) -> Iterator[Arrays]:
        for seed in range(count):
            generator = np.random.default_rng(seed)
            yield {i.name: random_values(i, i.opt, generator) for i in self.inputs}

    def table(self) -> dict[str, float]:
        model = self.load()
        prepare(model)
        return calibrate(model, candidates(model), self.batches(), Method("minmax"))

    def ground(self, base: Base) -> Ground:
        return Ground(base, True, (), Cases(None, self.inputs), lambda *_: None)

    def snr_db(self, model: onnx.ModelProto) -> float:
        """Of the last output, which is the embedding or the scores."""
        case = next(self.batches())
        exact, rounded = self.load(), onnx.ModelProto()
        rounded.CopyFrom(model)
        for graph in (exact.graph, rounded.graph):
            last = graph.output[-1]
            del graph.output[:]
            graph.output.append(last)
        return snr_db(run(exact, case), run(rounded, case))


@published
@pytest.mark.slow
@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("kind", ["int8", "fp8"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_are_quantized_and_built(name: str, kind: Any, base: Base) -> None:
    model = Published(name)
    result = quantize_activations(model.load(), Wish(kind), model.table(), model.ground(base))
    assert built(result.model, model.shapes)
    assert model.snr_db(result.model) > (8 if base != "bf16" else 5)


@published
@pytest.mark.slow
@pytest.mark.parametrize("low", ["fp16", "bf16"])
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_are_cast_and_built(name: str, low: Any) -> None:
    model = Published(name)
    result = lower(
        model.load(),
        low,
        keep_io_types=True,
        keep_fp32=("*LayerNorm*",) if name == "magika" else (),
        cases=Cases(None, model.inputs),
        progress=lambda *_: None,
    )
    assert built(result.model, model.shapes)
    assert model.snr_db(result.model) > (50 if low == "fp16" else 25)


@published
@pytest.mark.slow
@pytest.mark.parametrize("method", ["rtn", "awq_clip"])
def test_a_published_encoder_is_quantized_to_int4_and_built(method: Any) -> None:
    model = Published("paraphrase_minilm_l3")
    wish = int4.Wish(method)
    result = quantize_weights(model.load(), wish, model.batches, model.ground("fp16"))
    assert built(result.model, model.shapes)
    assert model.snr_db(result.model) > (8 if method == "rtn" else 10)
