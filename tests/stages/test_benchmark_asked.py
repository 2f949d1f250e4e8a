"""What the benchmark stage does with what it is asked for, on a pretended GPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.stages.pretended import Clock, Native, engine, measured, pretend
from trtbuild.benchmark.gates import Outcome, judge
from trtbuild.cuda.errors import CudaError
from trtbuild.errors import StageError
from trtbuild.recipe.gates import parse_gates
from trtbuild.recipe.schema import schema_text

TWO = {
    "inputs": [
        {"name": "x", "min": [1, 4], "opt": [2, 4], "max": [8, 4]},
        {"name": "mask", "min": [1, 4], "opt": [3, 4], "max": [8, 4]},
    ]
}


@pytest.fixture(autouse=True)
def pretended(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch)


def regression(document: Any) -> tuple[Outcome, str]:
    """What a gate of 5 % comes to; the document is as its schema says."""
    jsonschema.validate(document, json.loads(schema_text("benchmark.schema.json")))
    (judgement,) = judge(document, parse_gates({"regression": "5%"}))
    return judgement.outcome, judgement.message


def test_the_engine_beside_a_faster_one_is_a_regression(tmp_path: Path) -> None:
    document, _ = measured(tmp_path, engine(ms=2.0), {"accepted": engine(ms=1.0)})
    assert document["points"][0]["regression"]["estimate"] == pytest.approx(2)
    assert regression(document)[0] is Outcome.FAILED


@pytest.mark.parametrize(
    ("accepted", "why"),
    [
        (engine(most=8), "'x' is [16, 4], from [1, 4] to [8, 4] is built"),
        (engine("image", most=16), "image"),
        (engine(most=16, streamed=0), "this engine cannot stream its weights"),
    ],
)
def test_an_accepted_engine_that_takes_other_inputs_keeps_no_time_from_being_measured(
    tmp_path: Path, accepted: dict[str, Any], why: str
) -> None:
    budget = {"weight_streaming_budget": "100%"} if "streamed" in accepted else {}
    plan = engine(most=16, streamed=1000)
    points = [{"name": "max", "shapes": {"x": [16, 4]}}]
    document, warnings = measured(tmp_path, plan, {"accepted": accepted}, points=points, **budget)
    assert document["points"][0]["metrics"]["gpu_compute"]["median"] > 0
    outcome, message = regression(document)
    assert outcome is Outcome.UNCLEAR
    assert why in message
    assert "trtbuild accept" in message
    assert any(why in warning for warning in warnings)


def test_an_accepted_engine_without_room_loses_no_measurement(tmp_path: Path) -> None:
    points = [{"name": str(rows), "shapes": {"x": [rows, 4]}} for rows in (1, 2)]
    accepted = engine(fails=2)
    document, warnings = measured(tmp_path, engine(), {"accepted": accepted}, points=points)
    assert [native.plan for native in Native.loaded] == [engine(), accepted]
    for point in document["points"]:
        assert point["metrics"]["gpu_compute"]["median"] > 0
        assert "out of memory" in point["regression_missing"]
    assert sum("the accepted engine is not run" in warning for warning in warnings) == 2


def test_a_gpu_that_is_lost_beside_the_accepted_engine_is_no_reason_but_the_end(
    tmp_path: Path,
) -> None:
    with pytest.raises(CudaError):
        measured(tmp_path, engine(), {"accepted": engine(fails=719)})


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        ([9, 4], r"the shapes of 'late' are outside optimization profile 0: 'x' is \[9, 4\]"),
        ([10**19, 4], "outside optimization profile 0"),
        ([2, 4, 1], "of rank 3 instead of 2"),
    ],
)
def test_shapes_are_looked_at_before_anything_is_measured(
    tmp_path: Path, shape: list[int], why: str
) -> None:
    points = [{"name": "good", "shapes": {"x": [2, 4]}}, {"name": "late", "shapes": {"x": shape}}]
    before = Clock.ms
    with pytest.raises(StageError, match=why):
        measured(tmp_path, engine(), points=points)
    assert Clock.ms == before


def test_a_file_of_other_shapes_is_told_before_anything_is_measured(tmp_path: Path) -> None:
    np.save(tmp_path / "values.npy", np.zeros((2, 4), np.float32))
    points = [{"name": str(rows), "shapes": {"x": [rows, 4]}} for rows in (2, 3)]
    before = Clock.ms
    with pytest.raises(StageError, match=r"'x' is \[2, 4\] in this file, \[3, 4\] is measured"):
        measured(tmp_path, engine(), {"input.x": tmp_path / "values.npy"}, points=points)
    assert Clock.ms == before


def test_an_accepted_engine_runs_under_the_same_weight_streaming_budget(tmp_path: Path) -> None:
    plan = engine(ms=1.0, streamed=1000)
    accepted = {**plan, "built": "before"}
    document, _ = measured(tmp_path, plan, {"accepted": accepted}, weight_streaming_budget="0%")
    assert document["points"][0]["regression"]["estimate"] == pytest.approx(1)


def test_an_input_without_a_shape_has_the_opt_shape_of_the_profile(tmp_path: Path) -> None:
    points = [{"name": "x:4x4", "shapes": {"x": [4, 4]}}]
    document, _ = measured(tmp_path, TWO, points=points)
    assert document["points"][0]["shapes"] == {"x": [4, 4], "mask": [3, 4]}


def test_shapes_and_files_of_unknown_inputs_are_refused(tmp_path: Path) -> None:
    points = [{"name": "odd", "shapes": {"x": [4, 4], "masc": [4, 4]}}]
    with pytest.raises(StageError, match=r"no input masc\. Did you mean 'mask'\?") as caught:
        measured(tmp_path, TWO, points=points)
    assert caught.value.hint == "it takes x and mask"
    np.save(tmp_path / "values.npy", np.zeros((2, 4), np.float32))
    with pytest.raises(StageError, match="no input typo"):
        measured(tmp_path, engine(), {"input.typo": tmp_path / "values.npy"})


def test_inputs_of_the_recipe_that_surgery_removed_are_left_aside(tmp_path: Path) -> None:
    inputs = [{"name": name, "opt": [2, 4]} for name in ("x", "gone")]
    points = [{"name": "opt", "shapes": {"x": [2, 4], "gone": [2, 4]}}]
    document, _ = measured(tmp_path, engine(), inputs=inputs, points=points)
    assert document["points"][0]["shapes"] == {"x": [2, 4]}


@pytest.mark.parametrize("name", ["x", "image"])  # before surgery, and after it
def test_a_graph_gets_the_engines_inputs_by_its_own_names(tmp_path: Path, name: str) -> None:
    value = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])
    graph = helper.make_graph([helper.make_node("Neg", [name], ["y"])], "g", [value], [result])
    onnx.save(helper.make_model(graph, ir_version=8), tmp_path / "model.onnx")
    document, warnings = measured(
        tmp_path,
        engine("image"),
        {"model": tmp_path / "model.onnx"},
        renames={"x": "image"},
        baselines=[{"kind": "onnxruntime", "provider": "cpu", "threads": 1, "graph": "model"}],
    )
    (other,) = document["points"][0]["baselines"]["others"]
    assert other["name"] == "ONNX Runtime CPU"
    assert not any("left out" in warning for warning in warnings)
