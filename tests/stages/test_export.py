"""The export stage: PyTorch, ExportedPrograms and ONNX models, good ones and bad ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from tests.precision.nets import Recorder
from tests.published import MODELS, RECIPES, needs_models
from trtbuild.errors import StageError
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.runner import open_model
from trtbuild.model.torch_export import export_module
from trtbuild.stages import export
from trtbuild.stages.base import StageContext

NETS = '''
import dataclasses
import torch
from torch import nn


class Net(nn.Module):
    """Two inputs that share a batch."""

    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(1, width, 3, padding=1)
        self.head = nn.Linear(width, 10)

    def features(self, image):
        return self.conv(image).relu().mean((2, 3))

    def forward(self, image, mask):
        return self.head(self.features(image)) * mask


class Nested(Net):
    def forward(self, image, mask):
        found = self.features(image)
        return {"logits": self.head(found) * mask, "maps": (found, [found + 1]), "none": None,
                "mask": mask * 2}


@dataclasses.dataclass
class Result:
    score: torch.Tensor
    extra: object = None


class Structured(Net):
    def forward(self, image, mask):
        found = self.features(image)
        return Result(found, extra=Result(mask * 2))


class Add(nn.Module):
    def forward(self, x, y):
        return x + y


class Double(nn.Module):
    def forward(self, x):
        return x * 2


class Reversed(nn.Module):
    """Its parameters are in another order than the recipe's inputs."""

    def forward(self, subtrahend, minuend):
        return minuend - subtrahend


class Branching(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x + 1
        return x - 1


class Fixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(8, 4))

    def forward(self, x):
        return x + self.place


class Positions(nn.Module):
    """Knows 32 positions."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.zeros(1, 32, 4))

    def forward(self, x):
        return x + self.place[:, : x.shape[1]]


class Short(nn.Module):
    def forward(self, x):
        return x * 2 if x.shape[0] <= 16 else x


class Svd(nn.Module):
    def forward(self, x):
        return torch.linalg.svd(x)[1]


class Baked(nn.Module):
    def forward(self, x):
        return x + torch.zeros(int(x.shape[0]), 4)


class Unused(nn.Module):
    def forward(self, x, y):
        return x * 2


class Counting(nn.Module):
    def forward(self, x):
        return x, 3


class Encoder(nn.Module):
    """Its output has the name that torch gives to what nn.Embedding makes inside."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)

    def forward(self, ids):
        return {"embedding": self.words(ids).mean(1)}


class Raising(nn.Module):
    def forward(self, x):
        raise ValueError("no such thing")
'''


def declared(
    name: str,
    low: list[int],
    high: list[int] | None = None,
    dtype: str = "float32",
    dims: list[str | None] | None = None,
    range: list[float] | None = None,  # noqa: A002 - the option's name
) -> dict[str, Any]:
    """An input as the options of a stage hold it."""
    return {"name": name, "dtype": dtype, "min": low, "max": high or low, "dims": dims,
            "range": range}  # fmt: skip


IMAGE = declared("image", [1, 1, 8, 8], [64, 1, 8, 8], dims=["batch", None, None, None])
MASK = declared("mask", [1, 10], [64, 10])


class Stage:
    """The stage with a folder of its own, which holds nets.py."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.reporter = Recorder()
        folder.mkdir(exist_ok=True)
        (folder / "nets.py").write_text(NETS)

    @property
    def file(self) -> Path:
        return self.folder / "outputs" / "model.onnx"

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.file.read_bytes()).hexdigest()

    def torch(
        self,
        factory: str,
        *inputs: dict[str, Any],
        outputs: tuple[str, ...] = (),
        exporter: str = "torchscript",  # in a twentieth of the time
        opset: int = 20,
        **kwargs: Any,
    ) -> onnx.ModelProto:
        source = {
            "kind": "torch",
            "factory": factory if ":" in factory else f"nets.py:{factory}",
            "kwargs": kwargs,
            "weights_key": None,
            "strict": True,
            "exporter": exporter,
            "opset": opset,
        }
        return self.run(source, inputs, outputs)

    def program(
        self, path: Path, *inputs: dict[str, Any], outputs: tuple[str, ...] = (), opset: int = 20
    ) -> onnx.ModelProto:
        return self.run({"kind": "exported_program", "opset": opset}, inputs, outputs, program=path)

    def onnx(
        self, model: onnx.ModelProto | Path, *inputs: dict[str, Any], outputs: tuple[str, ...] = ()
    ) -> onnx.ModelProto:
        path = model if isinstance(model, Path) else self.folder / "source.onnx"
        if not isinstance(model, Path):
            onnx.save(model, path)
        return self.run({"kind": "onnx"}, inputs, outputs, onnx=path)

    def run(
        self,
        source: dict[str, Any],
        inputs: tuple[dict[str, Any], ...],
        outputs: tuple[str, ...],
        **files: Path,
    ) -> onnx.ModelProto:
        self.file.parent.mkdir(exist_ok=True)
        options: Any = {"source": source, "inputs": list(inputs), "outputs": list(outputs)}
        context = StageContext(options, files, self.file.parent, self.folder, self.reporter)
        export.run(context)
        return onnx.load(self.file)


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def signature(model: onnx.ModelProto) -> dict[str, list[int | str]]:
    return {
        item.name: [d.dim_param or d.dim_value for d in item.type.tensor_type.shape.dim]
        for item in (*model.graph.input, *model.graph.output)
    }


def opset_of(model: onnx.ModelProto) -> int:
    return next(item.version for item in model.opset_import if item.domain == "")


def run_ort(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(None, inputs))


# PyTorch


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
from tests.stages import test_export
test_export.NETS = "# a comment\\n\\n" + test_export.NETS.replace(
    "        found =", "        # two lines\\n\\n        found ="
)
stage = test_export.Stage(Path("elsewhere"))
for exporter in ("dynamo", "torchscript"):
    stage.torch("Nested", {IMAGE!r}, {MASK!r}, exporter=exporter, opset=21)
    print(stage.digest)
"""
    other = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert other.stdout.split()[-2:] == [nested.digest, stage.digest]


def test_the_recipes_output_names_are_used_in_order(stage: Stage) -> None:
    model = stage.torch("Nested", IMAGE, MASK, outputs=("a", "b", "c", "d"))
    assert list(signature(model)) == ["image", "mask", "a", "b", "c", "d"]


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


# ExportedProgram


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x + y and twice x, for 1 to 64 rows."""

    class Both(torch.nn.Module):
        def forward(
            self, x: torch.Tensor, y: torch.Tensor
        ) -> dict[str, torch.Tensor | tuple[torch.Tensor, None]]:
            return {"sum": x + y, "more": (x * 2, None)}

    rows = torch.export.Dim("rows", min=1, max=64)
    example = torch.zeros(3, 4), torch.zeros(3, 4)
    exported = torch.export.export(Both(), example, dynamic_shapes={"x": {0: rows}, "y": {0: rows}})
    path = tmp_path_factory.mktemp("program") / "both.pt2"
    torch.export.save(exported, path)
    return path


def test_a_program_is_exported_with_its_own_input_names(stage: Stage, program: Path) -> None:
    x = declared("x", [1, 4], [64, 4], dims=["n", None])
    model = stage.program(program, declared("y", [1, 4], [64, 4]), x, opset=19)
    assert signature(model) == {"x": ["n", 4], "y": ["n", 4], "sum": ["n", 4], "more_0": ["n", 4]}
    assert opset_of(model) == 19


def test_a_programs_dynamic_axis_can_be_made_static(stage: Stage, program: Path) -> None:
    inputs = declared("x", [8, 4]), declared("y", [8, 4])
    model = stage.program(program, *inputs, outputs=("p", "q"))
    assert signature(model) == {"x": [8, 4], "y": [8, 4], "p": [8, 4], "q": [8, 4]}


def test_a_recipe_that_does_not_fit_a_program_is_refused(stage: Stage, program: Path) -> None:
    with pytest.raises(StageError) as raised:
        stage.program(program, declared("x", [1, 4], [64, 4]), declared("yy", [1, 4], [64, 4]))
    assert "inputs.yy: the model has no such input (did you mean 'y'?)" in raised.value.what
    with pytest.raises(StageError, match="is 1 to 128 in the recipe, but the exported graph is"):
        stage.program(program, declared("x", [1, 4], [128, 4]), declared("y", [1, 4], [128, 4]))


# ONNX


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


# published models


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
