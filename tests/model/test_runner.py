"""Running ONNX files by name, with the numbers that the graph says."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.model.nets import WEIGHT, in_float16, mlp, save
from trtbuild.errors import StageError
from trtbuild.model.runner import UnsupportedModelError, dtypes_of, open_model

X = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)


def test_a_model_runs_by_names(tmp_path: Path) -> None:
    runner = open_model(save(mlp(), tmp_path / "model.onnx"))
    assert [item.name for item in runner.inputs] == ["x"]
    outputs = runner.run({"x": X, "unused": X})
    np.testing.assert_allclose(outputs["logits"], np.maximum(X @ WEIGHT, 0), rtol=1e-5)


def test_a_model_runs_whose_small_tensors_lie_outside_too(tmp_path: Path) -> None:
    model = mlp()
    model.graph.node.append(helper.make_node("Reshape", ["logits", "shape"], ["flat"]))
    model.graph.initializer.append(numpy_helper.from_array(np.array([-1]), "shape"))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["values"])
    )
    onnx.save(
        model, tmp_path / "model.onnx", save_as_external_data=True, size_threshold=0, location="w"
    )
    outputs = open_model(tmp_path / "model.onnx").run({"x": X})
    np.testing.assert_allclose(outputs["flat"], np.maximum(X @ WEIGHT, 0).ravel(), rtol=1e-5)


def test_float16_inside_is_computed_without_optimisation(tmp_path: Path) -> None:
    outputs = open_model(save(in_float16(), tmp_path / "model.onnx")).run({"x": X})
    exact = np.maximum(X @ WEIGHT, 0)
    assert outputs["logits"].dtype == np.float32
    assert 0 < np.abs(outputs["logits"] - exact).max() < 0.02


def test_values_are_cast_where_the_graph_takes_float16(tmp_path: Path) -> None:
    model = in_float16()
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    del model.graph.node[0]
    model.graph.node[0].input[0] = "x"
    outputs = open_model(save(model, tmp_path / "model.onnx")).run({"x": X})
    np.testing.assert_allclose(outputs["logits"], np.maximum(X @ WEIGHT, 0), atol=0.02)


def bfloat16_graph() -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "x"], ["y"])],
        "square",
        [helper.make_tensor_value_info("x", TensorProto.BFLOAT16, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.BFLOAT16, ["n"])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def test_bfloat16_runs_in_bfloat16(tmp_path: Path) -> None:
    x = np.array([1.0, 1.0078125, 3.0], ml_dtypes.bfloat16)
    outputs = open_model(save(bfloat16_graph(), tmp_path / "model.onnx")).run({"x": x})
    assert outputs["y"].dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(outputs["y"].astype(np.float32), [1.0, 1.015625, 9.0])


def test_types_of_stored_tensors_and_casts_are_found() -> None:
    assert dtypes_of(mlp()) == {"float32"}
    assert dtypes_of(in_float16()) == {"float32", "float16"}
    assert dtypes_of(bfloat16_graph()) == {"bfloat16"}


def test_an_input_without_values_is_named_with_one_that_is_near(tmp_path: Path) -> None:
    runner = open_model(save(mlp(), tmp_path / "model.onnx"))
    with pytest.raises(StageError, match=r"takes an input 'x' \(did you mean 'X'\?\)"):
        runner.run({"X": X})


def test_values_of_another_kind_are_refused(tmp_path: Path) -> None:
    runner = open_model(save(mlp(), tmp_path / "model.onnx"))
    with pytest.raises(StageError, match=r"input 'x' is float32 in the graph.*are int64"):
        runner.run({"x": X.astype(np.int64)})


def test_a_shape_that_the_graph_refuses_is_told_with_the_shapes(tmp_path: Path) -> None:
    runner = open_model(save(mlp(), tmp_path / "model.onnx"))
    with pytest.raises(StageError, match=r"does not run on x \[5, 3\]: .*Got: 3 Expected: 4"):
        runner.run({"x": X[:, :3]})


def test_an_operator_that_the_cpu_lacks_is_told_apart_from_a_wrong_graph(tmp_path: Path) -> None:
    model = mlp()
    model.opset_import.append(helper.make_opsetid("plugins", 1))
    model.graph.node[1].domain, model.graph.node[1].op_type = "plugins", "EfficientNMS_TRT"
    with pytest.raises(UnsupportedModelError, match="EfficientNMS_TRT"):
        open_model(save(model, tmp_path / "plugin.onnx"))
    wrong = mlp()
    wrong.graph.node[1].input[0] = "nowhere"
    with pytest.raises(StageError, match="nowhere") as error:
        open_model(save(wrong, tmp_path / "wrong.onnx"))
    assert not isinstance(error.value, UnsupportedModelError)


def test_a_model_older_than_the_kernels_says_how_to_raise_it(tmp_path: Path) -> None:
    model = mlp()
    bias = numpy_helper.from_array(np.zeros(WEIGHT.shape[1:], np.float32), "b")
    model.graph.initializer.append(bias)
    model.graph.node[0].op_type = "Gemm"
    model.graph.node[0].input.append("b")
    model.graph.node[0].attribute.append(helper.make_attribute("broadcast", 1))
    model.opset_import[0].version = 6
    with pytest.raises(UnsupportedModelError) as error:
        open_model(save(model, tmp_path / "model.onnx"))
    assert error.value.hint == (
        "onnxruntime runs opset 7 and later, this is 6: export the model again, or raise it with "
        "onnx.version_converter"
    )


def test_an_output_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    model = mlp()
    model.graph.node.append(helper.make_node("SequenceConstruct", ["logits"], ["many"]))
    model.graph.output.append(
        helper.make_tensor_sequence_value_info("many", TensorProto.FLOAT, None)
    )
    with pytest.raises(StageError, match="'many' is a sequence, not a tensor of numbers"):
        open_model(save(model, tmp_path / "model.onnx"))
