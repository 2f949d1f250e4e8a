"""The metrics, against numbers worked out by hand and numpy's own."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np
import pytest

from trtbuild.model import compare as module
from trtbuild.model.compare import Comparison, Tally, compare


def array(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def test_equal_arrays_have_no_difference() -> None:
    found = compare(array(1, -2, 3), array(1, -2, 3))
    assert found.values == {"max_abs": 0, "max_rel": 0, "cosine": 1, "snr_db": math.inf}
    assert found.shares == {"top1_agreement": (1, 1)}


def test_the_metrics_are_what_their_definitions_say() -> None:
    found = compare(array(3, 5), array(3, 4)).values
    assert found["max_abs"] == 1
    assert found["max_rel"] == 0.25
    assert found["cosine"] == pytest.approx(29 / (math.sqrt(34) * 5))
    assert found["snr_db"] == pytest.approx(20 * math.log10(5 / 1))


def test_a_wrong_scale_shows_in_the_ratio_where_the_cosine_is_blind() -> None:
    found = compare(array(2, 4), array(1, 2)).values
    assert found["cosine"] == pytest.approx(1)
    assert found["snr_db"] == pytest.approx(0)


def test_zeros_of_the_reference_have_no_relative_error() -> None:
    found = compare(array(0.5, 2), array(0, 1)).values
    assert (found["max_abs"], found["max_rel"]) == (1, 1)


@pytest.mark.parametrize(("result", "cosine", "snr"), [(0, 1, math.inf), (1, 0, -math.inf)])
def test_a_reference_of_zeros_has_a_cosine_and_a_ratio(
    result: float, cosine: float, snr: float
) -> None:
    found = compare(array(result, 0), array(0, 0)).values
    assert (found["cosine"], found["snr_db"]) == (cosine, snr)


def test_rows_agree_where_their_largest_element_is_the_same() -> None:
    reference = np.array([[1, 2, 3], [3, 2, 1], [1, 3, 2]], np.float32)
    result = np.array([[0, 0, 1], [0, 1, 0], [0, 1, 0]], np.float32)
    assert compare(result, reference).shares == {"top1_agreement": (2, 3)}


def test_rows_of_one_element_say_nothing_of_agreement() -> None:
    assert compare(np.ones((4, 1)), np.zeros((4, 1))).shares == {}
    assert compare(np.float32(1).reshape(()), np.float32(1).reshape(())).shares == {}


def test_a_number_without_axes_is_compared() -> None:
    assert compare(np.array(3.0), np.array(2.0)).values["max_abs"] == 1


def test_empty_arrays_are_equal() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert compare(empty, empty) == Comparison({}, {})
    assert compare(empty.astype(np.int64), empty.astype(np.int64)).shares == {"equal": (0, 0)}


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_integers_and_booleans_are_counted(dtype: type) -> None:
    found = compare(np.array([1, 0, 1], dtype), np.array([1, 1, 1], dtype))
    assert found == Comparison({"max_abs": 1.0}, {"equal": (2, 3)})


def test_small_types_are_compared_in_float64() -> None:
    low = array(1, 2, 3).astype(ml_dtypes.bfloat16)
    found = compare(low, array(1, 2, 3.5))
    assert found.values["max_abs"] == 0.5
    assert compare(array(1, 2).astype(np.float16), array(1, 2)).values["snr_db"] == math.inf


def test_large_float16_values_do_not_overflow_in_the_metrics() -> None:
    large = np.full(100, 60000, np.float16)
    assert compare(large, large.astype(np.float32)).values["cosine"] == pytest.approx(1)


def test_another_shape_is_a_problem() -> None:
    assert (
        compare(np.ones((2, 3)), np.ones((3, 2))).problem
        == "has the shape [2, 3] instead of [3, 2]"
    )


@pytest.mark.parametrize(
    ("result", "reference", "problem"),
    [
        ([np.nan, 1, np.nan], [0, 1, 2], "is NaN in 2 of 3 values where the reference is not"),
        ([np.inf, 1, 2], [0, 1, 2], "is infinite in 1 of 3 values where the reference is not"),
        ([0, 1, 2], [np.nan, 1, 2], "is finite in 1 values where the reference is NaN or infinite"),
        ([-np.inf, 1], [np.inf, 1], "is finite in 1 values where the reference is NaN or infinite"),
    ],
)
def test_nan_and_infinity_at_other_places_are_a_problem(
    result: list[float], reference: list[float], problem: str
) -> None:
    assert compare(array(*result), array(*reference)).problem == problem


def test_nan_and_infinity_at_the_same_places_are_equal() -> None:
    found = compare(array(np.nan, -np.inf, 1), array(np.nan, -np.inf, 1))
    assert found.problem == ""
    assert found.values["snr_db"] == math.inf


def test_large_arrays_are_compared_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    reference = generator.standard_normal((7, 11))
    result = reference + generator.standard_normal((7, 11)) * 0.01
    whole = compare(result, reference).values
    monkeypatch.setattr(module, "_CHUNK", 10)
    assert compare(result, reference).values == pytest.approx(whole)


def test_a_tally_keeps_the_worst_of_each_metric_and_its_case() -> None:
    tally = Tally()
    tally.add(compare(array(1, 2), array(1, 2.5)), 0, shares=True)
    tally.add(compare(array(1, 3), array(1, 2)), 1, shares=True)
    tally.add(compare(array(1, 2), array(1, 2)), 2, shares=True)
    assert tally.metrics()["max_abs"] == 1
    assert tally.worst_case("max_abs") == 1
    assert tally.worst_case() == 1
    assert tally.metrics()["top1_agreement"] == 1


def test_shares_are_of_all_rows_and_only_of_cases_that_count() -> None:
    tally = Tally()
    one_of_four = Comparison({}, {"top1_agreement": (1, 4)})
    tally.add(one_of_four, 0, shares=False)
    tally.add(one_of_four, 1, shares=True)
    tally.add(Comparison({}, {"top1_agreement": (1, 1)}), 2, shares=True)
    assert tally.metrics() == {"top1_agreement": 0.4}
    assert tally.worst_case("top1_agreement") == 1


def test_a_problem_is_kept_with_its_case() -> None:
    tally = Tally()
    tally.add(compare(array(1), array(1)), 0, shares=True)
    tally.add(compare(array(np.nan), array(1)), 1, shares=True)
    assert tally.problem.startswith("is NaN")
    assert tally.worst_case() == tally.case == 1
