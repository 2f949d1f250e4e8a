"""What must survive every operation, also in published models."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.published import MODELS, needs_models
from tests.stages.elsewhere import run_elsewhere
from tests.stages.surgery.staging import Stage, chain, dims, model_of, names, run_ort, value


def test_metadata_and_empty_attributes_survive(stage: Stage) -> None:
    model = model_of(
        [helper.make_node("Plugin", ["x"], ["y"], domain="my")], [value("x", 4)], [value("y", 4)]
    )
    model.graph.node[0].attribute.append(
        helper.make_attribute("axes", [], attr_type=onnx.AttributeProto.INTS)
    )
    model.metadata_props.add(key="character", value="abc")
    same = stage.run(model, {"op": "cleanup"})
    assert [(p.key, p.value) for p in same.metadata_props] == [("character", "abc")]
    assert same.graph.node[0] == model.graph.node[0]


def test_large_weights_survive_and_are_not_in_the_outline(stage: Stage) -> None:
    weight = np.random.default_rng(0).standard_normal((200, 200)).astype(np.float32)
    big = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["y"]), helper.make_node("Relu", ["y"], ["z"])],
        [value("x", "n", 200)],
        [value("z", "n", 200)],
        w=weight,
    )
    model = stage.run(
        big,
        {"op": "rename", "tensors": {"w": "weight"}},
        {"op": "extract", "inputs": ["x"], "outputs": ["y"]},
    )
    assert np.array_equal(numpy_helper.to_array(model.graph.initializer[0]), weight)
    assert dims(model.graph.output[0]) == ["n", 200]
    assert names(model.graph.input) == ["x"]


def test_old_models_whose_weights_are_inputs_are_rewritten(stage: Stage) -> None:
    old = chain()
    old.ir_version = 3
    old.graph.input.append(value("b", 4))
    model = stage.run(old, {"op": "cleanup"})
    assert (names(model.graph.input), model.ir_version) == (["x"], 4)


def test_outputs_that_are_no_tensors_are_refused(stage: Stage) -> None:
    model = chain()
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    model.graph.output[0].CopyFrom(sequence)
    error = stage.refused(model, {"op": "cleanup"})
    assert error.what.startswith("'y' is a sequence, not a tensor")


def test_the_bytes_depend_on_model_and_steps_only(stage: Stage, tmp_path: Path) -> None:
    steps = [
        {"op": "fold_constants"},
        {"op": "rename", "tensors": {"x": "image"}},
        {"op": "set_dims", "tensors": {"image": ["batch", None]}},
    ]
    stage.run(chain(), *steps)
    here = hashlib.sha256((tmp_path / "outputs" / "model.onnx").read_bytes()).hexdigest()
    code = f"""
import hashlib
from pathlib import Path
from tests.stages.surgery.staging import Stage, chain
folder = Path("elsewhere"); folder.mkdir()
Stage(folder).run(chain(), *{steps!r})
print(hashlib.sha256((folder / "outputs" / "model.onnx").read_bytes()).hexdigest())
"""
    assert run_elsewhere(code, tmp_path).splitlines()[-1] == here


def feeds(model: onnx.ModelProto, sizes: dict[str, list[int]]) -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    found = {}
    for item in model.graph.input:
        kind = helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
        shape = sizes[item.name]
        values = generator.standard_normal(shape) if kind == np.float32 else np.ones(shape)
        found[item.name] = values.astype(kind)
    return found


@needs_models
@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("basic_pitch", {"serving_default_input_2:0": [1, 43844, 1]}),
        ("magika", {"bytes": [2, 2048]}),
        ("paraphrase_minilm_l3", {"input_ids": [2, 8], "attention_mask": [2, 8]}),
        ("ppocr4_rec", {"x": [1, 3, 48, 64]}),
        ("silero_vad_seq", {"input": [4, 576], "h": [1, 1, 128], "c": [1, 1, 128]}),
        ("silero_vad_if", {"input": [2, 576], "state": [2, 2, 128], "sr": []}),
        ("wake_embedding", {"input_1": [2, 76, 32, 1]}),
    ],
)
def test_published_models_compute_the_same_after_folding(
    stage: Stage, name: str, sizes: dict[str, list[int]]
) -> None:
    before = onnx.load(MODELS / f"{name}.onnx")
    after = stage.run(
        MODELS / f"{name}.onnx",
        {"op": "fold_constants"},
        {"op": "cleanup"},
    )
    assert len(after.graph.node) <= len(before.graph.node)
    assert after.metadata_props == before.metadata_props
    inputs = feeds(before, sizes)
    for old, new in zip(run_ort(before, **inputs), run_ort(after, **inputs), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-4, atol=1e-5)


@needs_models
def test_numeric_and_colon_names_of_published_models_work(stage: Stage) -> None:
    model = stage.run(
        MODELS / "paraphrase_minilm_l3.onnx",
        {"op": "set_outputs", "outputs": ["onnx::Shape_422", "463"]},
        {"op": "rename", "tensors": {"463": "ids", "onnx::Shape_422": "tokens"}},
    )
    assert names(model.graph.output) == ["tokens", "ids"]
