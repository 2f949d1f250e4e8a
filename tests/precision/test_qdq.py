"""Q/DQ in the graph: where, with which scales, in which types, and what they cost."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tests.precision.nets import half, images, linear, residual, rows, snr_db
from trtbuild.errors import StageError
from trtbuild.model.onnx_file import check_model, save_model
from trtbuild.precision import int4
from trtbuild.precision.blocks import decoded, quantize_matrices
from trtbuild.precision.calibration import Method, calibrate
from trtbuild.precision.cases import Cases
from trtbuild.precision.choice import LeftOut, Wish
from trtbuild.precision.moments import measure_moments
from trtbuild.precision.obtained import node_types
from trtbuild.precision.quantized import (
    Base,
    Ground,
    Quantized,
    quantize_activations,
    quantize_weights,
)
from trtbuild.precision.session import open_session
from trtbuild.precision.sites import candidates

CASE = images()


def ground(base: Base = "fp32", keep_fp32: tuple[str, ...] = ()) -> Ground:
    return Ground(base, True, keep_fp32, Given(CASE), lambda *_: None)


class Given(Cases):
    """Cases that are given, in place of a reference artifact."""

    def __init__(self, *cases: dict[str, np.ndarray]) -> None:
        object.__setattr__(self, "given", cases)

    __slots__ = ("given",)

    def __iter__(self):
        return iter(self.given)

    def __len__(self) -> int:
        return len(self.given)


def table() -> dict[str, float]:
    model = residual()
    return calibrate(model, candidates(model), [CASE], Method("minmax"))


def run(model: onnx.ModelProto, case: dict[str, np.ndarray]) -> np.ndarray:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    with open_session(copy, optimise=False) as session:
        return session([value.name for value in model.graph.output], case)[0]


def constant(model: onnx.ModelProto, name: str) -> np.ndarray:
    return next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)


def makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def test_pairs_stand_in_front_of_weighted_nodes_and_of_the_residual_input() -> None:
    result = quantize_activations(residual(), Wish("int8"), table(), ground())
    assert (result.placed.nodes, result.placed.activations, result.placed.weights) == (4, 3, 3)
    made, nodes = makers(result.model), {node.name: node for node in result.model.graph.node}
    for name, index in (("conv1", 0), ("conv1", 1), ("conv2", 0), ("sum", 1), ("gemm", 1)):
        assert made[nodes[name].input[index]].op_type == "DequantizeLinear"
    assert nodes["sum"].input[1] == nodes["conv2"].input[0]  # one pair for one tensor
    assert nodes["sum"].input[0] == "c2"
    assert nodes["relu1"].input[0] == "c1"
    assert nodes["conv1"].input[2] == "b1"  # the bias stays as it is


def test_scales_come_from_the_table_and_weights_have_one_for_each_channel() -> None:
    result = quantize_activations(residual(), Wish("int8"), table(), ground())
    assert constant(result.model, "x_scale") == pytest.approx(table()["x"] / 127)
    w1 = constant(residual(), "w1")
    scale = constant(result.model, "w1_scale")
    np.testing.assert_allclose(scale, np.abs(w1).max(axis=(1, 2, 3)) / 127, rtol=1e-6)
    codes = constant(result.model, "w1_quantized")
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, np.rint(w1 / scale[:, None, None, None]))
    assert np.abs(codes.reshape(16, -1)).max(axis=1).tolist() == [127] * 16
    assert "w1" not in {tensor.name for tensor in result.model.graph.initializer}


def test_weights_can_have_one_scale_for_all() -> None:
    result = quantize_activations(residual(), Wish("int8", per_channel=False), table(), ground())
    assert constant(result.model, "w1_scale").shape == ()
    assert snr_db(run(residual(), CASE), run(result.model, CASE)) > 20


def test_fp8_scales_put_the_range_on_448() -> None:
    result = quantize_activations(residual(), Wish("fp8"), table(), ground())
    assert constant(result.model, "x_scale") == pytest.approx(table()["x"] / 448)
    codes = constant(result.model, "w1_quantized")
    assert codes.dtype == ml_dtypes.float8_e4m3fn
    assert np.abs(codes.astype(np.float32)).max() == 448


@pytest.mark.parametrize("base", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("kind", "least"), [("int8", 30), ("fp8", 24)])
def test_every_base_is_valid_and_near_the_float32_model(
    tmp_path: Path, kind: str, base: Base, least: float
) -> None:
    result = quantize_activations(residual(), Wish(kind), table(), ground(base))
    types = node_types(result.model)
    assert [types[name] for name in ("conv1", "conv2", "sum", "gemm")] == [kind] * 4
    assert types["relu1"] == base
    save_model(result.model, tmp_path / "model.onnx")
    check_model(tmp_path / "model.onnx")
    assert snr_db(run(residual(), CASE), run(result.model, CASE)) > least


def test_a_node_kept_in_float32_gets_neither_casts_nor_pairs() -> None:
    result = quantize_activations(
        residual(), Wish("int8"), table(), ground("fp16", keep_fp32=("conv2",))
    )
    assert node_types(result.model)["conv2"] == "fp32"
    assert [(x.node, x.reason) for x in result.left_out] == [
        ("conv2", "kept in fp32 by the recipe")
    ]
    assert result.lowered is not None
    assert [(x.node, x.reason) for x in result.lowered.kept] == [("conv2", "recipe")]


def test_a_range_of_zero_and_a_channel_of_zeros_get_a_scale_that_works() -> None:
    model = residual()
    weight = next(t for t in model.graph.initializer if t.name == "w1")
    values = numpy_helper.to_array(weight).copy()
    values[3] = 0
    values[4] *= 1e-6
    weight.CopyFrom(numpy_helper.from_array(values, "w1"))
    result = quantize_activations(model, Wish("int8"), {**table(), "x": 0.0}, ground("fp16"))
    scale = constant(result.model, "w1_scale")
    assert scale.dtype == np.float16
    assert (scale > 0).all()
    assert np.isfinite(run(result.model, CASE)).all()


def test_the_graph_is_the_same_whenever_it_is_made() -> None:
    made = [
        quantize_activations(residual(), Wish("int8"), table(), ground("fp16")).model
        for _ in range(2)
    ]
    assert made[0].SerializeToString(deterministic=True) == made[1].SerializeToString(
        deterministic=True
    )


def data() -> list[dict[str, np.ndarray]]:
    return [rows(seed=seed) for seed in range(3)]


def int4_snr(method: str, base: Base = "fp32") -> float:
    wish = int4.Wish(method, block=32)
    given = Ground(base, True, (), Given(rows()), lambda *_: None)
    result = quantize_weights(linear(), wish, data, given)
    return snr_db(run(linear(), rows(seed=8)), run(result.model, rows(seed=8)))


def test_the_searches_of_awq_lose_less_than_rounding() -> None:
    rtn, clip = int4_snr("rtn"), int4_snr("awq_clip")
    lite, full = int4_snr("awq_lite"), int4_snr("awq_full")
    assert rtn > 10
    assert clip > rtn + 0.5
    assert lite > rtn + 3  # a few channels dominate: scaling them is what AWQ is for
    assert full > lite


@pytest.mark.parametrize("base", ["fp32", "fp16", "bf16"])
def test_int4_weights_are_blocked_constants_on_every_base(tmp_path: Path, base: Base) -> None:
    wish = int4.Wish("awq_full", block=32)
    given = Ground(base, True, (), Given(rows()), lambda *_: None)
    result = quantize_weights(linear(), wish, data, given)
    assert [(item.node, item.reason) for item in result.left_out] == [
        ("last", "input channels that 32 does not divide")
    ]
    types = node_types(result.model)
    assert [types[name] for name in ("query", "key", "out", "last")] == ["int4"] * 3 + [base]
    stored = {t.name: t for t in result.model.graph.initializer}
    assert stored["wq_int4"].data_type == TensorProto.INT4
    assert len(stored["wq_int4"].raw_data) == 128 * 128 // 2
    assert list(stored["wq_scale"].dims) == [4, 128]
    save_model(result.model, tmp_path / "model.onnx")
    check_model(tmp_path / "model.onnx")
    assert snr_db(run(linear(), rows(seed=8)), run(result.model, rows(seed=8))) > 15


def test_a_gemm_with_transb_becomes_a_product_and_an_addition_of_the_same_value() -> None:
    model = linear()
    int4.split_gemms(model)
    assert "Gemm" not in {node.op_type for node in model.graph.node}
    assert {"out", "out_bias"} < {node.name for node in model.graph.node}
    np.testing.assert_allclose(run(model, rows()), run(linear(), rows()), rtol=1e-5, atol=1e-5)


def test_products_that_read_one_activation_are_divided_once() -> None:
    wish = int4.Wish("awq_lite", block=32)
    given = Ground("fp32", True, (), Given(rows()), lambda *_: None)
    result = quantize_weights(linear(), wish, data, given)
    nodes = {node.name: node for node in result.model.graph.node}
    assert nodes["query"].input[0] == nodes["key"].input[0] == "x_smoothed"
    assert result.placed.activations == len([n for n in nodes if n.endswith("_smoothed")])


def test_a_model_without_linear_layers_is_refused() -> None:
    given = Ground("fp32", True, (), Given(CASE), lambda *_: None)
    with pytest.raises(StageError, match="input channels that 128 does not divide"):
        quantize_weights(residual(), int4.Wish(), list, given)


def test_moments_are_those_of_all_rows() -> None:
    found = dict(measure_moments(linear(), {"x": 128, "p": 128}, data))
    x = np.concatenate([case["x"] for case in data()]).astype(np.float64)
    np.testing.assert_allclose(found["x"].gram, x.T @ x, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(found["x"].magnitude, np.abs(x).sum(axis=0), rtol=1e-5)
    assert found["p"].rows == len(x)


def test_rounding_to_nearest_is_off_by_half_a_step_at_most() -> None:
    weight = linear_weight()
    found = quantize_matrices([weight], 32, "rtn", None)
    step = np.repeat(found.matrices[0].scales, 32, axis=0)
    assert (np.abs(decoded(found.matrices[0]) - weight) <= step / 2 + 1e-6).all()
    assert found.matrices[0].codes.min() >= -7
    assert found.matrices[0].codes.max() <= 7


def linear_weight() -> np.ndarray:
    return constant(linear(), "wq")


def int4_of(base: Base = "fp32", exclude: tuple[str, ...] = (), *keep_fp32: str) -> Quantized:
    """`linear` in int4: products query and key, a Gemm out, and a small product last."""
    given = Ground(base, True, keep_fp32, Given(rows()), lambda *_: None)
    return quantize_weights(linear(), int4.Wish("rtn", 32, exclude), data, given)


def test_int4_patterns_mean_the_graph_before_its_gemms_are_split() -> None:
    gemms, products = int4_of(exclude=("Gemm",)), int4_of(exclude=("MatMul",))
    assert gemms.left_out[0] == LeftOut("out", "Gemm", "excluded by the recipe")
    assert gemms.placed.nodes == 2
    assert [item.node for item in products.left_out] == ["query", "key", "last"]
    assert products.placed.nodes == 1
    with pytest.raises(StageError) as caught:
        int4_of("fp32", (), "out_bias")
    assert "keep_fp32: 'out_bias' matches no node" in str(caught.value)
    assert "operators are Gemm, MatMul, Mul" in caught.value.hint


@pytest.mark.parametrize("pattern", ["out", "Gemm"])
def test_a_gemm_that_int4_keeps_is_kept_with_its_bias(pattern: str) -> None:
    result = int4_of("fp16", (), pattern)
    types = node_types(result.model)
    assert types["out"] == types["out_bias"] == "fp32"
    assert types["query"] == "int4"
    assert types["mix"] == types["last"] == "fp16"
    assert result.left_out[0] == LeftOut("out", "Gemm", "kept in fp32 by the recipe")


HALF = {"x": np.random.default_rng(3).standard_normal((8, 32)).astype(np.float16)}


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize("precision", ["int8", "fp8", "int4"])
def test_a_model_in_float16_is_quantized_at_an_opset_that_takes_its_scales(
    tmp_path: Path, precision: str, inside: bool
) -> None:
    given = Ground("fp32", True, (), Given(HALF), lambda *_: None)
    model = half(inside=inside)
    if precision == "int4":
        result = quantize_weights(model, int4.Wish("awq_clip", 16), lambda: [HALF], given)
    else:
        amax = {"x": 4.0, "down": 4.0, "r": 4.0}
        result = quantize_activations(model, Wish(precision), amax, given)
    assert result.placed.nodes == 2
    save_model(result.model, tmp_path / "model.onnx")
    check_model(tmp_path / "model.onnx")
    case = {"x": HALF["x"].astype(np.float32)} if inside else HALF
    assert snr_db(run(half(inside=inside), case), run(result.model, case)) > 15


@pytest.mark.parametrize(("low", "base"), [("FLOAT16", "bf16"), ("BFLOAT16", "fp16")])
def test_a_model_in_one_16_bit_type_is_not_cast_to_the_other(low: str, base: Base) -> None:
    given = Ground(base, True, (), Given(HALF), lambda *_: None)
    model = half(TensorProto.DataType.Value(low))
    with pytest.raises(StageError) as caught:
        quantize_activations(model, Wish("int8"), {"x": 4.0, "r": 4.0}, given)
    assert caught.value.what.startswith(
        f"the model is in {low.lower()} already, which ModelOpt cannot cast to {base}: "
    )
    assert caught.value.hint.startswith("export the model in float32")
