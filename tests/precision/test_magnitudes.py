"""The largest magnitudes of tensors, measured inside onnxruntime."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.precision.nets import make, overflowing, weights
from trtbuild.errors import StageError
from trtbuild.precision.magnitudes import measure_magnitudes
from trtbuild.precision.watch import watch_tensors


def test_magnitudes_are_the_largest_over_all_cases_and_equal_what_numpy_finds() -> None:
    model = overflowing()
    generator = np.random.default_rng(1)
    cases = [{"x": generator.standard_normal((n, 8)).astype(np.float32)} for n in (1, 5, 3)]
    found = measure_magnitudes(model, cases)
    h = np.concatenate([case["x"] @ weights(8, 8) for case in cases])
    assert found["h"] == pytest.approx(np.abs(h).max(), rel=1e-5)
    assert found["square"] == pytest.approx((h.max() * 1e5) ** 2, rel=1e-4)
    assert found["x"] == max(np.abs(case["x"]).max() for case in cases)
    assert "w" not in found


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
def test_tensors_without_elements_and_of_other_types_have_none(axis: int) -> None:
    model = make(
        [
            helper.make_node("Slice", ["x", "zero", "zero", "axis"], ["nothing"], "slice"),
            helper.make_node("Shape", ["x"], ["shape"], "shape"),
            helper.make_node("Relu", ["x"], ["y"], "relu"),
        ],
        {"x": ["n", 2, 3, 4]},
        ["y", "nothing"],
        {"zero": np.zeros(1, np.int64), "axis": np.array([axis])},
    )
    values = np.full((1, 2, 3, 4), -1, np.float32)
    values[0, 1, 2, 3] = 3
    assert measure_magnitudes(model, [{"x": values}] * 2) == {"x": 3, "y": 3}


def maps() -> onnx.ModelProto:
    """x [n, 16, 9, 9] -> two convolutions: tensors in onnxruntime's blocked layout."""
    return make(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
            helper.make_node("HardSwish", ["c"], ["h"], "swish"),
            helper.make_node("Conv", ["h", "w"], ["y"], "last", pads=[1, 1, 1, 1]),
        ],
        {"x": ["n", 16, 9, 9]},
        ["y"],
        {"w": weights(16, 16 * 9).reshape(16, 16, 3, 3)},
    )


@pytest.mark.parametrize("scale", [1e-24, 1e-12, 1.0, 1e12, 1e24])
def test_maps_of_convolutions_have_the_magnitudes_that_are_read_out(scale: float) -> None:
    generator = np.random.default_rng(3)
    cases = [
        {"x": (generator.standard_normal((n, 16, 9, 9)) * scale).astype(np.float32)}
        for n in (2, 1, 3)
    ]
    found = measure_magnitudes(maps(), cases)
    read: dict[str, float] = {}
    watch_tensors(
        maps(), ["x", "c", "h", "y"], cases,
        lambda name, values: read.update({name: max(np.abs(values).max(), read.get(name, 0))}),
    )  # fmt: skip
    assert found.keys() == read.keys()
    for name, value in read.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name


def a_root(shape: list[str | int]) -> onnx.ModelProto:
    return make([helper.make_node("Sqrt", ["x"], ["y"], "sqrt")], {"x": shape}, ["y"], {})


@pytest.mark.parametrize("axes", [1, 2, 4])
def test_a_single_nan_anywhere_is_found(axes: int) -> None:
    """onnxruntime's own maximum is that of the other values, whatever the place but the first."""
    shape = (4, 3, 5, 7)[:axes]
    model = a_root(["n", *shape[1:]])
    for place in range(0, math.prod(shape), 7):
        values = np.ones(shape, np.float32)
        values.reshape(-1)[place] = -1  # which has no root
        cases = [{"x": np.ones(shape, np.float32)}, {"x": values}, {"x": 4 * np.ones_like(values)}]
        assert np.isnan(measure_magnitudes(model, cases)["y"]), place


@pytest.mark.parametrize("axes", [1, 4])
def test_an_infinite_value_is_infinite_and_a_large_one_is_not(axes: int) -> None:
    shape = (4, 3, 5, 7)[:axes]
    model = a_root(["n", *shape[1:]])
    values = np.ones(shape, np.float32)
    values.reshape(-1)[2] = np.inf
    assert measure_magnitudes(model, [{"x": values}])["y"] == np.inf
    values.fill(3.4e38)  # whose sum is infinite
    assert measure_magnitudes(model, [{"x": values}])["x"] == np.float32(3.4e38)


def test_inputs_that_do_not_fit_are_a_stage_error() -> None:
    with pytest.raises(StageError, match="onnxruntime cannot run the model"):
        measure_magnitudes(overflowing(), [{"x": np.zeros((1, 7), np.float32)}])


def test_an_operator_that_onnxruntime_lacks_is_a_stage_error() -> None:
    model = overflowing()
    model.opset_import.append(helper.make_opsetid("plugin", 1))
    model.graph.node.append(helper.make_node("NoSuch", ["y"], ["z"], "none", domain="plugin"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    with pytest.raises(StageError, match="onnxruntime cannot load the model"):
        measure_magnitudes(model, [{"x": np.zeros((1, 8), np.float32)}])


def test_progress_is_reported_after_each_case() -> None:
    done: list[int] = []
    cases = [{"x": np.ones((1, 8), np.float32)}] * 3
    measure_magnitudes(overflowing(), cases, done.append)
    assert done == [1, 2, 3]


def test_inputs_that_surgery_took_out_of_the_graph_are_left_aside() -> None:
    case = {"x": np.ones((1, 8), np.float32), "gone": np.ones(3, np.int64)}
    assert "gone" not in measure_magnitudes(overflowing(), [case])
