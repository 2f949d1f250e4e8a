"""Operations on what a graph takes and gives: names, outputs, parts, dimensions."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.stages.surgery.staging import Stage, X, chain, dims, model_of, names, run_ort, value


def test_tensors_inputs_and_outputs_can_be_renamed(stage: Stage) -> None:
    renaming = {"x": "463", "h": "a:0", "b": "onnx::Shape_422", "y": "result"}
    model = stage.run(chain(), {"op": "rename", "tensors": renaming})
    assert names(model.graph.input) == ["463"]
    assert names(model.graph.output) == ["result", "side"]
    assert names(model.graph.initializer) == ["onnx::Shape_422"]
    assert np.array_equal(run_ort(model, **{"463": X})[0], np.maximum(X, 0) + np.arange(4))


def test_two_names_can_be_exchanged(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "rename", "tensors": {"y": "side", "side": "y"}})
    assert names(model.graph.output) == ["side", "y"]
    assert np.array_equal(run_ort(model, x=X)[1], -np.maximum(X, 0))


def test_a_name_that_is_taken_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "rename", "tensors": {"x": "h", "y": "h"}})
    assert error.where == "surgery[0] rename"
    assert error.what == "'h' would be the name of two tensors"


def test_unknown_names_are_listed_together_with_near_ones(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "rename", "tensors": {"sidee": "s", "zzz": "t"}})
    assert error.what == (
        "there is no tensor 'sidee' (did you mean 'side'?); there is no tensor 'zzz'"
    )
    assert error.hint == "there are: 'x', 'h', 'b', 'a', 'y', 'side'"


def test_an_inner_tensor_becomes_an_output_with_inferred_type(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_outputs", "outputs": ["a", "side"]})
    assert names(model.graph.output) == ["a", "side"]
    assert dims(model.graph.output[0]) == ["n", 4]
    assert names(model.graph.node) == ["/net/first", "/net/bias[0]", "/out/side"]


@pytest.mark.parametrize(
    "step",
    [
        {"op": "set_outputs", "outputs": ["side", "x"]},
        {"op": "extract", "inputs": ["x"], "outputs": ["y", "x"]},
    ],
)
def test_an_input_does_not_become_an_output(stage: Stage, step: dict[str, Any]) -> None:
    error = stage.refused(chain(), step)
    assert error.what.startswith("the output 'x' would be the input of that name")
    assert error.where == f"surgery[0] {step['op']}"


def test_the_part_before_tensors_is_extracted(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "extract", "inputs": ["x"], "outputs": ["h"]})
    assert (names(model.graph.input), names(model.graph.output)) == (["x"], ["h"])
    assert np.array_equal(run_ort(model, x=X)[0], np.maximum(X, 0))


def two_halves() -> onnx.ModelProto:
    return model_of(
        [
            helper.make_node("Split", ["x"], ["p", "q"], axis=1, num_outputs=2),
            helper.make_node("Sub", ["p", "q"], ["y"]),
        ],
        [value("x", 1, 4)],
        [value("y", 1, 2)],
    )


def test_other_outputs_of_a_node_that_is_cut_keep_their_places(stage: Stage) -> None:
    model = stage.run(two_halves(), {"op": "extract", "inputs": ["x", "p"], "outputs": ["y"]})
    assert names(model.graph.input) == ["x", "p"]
    assert np.array_equal(run_ort(model, x=X, p=np.zeros((1, 2), np.float32))[0], [[3, -4]])


def test_a_part_that_begins_behind_an_input_is_refused_with_what_makes_it(stage: Stage) -> None:
    error = stage.refused(
        chain(),
        {"op": "rename", "tensors": {"x": "z"}},
        {"op": "extract", "inputs": ["h"], "outputs": ["y"]},
    )
    assert error.what.startswith("the part begins behind the model's input 'z'")
    assert error.where == "surgery[1] extract"
    call = "onnx.utils.extract_model('model.onnx', 'part.onnx', ['h'], ['y'])"
    assert call in error.hint
    part = stage.folder / "part.onnx"
    onnx.utils.extract_model(stage.folder / "source.onnx", part, ["h"], ["y"])
    assert np.array_equal(run_ort(onnx.load(part), h=X)[0], X + np.arange(4))


def test_a_new_input_whose_shapes_vary_is_refused(stage: Stage) -> None:
    model = two_halves()
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.shape.dim[0].dim_param = "n"
    error = stage.refused(model, {"op": "extract", "inputs": ["x", "p"], "outputs": ["y"]})
    assert "the new input 'p' has dimensions that vary" in error.what


def test_an_input_that_leads_nowhere_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "extract", "inputs": ["x", "a"], "outputs": ["y"]})
    assert error.what == "'x' leads to none of the outputs"


def test_a_stored_tensor_is_no_input(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "extract", "inputs": ["x", "b"], "outputs": ["y"]})
    assert error.what == "'b' is stored in the model: it cannot be an input"


def test_a_type_that_does_not_follow_is_named(stage: Stage) -> None:
    custom = model_of(
        [
            helper.make_node("Plugin", ["x"], ["p"], domain="my"),
            helper.make_node("Relu", ["p"], ["y"]),
        ],
        [value("x", 4)],
        [value("y", 4)],
    )
    error = stage.refused(custom, {"op": "extract", "inputs": ["x", "p"], "outputs": ["y"]})
    assert error.what == "the type of 'p' does not follow from the model"


def test_a_symbol_gets_its_new_name_everywhere(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_dims", "tensors": {"x": ["batch", None]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [["batch", 4]] * 3


def test_a_dimension_can_be_made_static(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_dims", "tensors": {"x": [8, 4]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [[8, 4]] * 3


def test_a_static_dimension_can_be_made_dynamic(stage: Stage) -> None:
    fixed = chain()
    for item in (*fixed.graph.input, *fixed.graph.output):
        item.type.tensor_type.shape.dim[0].dim_value = 1
    fixed.graph.value_info.append(value("h", 1, 4))
    model = stage.run(fixed, {"op": "set_dims", "tensors": {"x": ["batch", 4]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [["batch", 4]] * 3
    assert dims(model.graph.value_info[0]) == ["batch", 4]
    assert run_ort(model, x=np.repeat(X, 3, axis=0))[0].shape == (3, 4)


def test_one_symbol_cannot_become_two(stage: Stage) -> None:
    step = {"op": "set_dims", "tensors": {"x": ["batch", 4], "y": [2, 4]}}
    error = stage.refused(chain(), step)
    assert "dimension 'n' would be batch and, at axis 0 of 'y', 2" in error.what


def test_dimensions_of_a_wrong_rank_or_tensor_are_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "set_dims", "tensors": {"x": ["n"]}})
    assert error.what == "'x' has 2 dimensions ['n', 4], 1 are written"
    error = stage.refused(chain(), {"op": "set_dims", "tensors": {"h": ["n", 4]}})
    assert error.what == "there is no input or output 'h'"


def test_an_unknown_operation_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "fold_constant"})
    assert error.what == "there is no operation 'fold_constant' (did you mean 'fold_constants'?)"
