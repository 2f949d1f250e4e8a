"""The sensitivity stage, run as the child process runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.precision.nets import Recorder, images, linear, overflowing, residual, rows
from tests.stages.quantize.nets import layer_norm
from trtbuild.errors import StageError
from trtbuild.model.cases import Case, CaseWriter
from trtbuild.model.inputs import Arrays
from trtbuild.precision.table import Table, write_table
from trtbuild.stages import sensitivity
from trtbuild.stages.base import StageContext

POOR = {"x": 4.0, "r1": 200.0, "f": 1.0}  # r1's range is far too large


class Stage:
    """The stage with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outputs = folder, folder / "outputs"
        self.outputs.mkdir()
        self.reporter = Recorder()

    def run(
        self,
        model: onnx.ModelProto,
        case: Arrays,
        known: dict[str, Any] | None = None,
        outputs: Arrays | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """sensitivity.json."""
        onnx.save(model, self.folder / "model.onnx")
        with CaseWriter(self.folder / "reference.json") as writer:
            writer.add("data", Case(case, outputs or {}))
            writer.finish("onnx", {"kind": "npz", "note": "test"})
        write_table(Table("minmax", 1, "test", POOR), self.folder / "calibration.json")
        np.savez(self.folder / "data.npz", **case)
        roles = {
            "model": self.folder / "model.onnx",
            "reference": self.folder / "reference.json",
            "calibration": self.folder / "calibration.json",
            "dataset": self.folder / "data.npz",
        }
        if known is not None:
            roles["known"] = self.folder / "known.json"
            roles["known"].write_text(json.dumps(known))
        shape = list(case["x"].shape)
        item = {"name": "x", "dtype": "float32", "min": shape, "opt": shape, "max": shape}
        sensitivity.run(
            StageContext(
                {"precision": "int8", "inputs": [item], **options},
                roles,
                self.outputs,
                self.folder,
                self.reporter,
            )
        )
        document: dict[str, Any] = json.loads((self.outputs / "sensitivity.json").read_text())
        return document


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_nodes_are_ranked_and_those_kept_reach_the_tolerance(stage: Stage) -> None:
    document = stage.run(residual(), images(), tolerance={"snr_db": 30.0})
    assert document["complete"]
    assert {probe["node"] for probe in document["probes"][:2]} == {"conv2", "sum"}
    assert set(document["keeping"]["nodes"]) == {"conv2", "sum"}
    assert document["keeping"]["enough"]
    kept = document["keeping"]["nodes"]
    again = stage.run(residual(), images(), document, tolerance={"snr_db": 30.0}, keep_fp32=kept)
    assert again["keeping"] == {"nodes": [], "enough": True, "settled": True}
    assert again["reused"] == again["nodes"] == 2  # what a node costs alone is known already


def test_a_tolerance_that_all_nodes_but_one_reach_is_not_called_impossible(stage: Stage) -> None:
    at_once = stage.run(residual(), images(), tolerance={"snr_db": 45.0})
    assert at_once["keeping"]["enough"]
    assert len(at_once["keeping"]["nodes"]) == at_once["nodes"] - 1
    assert at_once["fp32_passes"] is None  # nobody had to ask


def test_what_only_fp32_reaches_is_told_from_what_fp32_itself_misses(stage: Stage) -> None:
    reached = stage.run(residual(), images(), tolerance={"snr_db": 400.0})
    assert not reached["keeping"]["enough"]
    assert reached["keeping"]["settled"]
    assert reached["fp32_passes"] is True
    wrong = {"y": np.ones((4, 10), np.float32)}
    missed = stage.run(residual(), images(), outputs=wrong, tolerance={"snr_db": 30.0})
    assert not missed["keeping"]["enough"]
    assert missed["keeping"]["settled"]
    assert missed["fp32_passes"] is False


def test_nodes_whose_keeping_leaves_nothing_in_the_precision_are_no_success(stage: Stage) -> None:
    """All but one node of a layer normalisation, which is cast as one."""
    document = stage.run(
        layer_norm(), {"x": rows(4, 8)["x"]}, precision="fp16", tolerance={"snr_db": 400.0}
    )
    assert not document["keeping"]["enough"]
    assert document["keeping"]["settled"]
    assert document["fp32_passes"] is True


def test_a_recipe_that_leaves_nothing_in_the_precision_is_told_why(stage: Stage) -> None:
    keep = ["matmul", "relu", "add"]
    why = "no node to measure in fp16: 3 are kept in fp32 by `keep_fp32`; 4 .* for their values"
    with pytest.raises(StageError, match=why):
        stage.run(
            overflowing(), {"x": np.ones((2, 8), np.float32)}, precision="fp16", keep_fp32=keep
        )


def test_what_was_measured_before_is_not_measured_again(stage: Stage) -> None:
    first = stage.run(residual(), images())
    second = stage.run(residual(), images(), first, seconds=1e-9)
    assert second["probes"] == first["probes"]
    assert second["complete"]


def test_probes_of_other_data_are_not_taken(stage: Stage) -> None:
    first = stage.run(residual(), images())
    other = stage.run(residual(), images(seed=3), first, seconds=1e-9)
    assert other["probes"] == []
    assert not other["complete"]


def test_a_damaged_earlier_result_is_measured_again(stage: Stage) -> None:
    assert stage.run(residual(), images(), {"format": 1})["complete"]


def test_an_overflow_of_float16_is_not_among_what_would_be_cast(stage: Stage) -> None:
    case = {"x": np.ones((2, 8), np.float32)}
    document = stage.run(overflowing(), case, precision="fp16")
    assert {probe["node"] for probe in document["probes"]} == {"matmul", "relu", "add"}
    assert all(probe["snr_db"] > 50 for probe in document["probes"])


def test_int4_layers_are_measured_on_the_calibration_data(stage: Stage) -> None:
    document = stage.run(
        linear(),
        rows(),
        precision="int4",
        block_size=32,
        calibration={"dataset": {"kind": "npz"}, "samples": None, "batch": 32},
    )
    assert {probe["node"] for probe in document["probes"]} == {"query", "key", "out"}
    assert any(
        line.startswith("measuring activations for awq_clip") for line in stage.reporter.lines
    )


def test_float32_has_nothing_to_measure(stage: Stage) -> None:
    with pytest.raises(StageError, match="'fp32' has no nodes in low precision"):
        stage.run(residual(), images(), precision="fp32")


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"keep_fp32": ["*"]}, "7 are kept in fp32 by `keep_fp32`"),
        ({"keep_fp32": ["matmul", "relu", "add"]}, "4 are kept in fp32 for their values, the"),
    ],
)
def test_where_every_node_is_kept_there_is_nothing_to_measure(
    stage: Stage, options: dict[str, Any], why: str
) -> None:
    case = {"x": np.random.default_rng(7).standard_normal((4, 8)).astype(np.float32)}
    with pytest.raises(StageError, match="there is no node to measure in fp16") as caught:
        stage.run(overflowing(), case, precision="fp16", **options)
    assert why in caught.value.what
