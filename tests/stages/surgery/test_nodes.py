"""Operations that take nodes out: removal, folding of constants, cleanup."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.stages.surgery.staging import Stage, X, chain, model_of, names, run_ort, value


def test_a_node_is_removed_by_its_name_a_pattern_or_its_operator(stage: Stage) -> None:
    for step in (
        {"op": "remove_nodes", "nodes": ["/net/bias[0]"]},
        {"op": "remove_nodes", "nodes": ["/net/bias*"], "op_types": []},
        {"op": "remove_nodes", "op_types": ["Add"]},
    ):
        model = stage.run(chain(), step)
        assert np.array_equal(run_ort(model, x=X)[0], np.maximum(X, 0))


def test_an_output_keeps_its_name_when_its_node_goes(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "remove_nodes", "op_types": ["Identity", "Neg"]})
    assert names(model.graph.output) == ["y", "side"]
    assert names(model.graph.node) == ["/net/first", "/net/bias[0]"]
    result, side = run_ort(model, x=X)
    assert np.array_equal(side, np.maximum(X, 0))
    assert np.array_equal(result, side + np.arange(4))


def test_a_node_whose_outputs_nobody_reads_is_removed(stage: Stage) -> None:
    extra = chain()
    extra.graph.node.append(helper.make_node("Mul", ["x", "h"], ["unread"], name="idle"))
    model = stage.run(extra, {"op": "remove_nodes", "nodes": ["idle"]})
    assert "idle" not in names(model.graph.node)


def test_a_node_of_two_data_inputs_is_refused_with_its_reader(stage: Stage) -> None:
    product = model_of(
        [
            helper.make_node("Mul", ["x", "z"], ["p"], name="product"),
            helper.make_node("Relu", ["p"], ["y"], name="last"),
        ],
        [value("x", 4), value("z", 4)],
        [value("y", 4)],
    )
    error = stage.refused(product, {"op": "remove_nodes", "nodes": ["product"]})
    assert error.what == (
        "node 'product' (Mul) cannot be removed: node 'last' (Relu) reads 'p', and it is not "
        "clear which of its inputs should pass through: 'x', 'z'"
    )


def test_an_output_cannot_become_an_input_itself(stage: Stage) -> None:
    single = model_of(
        [helper.make_node("Relu", ["x"], ["y"], name="r")], [value("x", 4)], [value("y", 4)]
    )
    error = stage.refused(single, {"op": "remove_nodes", "nodes": ["r"]})
    assert "the output 'y' would be 'x' itself" in error.what


def test_a_pattern_or_operator_that_means_nothing_is_refused(stage: Stage) -> None:
    step = {"op": "remove_nodes", "nodes": ["/out/passs"], "op_types": ["Identiti"]}
    error = stage.refused(chain(), step)
    assert error.what == (
        "no node matches '/out/passs' (did you mean '/out/pass' or '/out/side'?); "
        "there is no operator Identiti (did you mean 'Identity'?)"
    )
    assert error.hint == "the graph's operators are Add, Identity, Neg, Relu"


def test_types_behind_a_removed_cast_are_inferred_anew(stage: Stage) -> None:
    cast = model_of(
        [
            helper.make_node("Cast", ["x"], ["c"], name="c", to=TensorProto.FLOAT16),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [value("x", 4)],
        [value("y", 4, kind=TensorProto.FLOAT16)],
    )
    model = stage.run(cast, {"op": "remove_nodes", "op_types": ["Cast"]})
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


def test_constants_are_folded_in_their_own_types(stage: Stage) -> None:
    model = model_of(
        [
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Constant", [], ["flat"], value_ints=[-1]),
            helper.make_node("Add", ["two", "two"], ["four"]),
            helper.make_node("Mul", ["x", "four"], ["m"]),
            helper.make_node("Reshape", ["m", "flat"], ["y"]),
        ],
        [value("x", "n", 4)],
        [value("y", "k")],
    )
    folded = stage.run(model, {"op": "fold_constants"})
    assert [node.op_type for node in folded.graph.node] == ["Mul", "Reshape"]
    assert np.array_equal(run_ort(folded, x=X)[0], X[0] * 4)


def test_a_wrong_declared_shape_is_not_folded(stage: Stage) -> None:
    model = model_of(
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("Shape", ["h"], ["y"]),
        ],
        [value("x", "n", 4)],
        [value("y", 2, kind=TensorProto.INT64)],
    )
    model.graph.value_info.append(value("h", 1, 4))
    folded = stage.run(model, {"op": "fold_constants"})
    assert np.array_equal(run_ort(folded, x=np.repeat(X, 3, axis=0))[0], [3, 4])


@pytest.mark.parametrize("rows", [3, "n"])
def test_parts_of_a_shape_are_folded_as_what_they_are(stage: Stage, rows: int | str) -> None:
    model = model_of(
        [
            helper.make_node("Shape", ["x"], ["last"], start=-1),
            helper.make_node("Shape", ["x"], ["front"], start=-2, end=-1),
            helper.make_node("Gather", ["front", "zero"], ["first"]),
            helper.make_node("Mul", ["first", "last"], ["size"]),
        ],
        [value("x", rows, 4)],
        [value("last", 1, kind=TensorProto.INT64), value("size", 1, kind=TensorProto.INT64)],
        zero=np.array(0),
    )
    folded = stage.run(model, {"op": "fold_constants"})
    last, size = run_ort(folded, x=np.repeat(X, 3, axis=0))
    assert (last.tolist(), size.tolist()) == ([4], [12])
    kinds = [node.op_type for node in folded.graph.node if node.op_type != "Identity"]
    assert kinds == ([] if rows == 3 else ["Shape", "Gather", "Mul"])


def branches(condition: bool) -> onnx.ModelProto:
    """An If with a stored condition, two outputs, and a weight that both branches read."""
    then = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["t"])], "then",
        [], [value("t", 4), value("k", 1)],
        [numpy_helper.from_array(np.ones(1, np.float32), "k")],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Sub", ["x", "w"], ["e"]), helper.make_node("Neg", ["one"], ["f"])],
        "else", [], [value("e", 4), value("f", 1)],
    )  # fmt: skip
    choice = helper.make_node("If", ["c"], ["y", "z"], then_branch=then, else_branch=other)
    return model_of(
        [choice], [value("x", 4)], [value("y", 4), value("z", 1)],
        c=np.array(condition), w=np.arange(4, dtype=np.float32), one=np.ones(1, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("condition", [True, False])
def test_an_if_of_a_known_condition_becomes_its_branch(stage: Stage, condition: bool) -> None:
    model = stage.run(branches(condition), {"op": "fold_constants"})
    assert "If" not in {node.op_type for node in model.graph.node}
    result, one = run_ort(model, x=X[0])
    sign = 1 if condition else -1
    assert np.array_equal(result, X[0] + sign * np.arange(4))
    assert one == [sign]


def test_weights_that_branches_share_are_stored_once(stage: Stage) -> None:
    model = branches(condition=True)
    del model.graph.initializer[0]
    model.graph.input.append(value("c", kind=TensorProto.BOOL))
    same = stage.run(model, {"op": "cleanup"})
    assert names(same.graph.initializer) == ["w"]
    inner = [a.g for a in same.graph.node[0].attribute]
    assert all("w" not in names(graph.initializer) for graph in inner)


def test_cleanup_takes_out_what_leads_to_no_output(stage: Stage) -> None:
    extra = chain()
    extra.graph.node.append(helper.make_node("Mul", ["x", "unused"], ["unread"]))
    extra.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "unused"))
    model = stage.run(extra, {"op": "cleanup"})
    assert len(model.graph.node) == 4
    assert names(model.graph.initializer) == ["b"]
