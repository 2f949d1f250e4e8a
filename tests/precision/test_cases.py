"""The inputs that ranges are measured on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trtbuild.model.cases import Case, CaseWriter
from trtbuild.model.inputs import parse_inputs
from trtbuild.precision.cases import open_cases

X = {"name": "x", "dtype": "float32", "min": [1, 2], "opt": [3, 2], "max": [5, 2]}
IDS = {"name": "ids", "dtype": "int64", "min": [1], "opt": [3], "max": [5], "range": [10, 20]}


def write(folder: Path) -> Path:
    """min, opt and two batches of data, which have a tensor inside of the graph as an extra."""
    path = folder / "reference.json"
    with CaseWriter(path) as writer:
        for number, kind in enumerate(("min", "opt", "data", "data")):
            extras = {"inner": np.full(2, number)} if kind == "data" else {}
            writer.add(kind, Case({"x": np.full((1, 2), number, np.float32)}, {}, extras))
        writer.finish("onnx", {"kind": "npz", "note": "test"})
    return path


def test_every_case_of_the_reference_is_read_each_time(tmp_path: Path) -> None:
    with open_cases(write(tmp_path), parse_inputs([X])) as cases:
        assert len(cases) == 4
        for _ in range(2):
            assert [case["x"][0, 0] for case in cases] == [0, 1, 2, 3]


def test_typical_cases_are_those_of_the_data(tmp_path: Path) -> None:
    with open_cases(write(tmp_path), parse_inputs([X])) as cases:
        assert [case["x"][0, 0] for case in cases.typical(9)] == [2, 3]
        assert [case["x"][0, 0] for case in cases.typical(1)] == [2]


def test_an_input_that_surgery_made_comes_from_the_extras(tmp_path: Path) -> None:
    inner = {"name": "inner", "dtype": "int64", "min": [2], "opt": [2], "max": [2]}
    with open_cases(write(tmp_path), parse_inputs([inner])) as cases:
        assert [case["inner"][0] for case in cases] == [2, 3]


def test_renamed_inputs_have_their_new_names(tmp_path: Path) -> None:
    new = {**X, "name": "pixels"}
    with open_cases(write(tmp_path), parse_inputs([new]), {"x": "pixels"}) as cases:
        assert [case["pixels"][0, 0] for case in cases] == [0, 1, 2, 3]


def test_without_values_they_are_seeded_in_the_declared_ranges(tmp_path: Path) -> None:
    for reference in (None, write(tmp_path)):
        with open_cases(reference, parse_inputs([X, IDS])) as cases:
            (low, opt, high), again = list(cases), list(cases)
            assert [case["x"].shape for case in (low, opt, high)] == [(1, 2), (3, 2), (5, 2)]
            assert high["ids"].min() >= 10
            assert high["ids"].max() < 20
            np.testing.assert_array_equal(again[1]["x"], opt["x"])
            assert [case["x"].shape for case in cases.typical(4)] == [(3, 2)]
