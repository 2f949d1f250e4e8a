"""The quantize stage in fp16 and bf16, run as the child process runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from tests.precision.nets import attention, make, normalisation, overflowing
from tests.stages.quantize.nets import layer_norm, perceptron, upscaling
from tests.stages.quantize.staging import CASES, Stage, X, declaration, evaluate, types_of
from trtbuild.errors import MissingPackage, StageError


def test_the_document_says_what_ran_in_which_type_and_why(stage: Stage) -> None:
    model, document = stage.run(overflowing(), X, CASES, keep_fp32=["relu"])
    reasons = {kept["node"]: kept["reason"] for kept in document["kept_fp32"]}
    assert reasons == dict.fromkeys(["enlarge", "square", "lift", "log"], "range") | {
        "relu": "recipe"
    }
    assert document["nodes"] == {"fp16": 2, "fp32": 5}
    assert document["precision"] == "fp16"
    assert document["tool"].startswith("modelopt 0.47")
    assert any(node.op_type == "Cast" for node in model.graph.node)


def test_an_overflow_is_named_with_its_value_and_kept_out_of_float16(stage: Stage) -> None:
    model, document = stage.run(overflowing(), X, CASES)
    expected = evaluate(overflowing(), CASES[0])
    assert np.abs(evaluate(model, CASES[0]) - expected).max() < 0.02 * np.abs(expected).max()
    assert [item["tensor"] for item in document["large"]] == ["above", "square", "huge", "big"]
    square = (
        np.maximum(
            CASES[0]["x"] @ onnx.numpy_helper.to_array(overflowing().graph.initializer[0]), 0
        )
        * 1e5
    ) ** 2
    assert document["large"][0]["largest"] == pytest.approx(square.max(), rel=1e-4)
    (told,) = stage.reporter.warnings
    assert told.startswith("4 of 7 nodes stay in fp32, since 4 tensors come near fp16's 65504 or ")
    assert "the limit is 16376, 512 where they are added up" in told
    assert told.endswith(f"the furthest is 'above' with {document['large'][0]['largest']:.4g}")


def test_a_mask_constant_is_saturated_so_that_no_nan_comes_out(stage: Stage) -> None:
    keep = np.ones((2, 4), np.float32)  # no token is hidden: 0 * -infinity would be NaN
    case = {"scores": np.zeros((2, 4), np.float32), "keep": keep}
    inputs = [declaration("scores", 4), declaration("keep", 4)]
    model, document = stage.run(attention(), inputs, [case])
    assert evaluate(model, case) == pytest.approx(0.25)
    assert [item["tensor"] for item in document["saturated"]] == ["mask"]
    assert document["nodes"]["fp32"] == 0
    assert "'mask' reaches 3.403e+38" in stage.reporter.warnings[0]


def test_a_large_variance_keeps_its_node_in_float32(stage: Stage) -> None:
    case = {"x": np.random.default_rng(3).standard_normal((2, 3, 4, 4)).astype(np.float32)}
    model, document = stage.run(normalisation(), [declaration("x", 3, 4, 4)], [case])
    assert document["saturated"] == []
    assert "the furthest is 'variance' with 1e+08" in stage.reporter.warnings[0]
    assert [(kept["node"], kept["reason"]) for kept in document["kept_fp32"]] == [("norm", "range")]
    assert evaluate(model, case) == pytest.approx(evaluate(normalisation(), case), abs=5e-3)


@pytest.mark.parametrize(
    ("keep", "element"), [(True, onnx.TensorProto.FLOAT), (False, onnx.TensorProto.FLOAT16)]
)
def test_inputs_and_outputs_keep_their_types_or_become_float16(
    stage: Stage, keep: bool, element: int
) -> None:
    model, _ = stage.run(overflowing(), X, CASES, keep_io_types=keep)
    assert types_of(model) == {"x": element, "y": element}


def test_without_a_reference_the_user_is_told_that_values_are_seeded(stage: Stage) -> None:
    stage.run(overflowing(), X)
    assert "seeded values in the declared ranges" in stage.reporter.warnings[0]


def test_a_pattern_that_matches_nothing_is_refused_with_a_near_name(stage: Stage) -> None:
    with pytest.raises(StageError) as caught:
        stage.run(overflowing(), X, CASES, keep_fp32=["matmull"])
    assert "'matmull' matches no node (did you mean 'matmul'" in str(caught.value)
    assert not (stage.folder / "outputs/model.onnx").exists()


def test_the_recipe_must_have_the_types_of_the_model(stage: Stage) -> None:
    with pytest.raises(
        StageError, match="'x' is float32 after the conversion, but should be int32"
    ):
        stage.run(overflowing(), [{**X[0], "dtype": "int32"}], CASES)


def test_a_node_inside_a_fused_layer_normalisation_can_be_kept(stage: Stage) -> None:
    model, document = stage.run(layer_norm(), X, CASES, keep_fp32=["pow"])
    assert "LayerNormalization" in {node.op_type for node in model.graph.node}
    assert [(kept["op_type"], kept["reason"]) for kept in document["kept_fp32"]] == [
        ("LayerNormalization", "recipe")
    ]


def test_the_bytes_do_not_depend_on_the_process(stage: Stage) -> None:
    stage.run(overflowing(), X, CASES)
    first = (stage.folder / "outputs/model.onnx").read_bytes()
    script = (
        "from pathlib import Path; import sys, onnx\n"
        "from tests.stages.quantize.test_floats import *\n"
        "Stage(Path(sys.argv[1])).run(overflowing(), X, CASES)\n"
    )
    other = stage.folder / "other"
    other.mkdir()
    subprocess.run(
        [sys.executable, "-c", script, str(other)],
        check=True,
        cwd=Path(__file__).parents[3],
        env={"PYTHONHASHSEED": "12345"},
        capture_output=True,
    )
    assert (other / "outputs/model.onnx").read_bytes() == first


def test_bfloat16_is_put_into_the_graph_and_kept_where_the_backend_lacks_it(stage: Stage) -> None:
    model, document = stage.run(upscaling(), [declaration("x", 4, 4, 4)], precision="bf16")
    assert document["nodes"] == {"bf16": 1, "fp32": 1}
    assert document["kept_fp32"] == [
        {"node": "up", "op_type": "ConvTranspose", "reason": "backend"}
    ]
    assert model.opset_import[0].version == 22


def test_a_precision_that_changes_nothing_is_refused(stage: Stage) -> None:
    with pytest.raises(StageError, match="'int7' is no precision that changes the graph"):
        stage.run(overflowing(), X, CASES, precision="int7")


def test_without_modelopt_the_line_to_install_it_is_given(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "modelopt.onnx.autocast.convert", None)
    with pytest.raises(MissingPackage) as caught:
        stage.run(overflowing(), X, CASES)
    assert "pip install 'trtbuild[quantize]'" in caught.value.hint


def test_a_mask_that_hides_does_not_keep_an_attention_in_float32(stage: Stage) -> None:
    keep = np.array([[1, 1, 0, 1], [1, 1, 1, 1]], np.float32)
    case = {
        "scores": np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32),
        "keep": keep,
    }
    inputs = [declaration("scores", 4), declaration("keep", 4)]
    for mask in (-10000.0, -3.4e38):
        model, document = stage.run(attention(mask), inputs, [case])
        assert document["nodes"] == {"fp16": 4, "fp32": 0}
        assert document["large"] == []
        assert evaluate(model, case) == pytest.approx(evaluate(attention(mask), case), abs=2e-3)


def test_large_values_that_fit_are_computed_in_float16(stage: Stage) -> None:
    model, case = perceptron(10_000.0)
    cast, document = stage.run(model, X, [case])
    assert document["nodes"] == {"fp16": 3, "fp32": 0}
    assert stage.reporter.warnings == []
    expected = evaluate(model, case)
    assert np.abs(evaluate(cast, case) - expected).max() < 2e-3 * np.abs(expected).max()


def test_what_adds_up_has_a_lower_limit_than_what_does_not(stage: Stage) -> None:
    axes = np.array([1], np.int64)
    model = make(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["m"], "mean"),
            helper.make_node("Sub", ["x", "m"], ["y"], "sub"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {"axes": axes},
    )
    for scale, nodes in ((500.0, 2), (600.0, 1)):
        _, case = perceptron(scale)
        _, document = stage.run(model, X, [case])
        assert document["nodes"] == {"fp16": nodes, "fp32": 2 - nodes}
    assert [kept["node"] for kept in document["kept_fp32"]] == ["mean"]
