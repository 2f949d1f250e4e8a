"""The quantize stage in int8 and int4: tables, calibration data, and what is left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.precision.nets import images, linear, residual, rows
from tests.stages.quantize.nets import perceptron
from tests.stages.quantize.staging import Stage, X, declaration
from trtbuild.errors import StageError

INT4: dict[str, Any] = {"precision": "int4", "base": "fp32", "block_size": 32}
IMAGES = [declaration("x", 16, 8, 8)]


@pytest.mark.parametrize(
    ("precision", "base", "nodes", "tool"),
    [
        ("int8", "fp32", {"fp32": 3, "int8": 4}, "trtbuild"),
        ("int8", "fp16", {"fp16": 3, "fp32": 0, "int8": 4}, "modelopt"),
        ("fp8", "bf16", {"bf16": 3, "fp32": 0, "fp8": 4}, "modelopt"),
    ],
)
def test_a_calibration_table_becomes_q_dq_on_every_base(
    stage: Stage, precision: str, base: str, nodes: dict[str, int], tool: str
) -> None:
    stage.calibrate({"x": 4.0, "r1": 5.0, "f": 1.0})
    _, document = stage.run(residual(), IMAGES, [images()], precision=precision, base=base)
    assert document["nodes"] == nodes
    assert document["base"] == base
    assert document["tool"].startswith(tool)
    assert document["quantized"]["nodes"] == 4
    assert document["quantized"]["left_out"] == []


def test_what_is_left_out_of_int8_is_listed_with_the_reason(stage: Stage) -> None:
    stage.calibrate({"x": 4.0, "r1": 5.0})
    _, document = stage.run(
        residual(), IMAGES, precision="int8", exclude=["conv2"], op_types=["Conv", "Gemm"]
    )
    assert document["quantized"]["left_out"] == [
        {"node": "conv2", "op_type": "Conv", "reason": "excluded by the recipe"},
        {"node": "gemm", "op_type": "Gemm", "reason": "not in the calibration table"},
    ]
    assert document["nodes"] == {"fp32": 6, "int8": 1}


def test_int8_on_float32_asks_for_no_reference(stage: Stage) -> None:
    stage.calibrate({"x": 4.0, "r1": 5.0, "f": 1.0})
    stage.run(residual(), IMAGES, precision="int8")
    assert stage.reporter.warnings == []


def test_int4_weights_are_found_on_the_calibration_data(stage: Stage) -> None:
    np.savez(stage.folder / "data.npz", **rows(64))
    _, document = stage.run(
        linear(),
        [declaration("x", 128)],
        [rows(4)],
        precision="int4",
        base="fp16",
        method="awq_clip",
        block_size=32,
        calibration={"dataset": {"kind": "npz"}, "samples": 64, "batch": 4},
    )
    assert document["nodes"] == {"fp16": 3, "fp32": 0, "int4": 3}
    assert document["calibration"] == {"method": "awq_clip", "samples": 64, "source": "npz"}
    assert any("awq_clip, sample 64 of 64" in line for line in stage.reporter.lines)


def test_int4_needs_the_samples_that_are_asked_for(stage: Stage) -> None:
    np.savez(stage.folder / "data.npz", **rows(64))
    calibration = {"dataset": {"kind": "npz"}, "samples": 100}
    with pytest.raises(StageError) as caught:
        stage.run(linear(), [declaration("x", 128)], **INT4, calibration=calibration)
    assert caught.value.what == "100 samples are asked for, but the dataset gives 64"
    assert caught.value.where == "calibration.samples"


@pytest.mark.parametrize("method", ["awq_lite", "awq_clip", "awq_full"])
def test_few_samples_for_int4_are_a_warning_said_once(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr("trtbuild.precision.moments.BUDGET", 1)  # reads the data for each tensor
    np.savez(stage.folder / "data.npz", **rows(64))
    calibration = {"dataset": {"kind": "npz"}, "samples": 2}
    stage.run(linear(), [declaration("x", 128)], **INT4, method=method, calibration=calibration)
    assert stage.reporter.warnings == [
        f"2 samples are few for {method}: scales settle from about 32 on"
    ]
    assert len([line for line in stage.reporter.lines if "sample 2 of 2" in line]) > 1


def test_int4_on_random_values_is_told(stage: Stage) -> None:
    calibration = {"dataset": {"kind": "random", "seed": 0}, "samples": 64}
    _, document = stage.run(linear(), [declaration("x", 128)], **INT4, calibration=calibration)
    assert stage.reporter.warnings == [
        "calibrated on random values, as the recipe says: the scales are those of noise"
    ]
    assert document["calibration"]["source"] == "random"


def test_int4_rounded_to_nearest_needs_no_data_and_names_none(stage: Stage) -> None:
    _, document = stage.run(linear(), [declaration("x", 128)], **INT4, method="rtn")
    assert stage.reporter.warnings == []
    assert "calibration" not in document


@pytest.mark.parametrize(("precision", "base"), [("fp16", None), ("int8", "fp16")])
def test_that_no_node_is_in_the_base_is_said_with_the_reason(
    stage: Stage, precision: str, base: str | None
) -> None:
    model, case = perceptron(20_000.0)
    stage.calibrate({"x": 20_000.0, "r": 20_000.0})
    _, document = stage.run(model, X, [case], precision=precision, base=base)
    fp32 = 3 if base is None else 1
    assert document["nodes"] == {"fp16": 0, "fp32": 3} if base is None else {"fp32": 1, "int8": 2}
    assert {kept["reason"] for kept in document["kept_fp32"]} == {"range"}
    told, nowhere = stage.reporter.warnings
    assert "3 of 3 nodes stay in fp32" in told
    assert "the furthest is 'y' with 2.6" in told
    assert nowhere == (
        f"no node of the graph is in fp16, and {fp32} of 3 are in fp32: `kept_fp32` in "
        "quantize.json says why"
    )
