"""The quantize stage, run as the child process runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from onnx.reference import ReferenceEvaluator

from tests.precision.nets import (
    Recorder,
    attention,
    images,
    linear,
    make,
    normalisation,
    overflowing,
    residual,
    rows,
    weights,
)
from trtbuild.errors import MissingPackage, StageError
from trtbuild.model.cases import Case, CaseWriter
from trtbuild.model.inputs import Arrays
from trtbuild.precision.table import Table, write_table
from trtbuild.stages import quantize
from trtbuild.stages.base import StageContext


def declaration(name: str, *shape: int) -> dict[str, Any]:
    """An input as a stage's options hold it."""
    sizes = {"min": [1, *shape], "opt": [2, *shape], "max": [4, *shape]}
    return {"name": name, "dtype": "float32", "dims": None, "range": None, **sizes}


def write_reference(folder: Path, cases: list[Arrays]) -> Path:
    """A reference artifact without outputs, which quantize does not read."""
    path = folder / "reference.json"
    with CaseWriter(path) as writer:
        for case in cases:
            writer.add("data", Case(case, {}))
        writer.finish("onnx", {"kind": "npz", "note": "test"})
    return path


class Stage:
    """The stage with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()
        self.roles: dict[str, Path] = {}

    def calibrate(self, amax: dict[str, float]) -> None:
        """Give the stage a calibration table."""
        self.roles["calibration"] = self.folder / "calibration.json"
        write_table(Table("minmax", 1, "test", amax), self.roles["calibration"])

    def run(
        self,
        model: onnx.ModelProto,
        inputs: list[dict[str, Any]],
        cases: list[Arrays] | None = None,
        **options: Any,
    ) -> tuple[onnx.ModelProto, dict[str, Any]]:
        """The written model and quantize.json."""
        onnx.save(model, self.folder / "source.onnx")
        outputs = self.folder / "outputs"
        outputs.mkdir(exist_ok=True)
        roles = {"model": self.folder / "source.onnx", **self.roles}
        if (self.folder / "data.npz").exists():
            roles["dataset"] = self.folder / "data.npz"
        if cases is not None:
            roles["reference"] = write_reference(self.folder, cases)
        quantize.run(
            StageContext(
                {"precision": "fp16", "inputs": inputs, **options},
                roles,
                outputs,
                self.folder,
                self.reporter,
            )
        )
        document = json.loads((outputs / "quantize.json").read_text())
        return onnx.load(outputs / "model.onnx"), document


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


X = [declaration("x", 8)]
CASES = [{"x": np.random.default_rng(7).standard_normal((4, 8)).astype(np.float32)}]


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    """Element types of inputs and outputs."""
    values = (*model.graph.input, *model.graph.output)
    return {value.name: value.type.tensor_type.elem_type for value in values}


def evaluate(model: onnx.ModelProto, case: Arrays) -> np.ndarray:
    """The first output in the types that the graph says, which onnxruntime does not keep to."""
    return np.asarray(ReferenceEvaluator(model).run(None, case)[0])


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
        "from tests.stages.test_quantize import *\n"
        "Stage(Path(sys.argv[1])).run(overflowing(), X, CASES)\n"
    )
    other = stage.folder / "other"
    other.mkdir()
    subprocess.run(
        [sys.executable, "-c", script, str(other)],
        check=True,
        cwd=Path(__file__).parents[2],
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


INT4: dict[str, Any] = {"precision": "int4", "base": "fp32", "block_size": 32}


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


def upscaling() -> onnx.ModelProto:
    """A transposed convolution, which TensorRT-RTX cannot build in bfloat16, and a ReLU."""
    return make(
        [
            helper.make_node("ConvTranspose", ["x", "w"], ["u"], "up", strides=[2, 2]),
            helper.make_node("Relu", ["u"], ["y"], "relu"),
        ],
        {"x": ["n", 4, 4, 4]},
        ["y"],
        {"w": weights(4, 4, 2, 2)},
    )


def layer_norm() -> onnx.ModelProto:
    """Layer normalisation in small operators, as exporters below opset 17 write it."""
    mean = {"axes": [-1], "keepdims": 1}
    return make(
        [
            helper.make_node("ReduceMean", ["x"], ["m"], "mean", **mean),
            helper.make_node("Sub", ["x", "m"], ["d"], "sub"),
            helper.make_node("Pow", ["d", "two"], ["p"], "pow"),
            helper.make_node("ReduceMean", ["p"], ["v"], "variance", **mean),
            helper.make_node("Add", ["v", "eps"], ["e"], "add_eps"),
            helper.make_node("Sqrt", ["e"], ["s"], "sqrt"),
            helper.make_node("Div", ["d", "s"], ["n"], "div"),
            helper.make_node("Mul", ["n", "scale"], ["g"], "scale"),
            helper.make_node("Add", ["g", "bias"], ["b"], "bias"),
            helper.make_node("MatMul", ["b", "w"], ["y"], "matmul"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {
            "two": np.float32(2),
            "eps": np.float32(1e-5),
            "scale": np.ones(8, np.float32),
            "bias": np.zeros(8, np.float32),
            "w": weights(8, 8),
        },
        opset=17,
    )


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


def perceptron(scale: float) -> tuple[onnx.ModelProto, Arrays]:
    """A product, a ReLU and another product, and a case whose input reaches the scale."""
    model = make(
        [
            helper.make_node("MatMul", ["x", "w1"], ["h"], "first"),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("MatMul", ["r", "w2"], ["y"], "second"),
        ],
        {"x": ["n", 8]},
        ["y"],
        {"w1": np.eye(8, dtype=np.float32), "w2": weights(8, 4)},
    )
    return model, {"x": np.linspace(-scale, scale, 32, dtype=np.float32).reshape(4, 8)}


def test_large_values_that_fit_are_computed_in_float16(stage: Stage) -> None:
    model, case = perceptron(10_000.0)
    cast, document = stage.run(model, X, [case])
    assert document["nodes"] == {"fp16": 3, "fp32": 0}
    assert stage.reporter.warnings == []
    expected = evaluate(model, case)
    assert np.abs(evaluate(cast, case) - expected).max() < 2e-3 * np.abs(expected).max()


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
