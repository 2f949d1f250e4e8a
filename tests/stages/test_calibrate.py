"""The calibrate stage, run as the child process runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.precision.nets import Recorder, attention, residual
from trtbuild.errors import StageError
from trtbuild.precision.table import read_cache
from trtbuild.stages import calibrate
from trtbuild.stages.base import StageContext

X = {
    "name": "x",
    "dtype": "float32",
    "min": [1, 16, 8, 8],
    "opt": [4, 16, 8, 8],
    "max": [8, 16, 8, 8],
}


class Stage:
    """The stage with a folder of its own, and a dataset of 40 samples in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.outputs = folder / "outputs"
        self.outputs.mkdir()
        self.reporter = Recorder()
        values = np.random.default_rng(4).standard_t(4, size=(40, 16, 8, 8))
        np.savez(folder / "data.npz", x=values.astype(np.float32))

    def run(
        self, model: onnx.ModelProto | None = None, table: str | None = None, **options: Any
    ) -> dict[str, Any]:
        """calibration.json."""
        onnx.save(model or residual(), self.folder / "model.onnx")
        roles = {"model": self.folder / "model.onnx", "dataset": self.folder / "data.npz"}
        if table is not None:
            roles["table"] = self.folder / "old.cache"
            roles["table"].write_text(table)
        given: dict[str, Any] = {"inputs": [X], "method": "minmax", "dataset": {"kind": "npz"}}
        calibrate.run(
            StageContext({**given, **options}, roles, self.outputs, self.folder, self.reporter)
        )
        document: dict[str, Any] = json.loads((self.outputs / "calibration.json").read_text())
        return document


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_the_table_says_the_method_the_samples_and_the_range_of_each_tensor(stage: Stage) -> None:
    document = stage.run()
    data = np.load(stage.folder / "data.npz")["x"]
    assert document["method"] == "minmax"
    assert document["samples"] == 40
    assert document["source"] == "npz"
    assert list(document["tensors"]) == ["x", "r1", "s", "f"]
    assert document["tensors"]["x"]["amax"] == pytest.approx(np.abs(data).max())


def test_the_cache_holds_the_same_ranges_in_tensorrts_format(stage: Stage) -> None:
    document = stage.run(method="entropy")
    cache = read_cache(stage.outputs / "calibration.cache").amax
    for name, item in document["tensors"].items():
        assert cache[name] == pytest.approx(item["amax"], rel=1e-6)
    assert (stage.outputs / "calibration.cache").read_text().startswith("TRT-")


def test_a_table_becomes_a_cache_and_a_cache_the_same_table(stage: Stage) -> None:
    first = stage.run(method="percentile", percentile=99.5)
    cache = (stage.outputs / "calibration.cache").read_text()
    second = stage.run(table=cache)
    assert second["method"] == "table"
    assert second["source"] == cache.splitlines()[0]
    for name, item in first["tensors"].items():
        assert second["tensors"][name]["amax"] == pytest.approx(item["amax"], rel=1e-6)
    assert stage.reporter.warnings == ["40 samples are few for percentile: " + SETTLE]


SETTLE = "ranges settle from about 100 on"


def test_progress_counts_samples(stage: Stage) -> None:
    stage.run(method="entropy", samples=10)
    assert stage.reporter.lines[-1] == "calibrating (entropy), sample 10 of 10"
    assert len(stage.reporter.lines) == 3  # batches of the opt shape: 4, 4, 2


def test_too_few_samples_for_the_method_is_a_warning(stage: Stage) -> None:
    stage.run(method="entropy")
    assert stage.reporter.warnings == ["40 samples are few for entropy: " + SETTLE]


def test_fewer_samples_than_asked_for_is_an_error(stage: Stage) -> None:
    with pytest.raises(StageError, match="50 samples are asked for, but the dataset gives 40"):
        stage.run(samples=50)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_samples_that_do_not_fill_a_batch_are_told_where_they_are_missed(
    stage: Stage, kind: str
) -> None:
    (stage.folder / "samples").mkdir()
    for index, values in enumerate(np.load(stage.folder / "data.npz")["x"]):
        np.save(stage.folder / f"samples/{index:02}.npy", values)
    static = {**X, "min": [16, 16, 8, 8], "opt": [16, 16, 8, 8], "max": [16, 16, 8, 8]}
    dataset = {"kind": kind, "npy": "samples"}
    with pytest.raises(StageError) as caught:
        stage.run(inputs=[static], dataset=dataset, samples=40)
    assert caught.value.what == (
        "40 samples are asked for, but the dataset gives 32: 8 more do not fill a batch of 16"
    )
    assert "a multiple of the batch" in caught.value.hint


def test_a_batch_that_the_model_does_not_take_is_named_by_its_own_key(stage: Stage) -> None:
    with pytest.raises(StageError, match="the batch 100 is outside") as caught:
        stage.run(batch=100)
    assert caught.value.where == "calibration.batch"


def test_random_values_are_taken_where_the_recipe_says_so_and_told(stage: Stage) -> None:
    document = stage.run(dataset={"kind": "random", "seed": 1}, samples=64)
    assert document["source"] == "random"
    assert "calibrated on random values" in stage.reporter.warnings[0]


def test_names_of_a_cache_that_the_graph_lacks_are_reported(stage: Stage) -> None:
    stage.run(table="TRT-8601-EntropyCalibration2\nx: 3c008912\nold_name: 3c008912\n")
    assert stage.reporter.warnings == [
        "1 names of the calibration table are not in the graph: 'old_name'",
        "3 tensors that could be quantized are not in the calibration table, so their nodes stay "
        "as they are: 'r1', 's', 'f'",
    ]


def test_a_scale_of_zero_in_a_cache_is_told(stage: Stage) -> None:
    lines = "".join(f"{name}: 3c008912\n" for name in ("x", "s", "f"))
    document = stage.run(table=f"TRT-8601-EntropyCalibration2\n{lines}r1: 00000000\n")
    assert document["tensors"]["r1"]["amax"] == 0
    assert stage.reporter.warnings == [
        "1 tensors have the scale 0 in the calibration table, as if they were zero throughout: 'r1'"
    ]


def test_a_cache_of_another_model_is_refused(stage: Stage) -> None:
    with pytest.raises(StageError) as caught:
        stage.run(table="TRT-8601-EntropyCalibration2\nimage: 3c008912\n")
    assert "the calibration table is of another model" in caught.value.what
    assert "'x', 'r1', 's', 'f'" in caught.value.hint


def test_a_model_with_nothing_to_quantize_is_refused(stage: Stage) -> None:
    with pytest.raises(StageError, match="no operator that TensorRT computes in 8 bits"):
        stage.run(attention())


def test_data_that_does_not_fit_is_refused_with_its_place(stage: Stage) -> None:
    np.savez(stage.folder / "data.npz", x=np.full((4, 16, 8, 8), np.nan, np.float32))
    with pytest.raises(StageError) as caught:
        stage.run()
    assert "input 'x' holds nan" in caught.value.what
    assert "data.npz, samples 0 to 3" in caught.value.where


def test_an_input_that_surgery_made_takes_its_values_from_the_dataset(stage: Stage) -> None:
    model = residual()
    model.graph.input.append(
        onnx.helper.make_tensor_value_info("gain", onnx.TensorProto.FLOAT, [1])
    )
    for node in model.graph.node:
        node.input[:] = ["gained" if name == "x" else name for name in node.input]
    model.graph.node.insert(0, onnx.helper.make_node("Mul", ["x", "gain"], ["gained"], "gain"))
    with pytest.raises(StageError) as raised:
        stage.run(model)
    assert raised.value.what == "there are no values for the graph's input 'gain'"
    values = np.load(stage.folder / "data.npz")["x"]
    np.savez(stage.folder / "data.npz", x=values, gain=np.full(1, 2, np.float32))
    largest = stage.run(model)["tensors"]["gained"]["amax"]
    assert largest == pytest.approx(2 * np.abs(values).max())
