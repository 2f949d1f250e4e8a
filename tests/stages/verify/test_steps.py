"""The verify stage: it names the first step that is off, and proves the precision obtained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import helper

from tests.model.nets import WEIGHT, in_float16, mlp, save, with_plugin
from tests.stages.running import (
    Recorder,
    X,
    context,
    document_of,
    run_reference,
    run_verify,
    verify_context,
)
from tests.stages.verify.staging import TOP1, failed, off_by, saved
from trtbuild.cuda.probe import probe
from trtbuild.model.cases import CaseReader
from trtbuild.stages import verify

BACKEND = os.environ.get("TRTBUILD_TEST_BACKEND", "tensorrt_rtx")


def test_a_variant_that_computes_the_same_passes(folder: Path) -> None:
    document = run_verify(folder, saved(folder, mlp(), mlp()))
    assert document["passed"]
    assert document["failures"] == []
    assert document["engine"] == "not run: no CUDA device"
    assert [(s["step"], s["passed"], s["cases"]) for s in document["steps"]] == [
        ("export", True, 6),
        ("surgery", True, 6),
    ]
    output = document["steps"][1]["outputs"][0]
    assert output["name"] == "logits"
    assert output["metrics"]["snr_db"] is None  # infinite: they are equal
    assert output["metrics"]["cosine"] == pytest.approx(1)
    assert output["previous"]["max_abs"] == 0
    assert document["steps"][0]["outputs"][0]["previous"] is None


@pytest.mark.parametrize(("wrong", "step"), [(0, "export"), (1, "surgery"), (2, "quantize")])
def test_the_first_step_that_is_off_is_named(folder: Path, wrong: int, step: str) -> None:
    models = [off_by(1.5 if place >= wrong else 1) for place in range(3)]
    error, document, _ = failed(folder, saved(folder, *models))
    assert error.what.startswith(f"fp32 does not pass: {step}: output 'logits' has snr_db = ")
    assert "(at least 37), at case " in error.what
    assert error.hint
    assert not document["passed"]
    assert [s["passed"] for s in document["steps"]] == [place < wrong for place in range(3)]
    assert document["failures"][0].startswith(f"{step}: output 'logits'")


def test_the_recipes_tolerance_is_what_counts(folder: Path) -> None:
    models = saved(folder, off_by(1.5))
    assert run_verify(folder, models, tolerance={"top1_agreement": 1.0})["passed"]
    error, document, _ = failed(folder, models, tolerance={"max_abs": 0.01, "cosine": 0.9})
    assert "output 'logits' has max_abs = " in error.what
    worst = document["steps"][0]["outputs"][0]["worst_case"]
    assert f"at case {worst['index']} ({worst['kind']})" in error.what


def test_each_precision_has_limits_of_its_own(folder: Path) -> None:
    models = saved(folder, mlp(), mlp(), in_float16(WEIGHT + np.float32(0.02)))
    assert run_verify(folder, models, precision="fp16")["passed"]
    error, _, _ = failed(folder, models)
    assert error.what.startswith("fp32 does not pass: quantize: ")


def test_nan_fails_whatever_the_tolerance(folder: Path) -> None:
    weight = WEIGHT.copy()
    weight[:, 1] = np.nan
    error, document, _ = failed(folder, saved(folder, mlp(), mlp(weight)), tolerance={"max_abs": 9})
    assert (
        "surgery: output 'logits' is NaN in 1 of 3 values where the reference is not" in error.what
    )
    assert document["steps"][1]["outputs"][0]["problem"].startswith("is NaN")


def test_a_graph_that_does_not_run_at_a_shape_is_off_there(folder: Path) -> None:
    model = mlp()
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    error, document, _ = failed(folder, saved(folder, mlp(), model))
    assert "does not run on x [2, 4]" in error.what
    assert error.where.endswith("rewritten.onnx")
    assert not document["passed"]
    assert [step["step"] for step in document["steps"]] == ["export"]


def test_outputs_that_surgery_made_are_compared_from_then_on(folder: Path) -> None:
    renamed = mlp(output="scores")
    made = verify_context(folder, saved(folder, mlp(), renamed, renamed))
    verify.run(made)
    steps = document_of(made)["steps"]
    assert steps[1]["not_comparable"] == ["scores"]
    assert steps[1]["missing"] == ["logits"]
    assert steps[1]["outputs"] == []
    assert steps[2]["outputs"][0]["against"] == "surgery"
    assert isinstance(made.reporter, Recorder)
    assert "has no output 'scores'" in made.reporter.warnings[0]
    wrong = mlp(WEIGHT + 1, output="scores")
    error, _, _ = failed(folder, saved(folder, mlp(), renamed, wrong))
    assert error.what.startswith("fp32 does not pass: quantize: output 'scores'")


def test_an_input_that_surgery_made_is_taken_from_the_dataset(folder: Path) -> None:
    model = mlp()
    model.graph.input[0].name = model.graph.node[0].input[0] = "label2"
    error, _, _ = failed(folder, saved(folder, mlp(), model))
    assert error.what == (
        "surgery cannot be compared: its graph takes 'label2' (did you mean 'label'?), "
        "for which the dataset has no values"
    )


def test_an_extra_of_the_dataset_feeds_an_input_that_surgery_made(folder: Path) -> None:
    node = helper.make_node("Cast", ["label"], ["y"], "cast", to=onnx.TensorProto.FLOAT)
    graph = helper.make_graph(
        [node],
        "inner",
        [helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n"])],
    )
    inner = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    document = run_verify(folder, saved(folder, mlp(), inner, inner))
    assert [step["cases"] for step in document["steps"]] == [6, 3, 3]


def test_a_graph_with_plugins_is_left_to_the_gpu_and_said(folder: Path) -> None:
    made = verify_context(folder, saved(folder, mlp(), with_plugin()))
    verify.run(made)
    step = document_of(made)["steps"][1]
    assert step["passed"] is None
    assert step["note"].startswith("not run: onnxruntime cannot load the model")
    assert isinstance(made.reporter, Recorder)
    assert "surgery is not compared on this machine" in made.reporter.warnings[0]


def test_where_nothing_can_be_compared_that_is_neither_passed_nor_failed(tmp_path: Path) -> None:
    path = save(with_plugin(), tmp_path / "model.onnx")
    run_reference(tmp_path, {"onnx": path, "exported": path})
    metrics = {"accuracy": {"kind": "top1", "output": "logits", "labels": "label", "min": 0.8}}
    made = verify_context(tmp_path, {"exported": path}, metrics=metrics)
    verify.run(made)
    document = document_of(made)
    assert document["passed"] is None
    assert document["failures"] == []
    assert [step["passed"] for step in document["steps"]] == [None]
    assert isinstance(made.reporter, Recorder)
    assert made.reporter.warnings[-1] == (
        "no step runs on this machine: its metrics are not evaluated"
    )


def test_an_fp16_variant_without_fp16_fails_and_the_share_is_named(folder: Path) -> None:
    error, document, _ = failed(folder, saved(folder, mlp(), mlp(), mlp()), precision="fp16")
    assert error.what == (
        "fp16 does not pass: none of the nodes of the graph computes in fp16: 2 of 2 in fp32"
    )
    assert document["precision_obtained"] == {"graph": {"fp32": 2}}
    assert all(step["passed"] for step in document["steps"])


def test_what_the_engine_is_made_of_is_reported(folder: Path) -> None:
    info = folder / "build.json"
    info.write_text(json.dumps({"inputs": [], "tensor_types": {"float16": 3}}))
    models = {**saved(folder, mlp(), mlp(), in_float16()), "info": info}
    document = run_verify(folder, models, precision="fp16")
    assert document["precision_obtained"] == {"graph": {"fp16": 2}, "engine": {"fp16": 3}}


def test_an_engine_whose_network_lacks_the_type_fails_and_the_share_is_named(folder: Path) -> None:
    info = folder / "build.json"
    info.write_text(json.dumps({"inputs": [], "tensor_types": {"float32": 5, "int64": 1}}))
    models = {**saved(folder, mlp(), mlp(), in_float16()), "info": info}
    error, _, _ = failed(folder, models, precision="fp16")
    assert error.what == (
        "fp16 does not pass: none of the tensors of the engine's network is in fp16: "
        "5 of 6 in fp32, 1 of 6 in int64"
    )


def test_nothing_is_said_of_the_precision_where_a_step_before_it_is_off(folder: Path) -> None:
    models = saved(folder, mlp(), off_by(1.5), in_float16(WEIGHT * np.float32(1.5)))
    error, document, _ = failed(folder, models, precision="fp16")
    assert error.what.startswith("fp16 does not pass: surgery: ")
    assert "most is lost" not in error.hint
    assert document["keep_fp32"] == []


@pytest.mark.parametrize("tolerance", [{}, {"max_abs": 1e-5}])
def test_no_nodes_are_named_where_integers_flip(
    tmp_path: Path, tolerance: dict[str, float]
) -> None:
    def choosing(model: onnx.ModelProto) -> onnx.ModelProto:
        model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["best"], "best", axis=1))
        best = helper.make_tensor_value_info("best", onnx.TensorProto.INT64, ["batch", 1])
        model.graph.output.append(best)
        return model

    near = WEIGHT[:, :1] * np.array([1, 1 + 1e-5, 1 - 1e-5], np.float32)
    models = saved(tmp_path, choosing(mlp(near)), choosing(mlp(near)), choosing(in_float16(near)))
    run_reference(tmp_path, {"onnx": models["exported"], "exported": models["exported"]})
    error, document, _ = failed(tmp_path, models, precision="fp16", tolerance=tolerance)
    assert error.what.startswith("fp16 does not pass: quantize: output 'best' has ")
    assert "integers flip in 'best'" in error.hint
    assert "most is lost" not in error.hint
    assert document["losses"]
    assert document["keep_fp32"] == []


def test_bfloat16_outputs_are_compared(tmp_path: Path) -> None:
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["y"], "add")],
        "double",
        [helper.make_tensor_value_info("x", onnx.TensorProto.BFLOAT16, ["n", 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.BFLOAT16, ["n", 4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path = save(model, tmp_path / "model.onnx")
    x = {"name": "x", "dtype": "bfloat16", "min": [1, 4], "opt": [2, 4], "max": [3, 4]}
    made = run_reference(tmp_path, {"onnx": path, "exported": path}, inputs=[x])
    case = CaseReader(made.outputs / "reference.json")[0]
    assert case.outputs["y"].dtype == ml_dtypes.bfloat16
    document = run_verify(tmp_path, {"exported": path, "rewritten": path}, inputs=[x])
    assert document["steps"][1]["outputs"][0]["metrics"]["max_abs"] == 0


@pytest.mark.gpu
@pytest.mark.skipif(not probe().devices, reason=probe().reason)
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_engine_is_the_last_step_on_a_machine_with_a_gpu(folder: Path, factor: float) -> None:
    from trtbuild.stages import build

    models = saved(folder, mlp(), mlp())
    built = folder / "built.onnx"
    save(off_by(factor), built)
    options = {
        "backend": BACKEND,
        "precision": "fp32",
        "inputs": [X],
        "workspace": None,
        "optimization_level": None,
        "compute_capabilities": [],
        "tf32": False,
    }
    made = context(folder, "build", options, {"model": built})
    build.run(made)
    models["engine"], models["info"] = made.outputs / "engine.plan", made.outputs / "build.json"
    changed = {"gpu": True, "backend": BACKEND, "metrics": {"accuracy": TOP1}}
    if factor == 1:
        document = run_verify(folder, models, **changed)
    else:
        error, document, _ = failed(folder, models, **changed)
        assert error.what.startswith("fp32 does not pass: engine: output 'logits' has snr_db = ")
    assert document["engine"] == "compared"
    assert [step["step"] for step in document["steps"]] == ["export", "surgery", "engine"]
    assert document["steps"][2]["outputs"][0]["previous"]["max_abs"] >= 0
    assert document["metrics"]["accuracy"]["step"] == "engine"


def test_a_source_that_varies_is_named_as_the_cause(folder: Path) -> None:
    path = folder / "reference" / "reference.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "varying": ["logits"]}))
    error, _, _ = failed(folder, saved(folder, off_by(1.5)))
    assert error.hint.startswith("the source model itself gives other values each time")
