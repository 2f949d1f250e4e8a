"""Inputs as arrays: types by name, and data fitted to another shape."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from trtbuild.model.inputs import at_size, fitted, numpy_dtype, parse_inputs, random_values


def test_types_have_numpys_names_and_ml_dtypes_for_what_it_lacks() -> None:
    assert numpy_dtype("float16") == np.float16
    assert numpy_dtype("bool") == np.bool_
    assert numpy_dtype("bfloat16") == ml_dtypes.bfloat16


def test_data_is_tiled_and_cropped_along_each_axis() -> None:
    values = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(fitted(values, (3, 2)), [[0, 1], [3, 4], [0, 1]])
    np.testing.assert_array_equal(fitted(values, (1, 5)), [[0, 1, 2, 0, 1]])
    assert fitted(np.array(3.0), ()) == 3


def test_an_input_without_opt_has_that_of_min() -> None:
    item = {"name": "x", "dtype": "int32", "min": [1], "max": [4], "range": [0, 9], "dims": ["n"]}
    (made,) = parse_inputs([item])
    assert (made.min, made.opt, made.max) == ((1,), (1,), (4,))
    assert (made.range, made.dims) == ((0, 9), ("n",))


def test_values_that_decide_shapes_are_never_random() -> None:
    values = {"min": [1, 2], "opt": [4, 8], "max": [16, 512]}
    item = {"name": "s", "dtype": "int32", "min": [2], "opt": [2], "max": [2], "values": values}
    (made,) = parse_inputs([item])
    generator = np.random.default_rng(0)
    assert random_values(made, (2,), generator).tolist() == [4, 8]
    assert random_values(at_size(made, "max"), (2,), generator).tolist() == [16, 512]
    assert random_values(made, (2,), generator).dtype == np.int32
