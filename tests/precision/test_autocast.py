"""Which nodes stay in float32 for the size of their values."""

from __future__ import annotations

import math

import pytest
from onnx import helper

from tests.precision.nets import overflowing
from trtbuild.precision.autocast import KeepRule


@pytest.mark.parametrize(
    ("op_type", "largest", "kept"),
    [
        ("Relu", 16_000.0, False),
        ("Relu", 17_000.0, True),
        ("Relu", math.nan, True),
        ("ReduceMean", 500.0, False),
        ("ReduceMean", 600.0, True),
        ("AveragePool", 600.0, True),
    ],
)
def test_what_a_node_may_take_in_float16_depends_on_whether_it_adds_up(
    op_type: str, largest: float, kept: bool
) -> None:
    node = helper.make_node(op_type, ["x"], ["t"], "node")
    rule = KeepRule(overflowing(), "fp16", frozenset(), {"x": largest})
    assert rule.check(node) is kept
    assert rule.too_large == ({"x"} if kept else set())
