"""ONNX models, which keep what they have."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.published import MODELS, needs_models
from tests.stages.export.staging import Stage, declared, opset_of, signature
from trtbuild.errors import StageError


def chain(**properties: str) -> onnx.ModelProto:
    """ids [n, m] and scale [n, m] -> "used" by a Gather, and "scaled"."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["used"], name="look-up"),
        helper.make_node("Mul", ["scale", "scale"], ["scaled"], name="square"),
    ]
    values = [
        helper.make_tensor_value_info(name, kind, dims)
        for name, kind, dims in (
            ("ids", TensorProto.INT64, ["n", "m"]),
            ("scale", TensorProto.FLOAT, ["n", 3]),
            ("used", TensorProto.FLOAT, ["n", "m", 4]),
            ("scaled", TensorProto.FLOAT, ["n", 3]),
        )
    ]
    table = numpy_helper.from_array(np.ones((10, 4), np.float32), "table")
    graph = helper.make_graph(nodes, "g", values[:2], values[2:], [table])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    for key, text in properties.items():
        model.metadata_props.add(key=key, value=text)
    return model


IDS = declared("ids", [1, 1], [8, 16], "int64", range=[0, 10])
SCALE = declared("scale", [1, 3], [8, 3])


def test_a_model_keeps_its_opset_names_and_metadata(stage: Stage) -> None:
    model = stage.onnx(chain(character="abc"), IDS, SCALE)
    assert (opset_of(model), model.ir_version) == (15, 8)
    assert signature(model) == {
        "ids": ["n", "m"], "scale": ["n", 3], "used": ["n", "m", 4], "scaled": ["n", 3],
    }  # fmt: skip
    assert [(p.key, p.value) for p in model.metadata_props] == [("character", "abc")]


def test_outputs_are_chosen_in_the_recipes_order_and_the_rest_is_cut(stage: Stage) -> None:
    both = stage.onnx(chain(), IDS, SCALE, outputs=("scaled", "used"))
    assert list(signature(both)) == ["ids", "scale", "scaled", "used"]
    one = stage.onnx(chain(character="abc"), IDS, SCALE, outputs=("scaled",))
    assert list(signature(one)) == ["ids", "scale", "scaled"]
    assert [node.name for node in one.graph.node] == ["square"]
    assert not one.graph.initializer
    assert one.metadata_props[0].value == "abc"


def test_an_output_that_is_an_input_is_refused(stage: Stage) -> None:
    model = chain()
    model.graph.output.append(next(v for v in model.graph.input if v.name == "scale"))
    with pytest.raises(StageError) as raised:
        stage.onnx(model, IDS, SCALE)
    assert raised.value.what.startswith("the output 'scale' is the input of that name")
    assert raised.value.hint == "name the other outputs in the recipe: outputs: [used, scaled]"


def test_an_unknown_output_is_refused(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.onnx(chain(), IDS, SCALE, outputs=("scald", "used"))
    assert raised.value.what == "the model has no output 'scald' (did you mean 'scaled'?)"


def test_static_sizes_and_names_of_the_recipe_are_written_everywhere(stage: Stage) -> None:
    ids = declared("ids", [4, 1], [4, 16], "int64", dims=[None, "tokens"], range=[0, 10])
    model = stage.onnx(chain(), ids, declared("scale", [4, 3]))
    assert signature(model) == {
        "ids": [4, "tokens"], "scale": [4, 3], "used": [4, "tokens", 4], "scaled": [4, 3],
    }  # fmt: skip


def test_all_that_does_not_fit_is_listed_at_once(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.onnx(
            chain(),
            declared("ids", [1, 1, 1], [8, 16, 1], "int32"),
            declared("scales", [1, 3], [8, 3]),
        )
    assert raised.value.where == str(stage.folder / "source.onnx")
    assert raised.value.what == (
        "the recipe's inputs do not fit the model:\n"
        "  - inputs.ids.dtype: int32, in the model int64\n"
        "  - inputs.ids: 3 dimensions, in the model 2 [n, m]\n"
        "  - inputs.scales: the model has no such input (did you mean 'scale'?)\n"
        "  - inputs: the model's input 'scale' (float32 [n, 3]) is missing"
    )
    assert raised.value.hint == "the model takes ids: int64 [n, m]; scale: float32 [n, 3]"


def test_contradicting_sizes_are_listed(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.onnx(chain(), IDS, declared("scale", [2, 3], [8, 5]))
    assert raised.value.what == (
        "the recipe's inputs do not fit the model:\n"
        "  - inputs.scale: axis 0 is 2 to 8, axis 0 of 'ids' 1 to 8; in the model both are 'n'\n"
        "  - inputs.scale: axis 1 is 3 to 5, in the model 3"
    )


def test_a_truncated_model_is_refused_with_its_name(stage: Stage) -> None:
    path = stage.folder / "cut.onnx"
    path.write_bytes(chain().SerializeToString()[:-40])
    with pytest.raises(StageError) as raised:
        stage.onnx(path, IDS, SCALE)
    assert raised.value.where == str(path)
    assert "cut off" in raised.value.what


def test_missing_external_data_is_named(stage: Stage) -> None:
    path = stage.folder / "split.onnx"
    onnx.save(chain(), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert stage.onnx(path, IDS, SCALE).graph.initializer[0].raw_data
    (stage.folder / "weights.bin").unlink()
    with pytest.raises(StageError) as raised:
        stage.onnx(path, IDS, SCALE)
    assert "external data file 'weights.bin' cannot be read" in raised.value.what


def test_an_invalid_graph_is_refused_with_its_node(stage: Stage) -> None:
    model = chain()
    model.graph.node[0].input[0] = "nowhere"
    with pytest.raises(StageError) as raised:
        stage.onnx(model, IDS, SCALE)
    assert "onnx.checker refuses the model" in raised.value.what
    assert "look-up" in raised.value.what


def test_an_operator_that_the_cpu_lacks_is_a_warning(stage: Stage) -> None:
    model = chain()
    model.graph.node[1].domain = "trt.plugins"
    model.opset_import.append(helper.make_opsetid("trt.plugins", 1))
    stage.onnx(model, IDS, SCALE)
    (warning,) = stage.reporter.warnings
    assert warning.startswith("not run at min and max: onnxruntime cannot load the model")


def test_values_that_a_range_allows_and_the_model_does_not_are_found(stage: Stage) -> None:
    with pytest.raises(StageError, match=r"does not run on ids \[1, 1\]"):
        stage.onnx(chain(), {**IDS, "range": [10, 12]}, SCALE)


@needs_models
@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("basic_pitch", [declared("serving_default_input_2:0", [1, 43844, 1], [2, 43844, 1])]),
        ("magika", [declared("bytes", [1, 2048], [4, 2048], "int32", range=[0, 257])]),
        ("ppocr4_rec", [declared("x", [1, 3, 48, 32], [2, 3, 48, 320])]),
        (
            "silero_vad_seq",
            [
                declared("input", [1, 576], [64, 576]),
                declared("h", [1, 1, 128]),
                declared("c", [1, 1, 128]),
            ],
        ),
    ],
)
def test_published_models_are_exported_unchanged(
    stage: Stage, name: str, inputs: list[dict[str, Any]]
) -> None:
    source = onnx.load(MODELS / f"{name}.onnx")
    model = stage.onnx(MODELS / f"{name}.onnx", *inputs)
    assert [n.op_type for n in model.graph.node] == [n.op_type for n in source.graph.node]
    assert model.graph.initializer == source.graph.initializer
    assert model.metadata_props == source.metadata_props


@needs_models
def test_an_output_that_is_no_tensor_is_named_with_its_operator(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.onnx(MODELS / "logreg_iris.onnx", declared("float_input", [3, 2]))
    assert "'probabilities' is a sequence, made by ZipMap" in raised.value.what
    assert "outputs: [label]" in raised.value.hint
