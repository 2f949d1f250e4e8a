"""Control flow in an ONNX model, and what decides it."""

from __future__ import annotations

from pathlib import Path

from tests.trt import nets
from trtbuild.trt.control_flow import Branching, describe, find_control_flow, remedy

SHAPED = """g (float[N, 4] x, float[K, 4] other) => (float[N, 4] y) {
    moved = Relu(x)
    shape = Shape(moved)
    zero = Constant <value = int64 {0}> ()
    rows = Gather(shape, zero)
    one = Constant <value = int64 {1}> ()
    c = Equal(rows, one)
    y = If (c) <then_branch = t () => (float[N, 4] a) {
                    inner = Constant <value = bool {1}> ()
                    a = If (inner) <then_branch = tt () => (float[N, 4] aa) { aa = Relu(x) },
                                    else_branch = te () => (float[N, 4] ab) { ab = Neg(x) }>
                },
                else_branch = e () => (float[N, 4] b) { b = Neg(other) }>
}"""

LOOPS = """g (int64 n, bool go, float[2, 4] x, float[5, 4] items)
  => (float[2, 4] y, float[5, 4] z) {
    y = Loop (n, go, x) <body = b (int64 i, bool ci, float[2, 4] s) => (bool co, float[2, 4] so) {
        co = Identity(ci)
        so = Add(s, s)
    }>
    z = Scan <num_scan_inputs = 1, body = s (float[4] item) => (float[4] out) {
        out = Relu(item)
    }> (items)
}"""

FIXED = """g (float[2, 4] x) => (float[2, 4] y) {
    c = Constant <value = bool {1}> ()
    y = If (c) <then_branch = t () => (float[2, 4] a) { a = Relu(x) },
                else_branch = e () => (float[2, 4] b) { b = Neg(x) }>
}"""

BEHIND = """g (bool c, float[N, 4] x) => (float[N, 4] y) {
    m = If (c) <then_branch = t () => (float[N, 4] a) { a = Relu(x) },
                else_branch = e () => (float[N, 4] b) { b = Neg(x) }>
    total = ReduceSum <keepdims = 0> (m)
    d = Cast <to = 9> (total)
    y = If (d) <then_branch = t2 () => (float[N, 4] a2) { a2 = Relu(x) },
                else_branch = e2 () => (float[N, 4] b2) { b2 = Neg(x) }>
}"""


def found(tmp_path: Path, text: str) -> tuple[Branching, ...]:
    return find_control_flow(nets.written(tmp_path / "model.onnx", text))


def test_a_model_without_control_flow_has_none(tmp_path: Path) -> None:
    assert find_control_flow(nets.digits(tmp_path / "model.onnx")) == ()


def test_a_condition_from_a_value_names_the_input(tmp_path: Path) -> None:
    items = found(tmp_path, nets.BRANCH)
    assert items == (Branching("If", "the one that makes 'y'", 0, (), ("c",)),)
    assert "export the model for one value of 'c'" in remedy(items)


def test_a_condition_from_a_shape_names_the_input_and_branches_are_searched(
    tmp_path: Path,
) -> None:
    items = found(tmp_path, SHAPED)
    assert items == (
        Branching("If", "the one that makes 'y'", 0, ("x",), ()),
        Branching("If", "the one that makes 'a'", 1, (), ()),
    )
    assert describe(items) == (
        "\n  If (2 nodes): the one that makes 'y' (decided by the shape of 'x'); within branches "
        "the one that makes 'a'"
    )
    assert "make the shape of 'x' static ({op: set_dims}) and fold_constants" in remedy(items)


def test_trip_counts_and_lengths_decide_loops(tmp_path: Path) -> None:
    items = found(tmp_path, LOOPS)
    assert [(item.operator, item.shapes, set(item.values)) for item in items] == [
        ("Loop", (), {"n", "go"}),
        ("Scan", ("items",), set()),
    ]


def test_a_fixed_condition_depends_on_no_input(tmp_path: Path) -> None:
    items = found(tmp_path, FIXED)
    assert items == (Branching("If", "the one that makes 'y'", 0, (), ()),)
    assert "for one fixed condition, and fold_constants" in remedy(items)


def test_what_a_branch_takes_from_around_it_counts_as_its_source(tmp_path: Path) -> None:
    second = found(tmp_path, BEHIND)[1]
    assert set(second.values) == {"c", "x"}
