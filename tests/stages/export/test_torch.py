"""The export of PyTorch modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from tests.published import MODELS, RECIPES, needs_models
from tests.stages.elsewhere import run_elsewhere
from tests.stages.export.nets import NETS
from tests.stages.export.staging import IMAGE, MASK, Stage, declared, opset_of, run_ort, signature
from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.runner import open_model
from trtbuild.model.torch_export import export_module


@pytest.fixture(scope="module")
def nested(tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """Nested as torch.export sees it."""
    stage = Stage(tmp_path_factory.mktemp("nested"))
    stage.torch("Nested", IMAGE, MASK, exporter="dynamo", opset=21)
    return stage


def test_a_module_is_exported_with_the_recipes_names(nested: Stage) -> None:
    model = onnx.load(nested.file)
    assert signature(model) == {
        "image": ["batch", 1, 8, 8],
        "mask": ["batch", 10],  # the model multiplies them: their batches are one
        "logits": ["batch", 10],
        "maps_0": ["batch", 4],
        "maps_1_0": ["batch", 4],
        "mask_output": ["batch", 10],  # "mask" is an input
    }
    assert opset_of(model) == 21
    assert "conv.weight" in {tensor.name for tensor in model.graph.initializer}
    assert not model.producer_name
    assert nested.reporter.lines == [
        "importing torch",
        "loading the model",
        "exporting",
        "checking",
        "running at min and max",
    ]


def test_the_bytes_depend_neither_on_place_nor_process_nor_comments(
    nested: Stage, stage: Stage, tmp_path: Path
) -> None:
    stage.torch("Nested", IMAGE, MASK, opset=21)
    code = f"""
from pathlib import Path
from tests.stages.export import staging
staging.NETS = "# a comment\\n\\n" + staging.NETS.replace(
    "        found =", "        # two lines\\n\\n        found ="
)
stage = staging.Stage(Path("elsewhere"))
for exporter in ("dynamo", "torchscript"):
    stage.torch("Nested", {IMAGE!r}, {MASK!r}, exporter=exporter, opset=21)
    print(stage.digest)
"""
    assert run_elsewhere(code, tmp_path).split()[-2:] == [nested.digest, stage.digest]


def test_the_recipes_output_names_are_used_in_order(stage: Stage) -> None:
    model = stage.torch("Nested", IMAGE, MASK, outputs=("a", "b", "c", "d"))
    assert list(signature(model)) == ["image", "mask", "a", "b", "c", "d"]


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
@pytest.mark.parametrize("outputs", [("boxes", "scores", "classes"), ("classes", "scores")])
def test_the_models_own_output_names_choose_and_order(
    stage: Stage, exporter: str, outputs: tuple[str, ...]
) -> None:
    model = stage.torch("Detector", declared("x", [2]), outputs=outputs, exporter=exporter)
    assert list(signature(model)) == ["x", *outputs]
    added = {"scores": 0, "classes": 1, "boxes": 2}
    found = run_ort(stage.file, x=np.zeros(2, np.float32))
    assert [values[0] for values in found] == [added[name] for name in outputs]


def test_the_name_of_another_tensor_of_the_model_is_refused(stage: Stage) -> None:
    renamed = stage.torch("Detector", declared("x", [2]), outputs=("scores", "labels", "boxes"))
    assert list(signature(renamed)) == ["x", "scores", "labels", "boxes"]
    with pytest.raises(StageError) as raised:
        stage.torch("Detector", declared("x", [2]), outputs=("boxes", "labels", "scores"))
    assert raised.value.what == (
        "the recipe names the outputs boxes, labels, scores, but the model returns scores, "
        "classes, boxes: 'boxes' would be the name of another tensor than the model's"
    )


@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_an_output_may_have_the_name_of_a_value_inside(stage: Stage, exporter: str) -> None:
    ids = declared("ids", [1, 4], [8, 4], dtype="int64", range=[0, 9])
    model = stage.torch("Encoder", ids, exporter=exporter)
    assert list(signature(model)) == ["ids", "embedding"]
    (found,) = run_ort(stage.file, ids=np.zeros((1, 4), np.int64))
    assert found.shape == (1, 4)


def test_another_number_of_output_names_is_refused_with_both(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.torch("Nested", IMAGE, MASK, outputs=("a", "b"))
    assert raised.value.what == (
        "the model returns 4 tensors (logits, maps_0, maps_1_0, mask_output), "
        "the recipe names 2 outputs (a, b)"
    )


def test_what_dataclasses_hold_is_named_by_their_fields(stage: Stage) -> None:
    model = stage.torch("Structured", IMAGE, MASK, width=8)
    assert list(signature(model)) == ["image", "mask", "score", "extra_score"]
    assert signature(model)["score"] == ["batch", 8]


def test_a_single_tensor_is_called_output(stage: Stage) -> None:
    assert list(signature(stage.torch("Double", declared("x", [2, 4])))) == ["x", "output"]


def test_inputs_go_to_the_parameters_of_their_names(stage: Stage) -> None:
    stage.torch("Reversed", declared("minuend", [2]), declared("subtrahend", [2]))
    three, one = np.full(2, 3, np.float32), np.ones(2, np.float32)
    assert run_ort(stage.file, minuend=three, subtrahend=one)[0].tolist() == [2, 2]


def test_other_names_go_by_position_and_may_be_no_identifiers(stage: Stage) -> None:
    model = stage.torch(
        "Reversed", declared("463", [1], [4]), declared("a:0", [1], [4]), exporter="dynamo"
    )
    assert signature(model) == {"463": ["463_dim0"], "a:0": ["463_dim0"], "output": ["463_dim0"]}
    three, one = np.full(2, 3, np.float32), np.ones(2, np.float32)
    assert run_ort(stage.file, **{"463": one, "a:0": three})[0].tolist() == [2, 2]


def test_names_of_which_forward_has_some_are_refused(stage: Stage) -> None:
    inputs = [declared(name, [1]) for name in ("x", "c", "hidden")]
    with pytest.raises(StageError) as raised:
        stage.torch("Recurrent", *inputs)
    assert raised.value.what == (
        "Recurrent.forward has parameters of some of the inputs' names, but none for 'hidden'; "
        "its others are h"
    )
    assert raised.value.hint.startswith("name every input as the parameter that it goes to")


def test_names_that_forward_has_none_of_come_with_where_they_go(stage: Stage) -> None:
    stage.torch("Reversed", declared("a", [1]), declared("b", [1]))
    assert stage.reporter.warnings == [
        "Reversed.forward has no parameters of the inputs' names, so that these go by position: "
        "'a' to subtrahend, 'b' to minuend"
    ]


def test_inputs_behind_the_named_ones_go_into_args(stage: Stage) -> None:
    stage.torch("Open", *(declared(name, [1]) for name in ("x", "a", "b")))
    x, a, b = (np.full(1, n, np.float32) for n in (9, 1, 2))
    assert run_ort(stage.file, x=x, a=a, b=b)[0].tolist() == [6]
    assert not stage.reporter.warnings
    with pytest.raises(StageError, match="none for 'a'"):
        stage.torch("Open", *(declared(name, [1]) for name in ("a", "x")))


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_inputs_of_torchscript_must_be_in_the_order_of_its_parameters(stage: Stage) -> None:
    nets = stage.folder / "nets.py"
    nets.write_text(
        f"{nets.read_text()}\ndef traced():\n"
        "    return torch.jit.trace(Reversed(), (torch.ones(2), torch.zeros(2)))\n"
    )
    right = declared("subtrahend", [2]), declared("minuend", [2])
    stage.torch("traced", *right)
    with pytest.raises(StageError) as raised:
        stage.torch("traced", *reversed(right))
    assert raised.value.what == (
        "TorchScript takes its inputs by position: the recipe has them in the order minuend, "
        "subtrahend, Reversed.forward in the order subtrahend, minuend"
    )


def test_an_output_that_loses_its_type_is_told(stage: Stage) -> None:
    stage.torch("Precise", declared("x", [2]))
    assert stage.reporter.warnings == [
        "output 'output' is float64, which TensorRT does not have: the engine gives float32"
    ]


def test_names_that_the_model_makes_equal_become_one_with_a_warning(stage: Stage) -> None:
    x = declared("x", [1, 4], [8, 4], dims=["n", None])
    y = declared("y", [1, 4], [8, 4], dims=["m", None])
    model = stage.torch("Add", x, y, exporter="dynamo")
    assert signature(model) == {"x": ["n", 4], "y": ["n", 4], "output": ["n", 4]}
    assert stage.reporter.warnings == [
        "axis 0 of 'y' (m) always equals 'n' in the model: it gets that name"
    ]


def test_an_input_that_is_not_used_stays(stage: Stage) -> None:
    inputs = declared("x", [1], [4]), declared("y", [1], [4])
    assert list(signature(stage.torch("Unused", *inputs, exporter="dynamo"))) == [
        "x", "y", "output",
    ]  # fmt: skip
    with pytest.raises(StageError, match="no output depends on 'y'"):
        stage.torch("Unused", *inputs)


@pytest.mark.parametrize(
    ("factory", "inputs", "what", "hint"),
    [
        (
            "Branching",
            [declared("x", [1, 4], [8, 4])],
            "the control flow of the model depends on values that it computes",
            "torch.where",
        ),
        (
            "Fixed",
            [declared("x", [8, 4], [16, 4])],
            "the model's code fixes axis 0 of 'x' to 8, which the recipe lets vary",
            "the same min and max",
        ),
        (
            "Short",
            [declared("x", [1, 4], [64, 4])],
            "axis 0 of 'x' is 1 to 64 in the recipe, but the exported graph is right for 1 to 16",
            "narrow min and max",
        ),
        (
            "Svd",
            [declared("x", [1, 4], [8, 4])],
            "torch.onnx has no ONNX operators for aten._linalg_svd",
            "other operators",
        ),
        (
            "Add",
            [declared("x", [1, 4], [8, 4]), declared("y", [1, 4], [16, 4])],
            "the recipe's inputs do not fit the model:\n"
            "  - inputs.y: axis 0 is 1 to 16, axis 0 of 'x' 1 to 8; in the model both are",
            "the model takes",
        ),
    ],
)
def test_what_torch_cannot_export_is_said_in_a_line(
    stage: Stage, factory: str, inputs: list[dict[str, Any]], what: str, hint: str
) -> None:
    with pytest.raises(StageError) as raised:
        stage.torch(factory, *inputs, exporter="dynamo")
    assert raised.value.what.startswith(what)
    assert hint in raised.value.hint
    assert len(str(raised.value)) < 700
    line = NETS.splitlines().index("        if x.sum() > 0:") + 1
    expected = f"{stage.folder / 'nets.py'}:{line}" if factory == "Branching" else "nets.py:"
    assert raised.value.where.startswith(expected)


def test_an_operator_that_torchscript_cannot_export_is_named(stage: Stage) -> None:
    with pytest.raises(StageError) as raised:
        stage.torch("Svd", declared("x", [1, 4], [8, 4]))
    assert "'aten::linalg_svd' to ONNX opset version 20 is not supported" in raised.value.what
    assert "`exporter: dynamo`" in raised.value.hint


def test_a_trace_that_is_fixed_to_the_example_is_a_warning(stage: Stage) -> None:
    stage.torch("Branching", declared("x", [1, 4], [8, 4]))
    (warning,) = stage.reporter.warnings
    assert "Converting a tensor to a Python boolean might cause the trace" in warning
    assert str(stage.folder / "nets.py") in warning


@pytest.mark.parametrize(
    ("factory", "high", "size"), [("Baked", [64, 4], "64"), ("Positions", [2, 64, 4], "64")]
)
def test_a_graph_made_for_one_size_is_found_by_running_it(
    stage: Stage, factory: str, high: list[int], size: str
) -> None:
    axis = high.index(int(size))
    low = [*high]
    low[axis] = 1
    with pytest.raises(StageError) as raised:
        stage.torch(factory, declared("x", low, high))
    assert f"does not run on x {high}" in raised.value.what
    assert f"not when only 'x_dim{axis}' changes" in raised.value.what


@pytest.mark.parametrize(
    ("factory", "what"),
    [
        ("Raising", "nets.py:Raising raised ValueError: no such thing (on x [2, 4])"),
        ("Counting", "the model returned a int beside its tensors"),
        ("Absent", "'nets.py:Absent': there is no 'Absent' in "),
    ],
)
def test_a_model_that_does_not_run_is_told_of(stage: Stage, factory: str, what: str) -> None:
    with pytest.raises(StageError) as raised:
        stage.torch(factory, declared("x", [1, 4], [8, 4]))
    assert raised.value.what.startswith(what)


def test_a_torchscript_module_needs_the_torchscript_exporter() -> None:
    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        module = torch.jit.script(Double())

    def exported(exporter: str) -> onnx.ModelProto:
        inputs = parse_inputs([declared("x", [1, 4], [8, 4])])
        return export_module(
            module,
            inputs,
            (),
            reference="nets.py:scripted",
            exporter=exporter,
            opset=20,
            warn=pytest.fail,
        )

    with pytest.raises(StageError, match="TorchScript module, which"):
        exported("dynamo")
    assert signature(exported("torchscript"))["x"] == ["x_dim0", 4]


@needs_models
@pytest.mark.parametrize("exporter", ["dynamo", "torchscript"])
def test_a_published_torch_model_computes_the_same(stage: Stage, exporter: str) -> None:
    (stage.folder / "crepe.py").write_text((RECIPES / "models" / "crepe.py").read_text())
    (stage.folder / "tiny.py").write_text(
        f"""
import torch
from crepe import Crepe

def tiny():
    model = Crepe("tiny")
    model.load_state_dict(torch.load({str(MODELS / "crepe_tiny.pth")!r}, weights_only=True))
    return model
"""
    )
    frames = declared("frames", [1, 1024], [64, 1024], dims=["n", None])
    model = stage.torch("tiny.py:tiny", frames, outputs=("pitch",), exporter=exporter)
    assert next(iter(signature(model).items())) == ("frames", ["n", 1024])
    from trtbuild.model.references import load_callable

    module = load_callable("tiny.py:tiny", stage.folder)().eval()
    values = np.random.default_rng(0).standard_normal((5, 1024)).astype(np.float32)
    with torch.no_grad():
        wanted = module(torch.from_numpy(values)).numpy()
    found = open_model(stage.file).run({"frames": values})["pitch"]
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-5)
