"""Ranges of tensors, measured inside onnxruntime."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.precision.nets import make, overflowing, weights
from trtbuild.errors import StageError
from trtbuild.precision.ranges import measure_ranges


def test_ranges_are_the_extremes_over_all_cases_and_equal_what_numpy_finds() -> None:
    model = overflowing()
    generator = np.random.default_rng(1)
    cases = [{"x": generator.standard_normal((n, 8)).astype(np.float32)} for n in (1, 5, 3)]
    found = measure_ranges(model, cases)
    h = np.concatenate([case["x"] @ weights(8, 8) for case in cases])
    assert found["h"].low == pytest.approx(h.min(), rel=1e-5)
    assert found["h"].high == pytest.approx(h.max(), rel=1e-5)
    assert found["square"].largest == pytest.approx((h.max() * 1e5) ** 2, rel=1e-4)
    assert found["x"].low == min(case["x"].min() for case in cases)
    assert "w" not in found


def test_tensors_without_elements_and_of_other_types_have_no_range() -> None:
    model = make(
        [
            helper.make_node("Slice", ["x", "zero", "zero"], ["nothing"], "slice"),
            helper.make_node("Shape", ["x"], ["shape"], "shape"),
            helper.make_node("Relu", ["x"], ["y"], "relu"),
        ],
        {"x": ["n", 2]},
        ["y", "nothing"],
        {"zero": np.zeros(1, np.int64)},
    )
    found = measure_ranges(model, [{"x": np.array([[-1, 3]], np.float32)}])
    assert set(found) == {"x", "y"}
    assert (found["y"].low, found["y"].high) == (0, 3)


def test_a_model_that_gives_nan_has_a_range_of_nan() -> None:
    model = make([helper.make_node("Sqrt", ["x"], ["y"], "sqrt")], {"x": ["n"]}, ["y"], {})
    found = measure_ranges(model, [{"x": np.full(3, -1, np.float32)}])
    assert np.isnan(found["y"].largest)


def test_inputs_that_do_not_fit_are_a_stage_error() -> None:
    with pytest.raises(StageError, match="onnxruntime cannot run the model"):
        measure_ranges(overflowing(), [{"x": np.zeros((1, 7), np.float32)}])


def test_an_operator_that_onnxruntime_lacks_is_a_stage_error() -> None:
    model = overflowing()
    model.opset_import.append(helper.make_opsetid("plugin", 1))
    model.graph.node.append(helper.make_node("NoSuch", ["y"], ["z"], "none", domain="plugin"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("z", TensorProto.FLOAT, None))
    with pytest.raises(StageError, match="onnxruntime cannot load the model"):
        measure_ranges(model, [{"x": np.zeros((1, 8), np.float32)}])


def test_progress_is_reported_after_each_case() -> None:
    done: list[int] = []
    cases = [{"x": np.ones((1, 8), np.float32)}] * 3
    measure_ranges(overflowing(), cases, done.append)
    assert done == [1, 2, 3]


def test_inputs_that_surgery_took_out_of_the_graph_are_left_aside() -> None:
    case = {"x": np.ones((1, 8), np.float32), "gone": np.ones(3, np.int64)}
    assert "gone" not in measure_ranges(overflowing(), [case])
