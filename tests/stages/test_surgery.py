"""The surgery stage: every named operation, hooks, and what must survive both."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.precision.nets import Recorder
from tests.published import MODELS, needs_models
from trtbuild.errors import StageError
from trtbuild.stages import surgery
from trtbuild.stages.base import StageContext


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def model_of(
    nodes: list[onnx.NodeProto],
    inputs: list[onnx.ValueInfoProto],
    outputs: list[onnx.ValueInfoProto],
    opset: int = 20,
    **stored: np.ndarray,
) -> onnx.ModelProto:
    """A checked model; `stored` are its initializers."""
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, tensors)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=10)
    onnx.checker.check_model(model)
    return model


def chain() -> onnx.ModelProto:
    """x -> Relu "first" -> h -> Add "bias" -> a -> Identity "pass" -> y, and a side output of h."""
    return model_of(
        [
            helper.make_node("Relu", ["x"], ["h"], name="/net/first"),
            helper.make_node("Add", ["h", "b"], ["a"], name="/net/bias[0]"),
            helper.make_node("Identity", ["a"], ["y"], name="/out/pass"),
            helper.make_node("Neg", ["h"], ["side"], name="/out/side"),
        ],
        [value("x", "n", 4)],
        [value("y", "n", 4), value("side", "n", 4)],
        b=np.arange(4, dtype=np.float32),
    )


class Stage:
    """The stage with a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()

    def run(self, model: onnx.ModelProto | Path, *steps: dict[str, Any]) -> onnx.ModelProto:
        path = model if isinstance(model, Path) else self.folder / "source.onnx"
        if not isinstance(model, Path):
            onnx.save(model, path)
        outputs = self.folder / "outputs"
        outputs.mkdir(exist_ok=True)
        context = StageContext(
            {"steps": list(steps)}, {"model": path}, outputs, self.folder, self.reporter
        )
        surgery.run(context)
        return onnx.load(outputs / "model.onnx")

    def refused(self, model: onnx.ModelProto, *steps: dict[str, Any]) -> StageError:
        with pytest.raises(StageError) as raised:
            self.run(model, *steps)
        return raised.value

    def hook(self, code: str) -> None:
        (self.folder / "hooks.py").write_text(code)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def names(values: Any) -> list[str]:
    return [item.name for item in values]


def dims(item: onnx.ValueInfoProto) -> list[int | str]:
    return [d.dim_param or d.dim_value for d in item.type.tensor_type.shape.dim]


def run_ort(model: onnx.ModelProto, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, inputs))


X = np.array([[-1, 2, -3, 4]], np.float32)


# rename


def test_tensors_inputs_and_outputs_can_be_renamed(stage: Stage) -> None:
    renaming = {"x": "463", "h": "a:0", "b": "onnx::Shape_422", "y": "result"}
    model = stage.run(chain(), {"op": "rename", "tensors": renaming})
    assert names(model.graph.input) == ["463"]
    assert names(model.graph.output) == ["result", "side"]
    assert names(model.graph.initializer) == ["onnx::Shape_422"]
    assert np.array_equal(run_ort(model, **{"463": X})[0], np.maximum(X, 0) + np.arange(4))


def test_two_names_can_be_exchanged(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "rename", "tensors": {"y": "side", "side": "y"}})
    assert names(model.graph.output) == ["side", "y"]
    assert np.array_equal(run_ort(model, x=X)[1], -np.maximum(X, 0))


def test_a_name_that_is_taken_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "rename", "tensors": {"x": "h", "y": "h"}})
    assert error.where == "surgery[0] rename"
    assert error.what == "'h' would be the name of two tensors"


def test_unknown_names_are_listed_together_with_near_ones(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "rename", "tensors": {"sidee": "s", "zzz": "t"}})
    assert error.what == (
        "there is no tensor 'sidee' (did you mean 'side'?); there is no tensor 'zzz'"
    )
    assert error.hint == "there are: 'x', 'h', 'b', 'a', 'y', 'side'"


# outputs and extraction


def test_an_inner_tensor_becomes_an_output_with_inferred_type(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_outputs", "outputs": ["a", "side"]})
    assert names(model.graph.output) == ["a", "side"]
    assert dims(model.graph.output[0]) == ["n", 4]
    assert names(model.graph.node) == ["/net/first", "/net/bias[0]", "/out/side"]


def test_a_part_is_extracted_between_tensors(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "extract", "inputs": ["h"], "outputs": ["y"]})
    assert (names(model.graph.input), dims(model.graph.input[0])) == (["h"], ["n", 4])
    assert np.array_equal(run_ort(model, h=X)[0], X + np.arange(4))


def test_other_outputs_of_a_node_that_is_cut_keep_their_places(stage: Stage) -> None:
    split = model_of(
        [
            helper.make_node("Split", ["x"], ["p", "q"], axis=1, num_outputs=2),
            helper.make_node("Sub", ["p", "q"], ["y"]),
        ],
        [value("x", "n", 4)],
        [value("y", "n", 2)],
    )
    model = stage.run(split, {"op": "extract", "inputs": ["x", "p"], "outputs": ["y"]})
    assert names(model.graph.input) == ["x", "p"]
    assert np.array_equal(run_ort(model, x=X, p=np.zeros((1, 2), np.float32))[0], [[3, -4]])


def test_an_extraction_that_needs_another_input_names_it(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "extract", "inputs": ["a"], "outputs": ["y", "side"]})
    assert "the outputs also need the model's input 'x'" in error.what


def test_an_input_that_leads_nowhere_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "extract", "inputs": ["x", "a"], "outputs": ["y"]})
    assert error.what == "'x' leads to none of the outputs"


def test_a_stored_tensor_is_no_input(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "extract", "inputs": ["b"], "outputs": ["y"]})
    assert error.what == "'b' is stored in the model: it cannot be an input"


def test_a_type_that_does_not_follow_is_named(stage: Stage) -> None:
    custom = model_of(
        [
            helper.make_node("Plugin", ["x"], ["p"], domain="my"),
            helper.make_node("Relu", ["p"], ["y"]),
        ],
        [value("x", 4)],
        [value("y", 4)],
    )
    error = stage.refused(custom, {"op": "extract", "inputs": ["p"], "outputs": ["y"]})
    assert error.what == "the type of 'p' does not follow from the model"


# dimensions


def test_a_symbol_gets_its_new_name_everywhere(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_dims", "tensors": {"x": ["batch", None]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [["batch", 4]] * 3


def test_a_dimension_can_be_made_static(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "set_dims", "tensors": {"x": [8, 4]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [[8, 4]] * 3


def test_a_static_dimension_can_be_made_dynamic(stage: Stage) -> None:
    fixed = chain()
    for item in (*fixed.graph.input, *fixed.graph.output):
        item.type.tensor_type.shape.dim[0].dim_value = 1
    fixed.graph.value_info.append(value("h", 1, 4))
    model = stage.run(fixed, {"op": "set_dims", "tensors": {"x": ["batch", 4]}})
    assert [dims(item) for item in (*model.graph.input, *model.graph.output)] == [["batch", 4]] * 3
    assert dims(model.graph.value_info[0]) == ["batch", 4]
    assert run_ort(model, x=np.repeat(X, 3, axis=0))[0].shape == (3, 4)


def test_one_symbol_cannot_become_two(stage: Stage) -> None:
    step = {"op": "set_dims", "tensors": {"x": ["batch", 4], "y": [2, 4]}}
    error = stage.refused(chain(), step)
    assert "dimension 'n' would be batch and, at axis 0 of 'y', 2" in error.what


def test_dimensions_of_a_wrong_rank_or_tensor_are_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "set_dims", "tensors": {"x": ["n"]}})
    assert error.what == "'x' has 2 dimensions ['n', 4], 1 are written"
    error = stage.refused(chain(), {"op": "set_dims", "tensors": {"h": ["n", 4]}})
    assert error.what == "there is no input or output 'h'"


# removal


def test_a_node_is_removed_by_its_name_a_pattern_or_its_operator(stage: Stage) -> None:
    for step in (
        {"op": "remove_nodes", "nodes": ["/net/bias[0]"]},
        {"op": "remove_nodes", "nodes": ["/net/bias*"], "op_types": []},
        {"op": "remove_nodes", "op_types": ["Add"]},
    ):
        model = stage.run(chain(), step)
        assert np.array_equal(run_ort(model, x=X)[0], np.maximum(X, 0))


def test_an_output_keeps_its_name_when_its_node_goes(stage: Stage) -> None:
    model = stage.run(chain(), {"op": "remove_nodes", "op_types": ["Identity", "Neg"]})
    assert names(model.graph.output) == ["y", "side"]
    assert names(model.graph.node) == ["/net/first", "/net/bias[0]"]
    result, side = run_ort(model, x=X)
    assert np.array_equal(side, np.maximum(X, 0))
    assert np.array_equal(result, side + np.arange(4))


def test_a_node_whose_outputs_nobody_reads_is_removed(stage: Stage) -> None:
    extra = chain()
    extra.graph.node.append(helper.make_node("Mul", ["x", "h"], ["unread"], name="idle"))
    model = stage.run(extra, {"op": "remove_nodes", "nodes": ["idle"]})
    assert "idle" not in names(model.graph.node)


def test_a_node_of_two_data_inputs_is_refused_with_its_reader(stage: Stage) -> None:
    product = model_of(
        [
            helper.make_node("Mul", ["x", "z"], ["p"], name="product"),
            helper.make_node("Relu", ["p"], ["y"], name="last"),
        ],
        [value("x", 4), value("z", 4)],
        [value("y", 4)],
    )
    error = stage.refused(product, {"op": "remove_nodes", "nodes": ["product"]})
    assert error.what == (
        "node 'product' (Mul) cannot be removed: node 'last' (Relu) reads 'p', and it is not "
        "clear which of its inputs should pass through: 'x', 'z'"
    )


def test_an_output_cannot_become_an_input_itself(stage: Stage) -> None:
    single = model_of(
        [helper.make_node("Relu", ["x"], ["y"], name="r")], [value("x", 4)], [value("y", 4)]
    )
    error = stage.refused(single, {"op": "remove_nodes", "nodes": ["r"]})
    assert "the output 'y' would be 'x' itself" in error.what


def test_a_pattern_or_operator_that_means_nothing_is_refused(stage: Stage) -> None:
    step = {"op": "remove_nodes", "nodes": ["/out/passs"], "op_types": ["Identiti"]}
    error = stage.refused(chain(), step)
    assert error.what == (
        "no node matches '/out/passs' (did you mean '/out/pass' or '/out/side'?); "
        "there is no operator Identiti (did you mean 'Identity'?)"
    )
    assert error.hint == "the graph's operators are Add, Identity, Neg, Relu"


def test_types_behind_a_removed_cast_are_inferred_anew(stage: Stage) -> None:
    cast = model_of(
        [
            helper.make_node("Cast", ["x"], ["c"], name="c", to=TensorProto.FLOAT16),
            helper.make_node("Relu", ["c"], ["y"]),
        ],
        [value("x", 4)],
        [value("y", 4, kind=TensorProto.FLOAT16)],
    )
    model = stage.run(cast, {"op": "remove_nodes", "op_types": ["Cast"]})
    assert model.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT


# constants


def test_constants_are_folded_in_their_own_types(stage: Stage) -> None:
    model = model_of(
        [
            helper.make_node("Constant", [], ["two"], value_float=2.0),
            helper.make_node("Constant", [], ["flat"], value_ints=[-1]),
            helper.make_node("Add", ["two", "two"], ["four"]),
            helper.make_node("Mul", ["x", "four"], ["m"]),
            helper.make_node("Reshape", ["m", "flat"], ["y"]),
        ],
        [value("x", "n", 4)],
        [value("y", "k")],
    )
    folded = stage.run(model, {"op": "fold_constants"})
    assert [node.op_type for node in folded.graph.node] == ["Mul", "Reshape"]
    assert np.array_equal(run_ort(folded, x=X)[0], X[0] * 4)


def test_a_wrong_declared_shape_is_not_folded(stage: Stage) -> None:
    model = model_of(
        [
            helper.make_node("Relu", ["x"], ["h"]),
            helper.make_node("Shape", ["h"], ["y"]),
        ],
        [value("x", "n", 4)],
        [value("y", 2, kind=TensorProto.INT64)],
    )
    model.graph.value_info.append(value("h", 1, 4))
    folded = stage.run(model, {"op": "fold_constants"})
    assert np.array_equal(run_ort(folded, x=np.repeat(X, 3, axis=0))[0], [3, 4])


def branches(condition: bool) -> onnx.ModelProto:
    """An If with a stored condition, two outputs, and a weight that both branches read."""
    then = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["t"])], "then",
        [], [value("t", 4), value("k", 1)],
        [numpy_helper.from_array(np.ones(1, np.float32), "k")],
    )  # fmt: skip
    other = helper.make_graph(
        [helper.make_node("Sub", ["x", "w"], ["e"]), helper.make_node("Neg", ["one"], ["f"])],
        "else", [], [value("e", 4), value("f", 1)],
    )  # fmt: skip
    choice = helper.make_node("If", ["c"], ["y", "z"], then_branch=then, else_branch=other)
    return model_of(
        [choice], [value("x", 4)], [value("y", 4), value("z", 1)],
        c=np.array(condition), w=np.arange(4, dtype=np.float32), one=np.ones(1, np.float32),
    )  # fmt: skip


@pytest.mark.parametrize("condition", [True, False])
def test_an_if_of_a_known_condition_becomes_its_branch(stage: Stage, condition: bool) -> None:
    model = stage.run(branches(condition), {"op": "fold_constants"})
    assert "If" not in {node.op_type for node in model.graph.node}
    result, one = run_ort(model, x=X[0])
    sign = 1 if condition else -1
    assert np.array_equal(result, X[0] + sign * np.arange(4))
    assert one == [sign]


def test_weights_that_branches_share_are_stored_once(stage: Stage) -> None:
    model = branches(condition=True)
    del model.graph.initializer[0]
    model.graph.input.append(value("c", kind=TensorProto.BOOL))
    same = stage.run(model, {"op": "cleanup"})
    assert names(same.graph.initializer) == ["w"]
    inner = [a.g for a in same.graph.node[0].attribute]
    assert all("w" not in names(graph.initializer) for graph in inner)


def test_cleanup_takes_out_what_leads_to_no_output(stage: Stage) -> None:
    extra = chain()
    extra.graph.node.append(helper.make_node("Mul", ["x", "unused"], ["unread"]))
    extra.graph.initializer.append(numpy_helper.from_array(np.ones(1, np.float32), "unused"))
    model = stage.run(extra, {"op": "cleanup"})
    assert len(model.graph.node) == 4
    assert names(model.graph.initializer) == ["b"]


# hooks

HOOK = """
import numpy as np
import onnx_graphsurgeon as gs

def scale(graph, factor):
    value = gs.Variable("scaled", np.float32, None)
    graph.nodes.append(gs.Node("Mul", "scale", inputs=[
        graph.inputs[0], gs.Constant("factor", np.array(factor, np.float32))], outputs=[value]))
    first = next(node for node in graph.nodes if node.op == "Relu")
    first.inputs[0] = value
    return graph

def nothing(graph):
    graph.cleanup()

def text(graph):
    return "graph"

def crash(graph):
    return graph.nodes[99]

def odd(graph):
    graph.outputs[0].name = 5
    return graph

def read(graph):
    for tensor in graph.tensors().values():
        if isinstance(tensor, gs.Constant):
            tensor.values.sum
    return graph

def twice(graph):
    graph.nodes[0].outputs[0].name = "y"
    return graph

def double(graph):
    constant = next(t for t in graph.tensors().values() if isinstance(t, gs.Constant))
    constant.values = constant.values.astype(np.float64)
    return graph
"""


def test_a_hook_rewrites_the_graph_with_its_options(stage: Stage) -> None:
    stage.hook(HOOK)
    step = {"op": "hook", "hook": "hooks.py:scale", "options": {"factor": -1}}
    model = stage.run(chain(), step)
    assert [node.op_type for node in model.graph.node][:2] == ["Mul", "Relu"]
    assert np.array_equal(run_ort(model, x=X)[1], -np.maximum(-X, 0))
    assert "1 of 1: hooks.py:scale" in stage.reporter.lines


@pytest.mark.parametrize(
    ("function", "line", "what"),
    [
        ("nothing", 13, "hooks.py:nothing returned nothing, not a graph"),
        ("text", 16, "hooks.py:text returned a str, not a graph"),
        ("crash", 20, "hooks.py:crash raised IndexError: list index out of range"),
        ("odd", 22, "hooks.py:odd returned a graph that cannot be written as ONNX"),
        ("scale", 5, "hooks.py:scale raised TypeError: scale() missing 1 required"),
    ],
)
def test_a_hook_that_fails_is_told_of_by_its_line(
    stage: Stage, function: str, line: int, what: str
) -> None:
    stage.hook(HOOK)
    step = {"op": "hook", "hook": f"hooks.py:{function}"}
    error = stage.refused(chain(), {"op": "cleanup"}, step)
    assert error.where == f"{stage.folder / 'hooks.py'}:{line}"
    assert error.what.startswith(f"surgery[1] hook: {what}")
    assert not list((stage.folder / "outputs").iterdir())


def test_two_tensors_of_one_name_are_refused(stage: Stage) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "hook", "hook": "hooks.py:twice"})
    assert error.where == "surgery[0] hook"
    assert "Found distinct tensors that share the same name" in error.what


def test_a_step_that_leaves_types_that_do_not_fit_is_named(stage: Stage) -> None:
    stage.hook(HOOK)
    error = stage.refused(chain(), {"op": "cleanup"}, {"op": "hook", "hook": "hooks.py:double"})
    assert error.where == "surgery[1] hook"
    assert "/net/bias[0]" in error.what


def test_an_unknown_operation_is_refused(stage: Stage) -> None:
    error = stage.refused(chain(), {"op": "fold_constant"})
    assert error.what == "there is no operation 'fold_constant' (did you mean 'fold_constants'?)"


# what must survive


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2fnuz", "int4", "uint4"])
@pytest.mark.parametrize("steps", [["cleanup"], ["cleanup", "hook"]])
def test_low_precision_weights_survive_even_a_hook_that_reads_them(
    stage: Stage, name: str, steps: list[str]
) -> None:
    weight = np.array([1, -2, 3, 0, 2], np.float32).astype(getattr(ml_dtypes, name))
    low = model_of(
        [helper.make_node("Cast", ["w"], ["y"], to=TensorProto.FLOAT)],
        [],
        [value("y", 5)],
        opset=21,
        w=weight,
    )
    stage.hook(HOOK)
    model = stage.run(low, *({"op": op, "hook": "hooks.py:read"} for op in steps))
    assert model.graph.initializer[0] == low.graph.initializer[0]


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
from tests.stages.test_surgery import Stage, chain
folder = Path("elsewhere"); folder.mkdir()
Stage(folder).run(chain(), *{steps!r})
print(hashlib.sha256((folder / "outputs" / "model.onnx").read_bytes()).hexdigest())
"""
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert other.stdout.splitlines()[-1] == here


# published models


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
