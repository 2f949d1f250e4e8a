"""The reference stage: which cases it makes, and what the source model says of them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import helper

from tests.model.nets import WEIGHT, mlp, save, with_plugin
from tests.stages.running import Recorder, X, run_reference
from trtbuild.errors import StageError
from trtbuild.model.cases import CaseReader
from trtbuild.trt.runtime import Runner
from trtbuild.trt.tensors import Tensor

NET = """\
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x):
        if x.shape[0] == 5:
            raise ValueError("five is right out")
        return self.linear(x), x.sum()
"""


@pytest.fixture
def model(tmp_path: Path) -> dict[str, Path]:
    path = save(mlp(), tmp_path / "model.onnx")
    return {"onnx": path, "exported": path}


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "data.npz", **arrays)
    return folder / "data.npz"


def data(count: int) -> np.ndarray:
    return np.arange(count * 4, dtype=np.float32).reshape(count, 4)


def read(folder: Path) -> CaseReader:
    return CaseReader(folder / "reference" / "reference.json")


def test_shapes_of_profiles_come_once_for_each_profile_that_takes_them(
    tmp_path: Path, model: dict[str, Path]
) -> None:
    profiles = [
        {"x": {"min": [1, 4], "opt": [2, 4], "max": [4, 4]}},
        {"x": {"min": [4, 4], "opt": [6, 4], "max": [8, 4]}},
    ]
    run_reference(tmp_path, model, dataset={"kind": "random", "seed": 0}, profiles=profiles)
    reader = read(tmp_path)
    found = [(reader.kind(n), len(reader.inputs(n)["x"])) for n in range(len(reader))]
    own = [(kind, size) for kind, size in found if "profile" not in kind]
    further = [(kind, size) for kind, size in found if "profile" in kind]
    sizes = [size for _, size in own + further]
    assert sizes.count(4) == 2  # max of the one, min of the other
    assert {1, 2, 6, 8} <= set(sizes)
    assert all(sizes.count(size) == 1 for size in (1, 6, 8))
    assert ("max of profile 0", 4) in further
    assert ("min of profile 1", 4) in further


@pytest.mark.parametrize(
    "profiles",
    [
        [(1, 8, 16), (4, 6, 8)],
        [(1, 8, 16), (2, 4, 16), (4, 4, 4)],
        [(1, 1, 8), (1, 4, 8), (1, 8, 8)],
        [(4, 4, 4), (1, 8, 16)],
    ],
)
def test_each_profile_runs_at_its_own_shapes_also_inside_another(
    tmp_path: Path, model: dict[str, Path], profiles: list[tuple[int, int, int]]
) -> None:
    sizes = [dict(zip(("min", "opt", "max"), [[n, 4] for n in p], strict=True)) for p in profiles]
    given = [{"x": shapes} for shapes in sizes]
    run_reference(tmp_path, model, dataset={"kind": "random", "seed": 0}, profiles=given)
    reader = read(tmp_path)
    x = Tensor("x", True, "float32", (-1, 4), on_host=False)
    engine: Any = SimpleNamespace(
        inputs=(x,),
        profiles=len(profiles),
        ranges=lambda index: {"x": tuple((n, 4) for n in profiles[index])},
    )
    runner = Runner(engine, None)  # type: ignore[arg-type] # nothing is run
    ran = {
        (runner._profile(reader.inputs(n)), len(reader.inputs(n)["x"])) for n in range(len(reader))
    }
    assert ran >= {(index, size) for index, shapes in enumerate(profiles) for size in shapes}


def test_cases_are_the_three_shapes_and_then_the_data(
    tmp_path: Path, model: dict[str, Path]
) -> None:
    dataset = npz(tmp_path, x=data(3), label=np.array([0, 1, 2]))
    run_reference(tmp_path, {**model, "dataset": dataset}, dataset={"kind": "npz"})
    reader = read(tmp_path)
    kinds = [reader.kind(index) for index in range(len(reader))]
    assert kinds == ["min", "opt", "max", "data", "data"]
    assert [len(case.inputs["x"]) for case in reader] == [1, 2, 5, 2, 1]
    np.testing.assert_array_equal(reader[2].inputs["x"], data(2)[[0, 1, 0, 1, 0]])  # tiled
    np.testing.assert_array_equal(reader[4].extras["label"], [2])
    for case in reader:
        np.testing.assert_allclose(
            case.outputs["logits"], np.maximum(case.inputs["x"] @ WEIGHT, 0), rtol=1e-5
        )
    reader.close()


def test_the_document_is_what_other_stages_read(tmp_path: Path, model: dict[str, Path]) -> None:
    dataset = npz(tmp_path, x=data(2))
    run_reference(tmp_path, {**model, "dataset": dataset}, dataset={"kind": "npz"}, samples=1)
    document = json.loads((tmp_path / "reference" / "reference.json").read_text())
    assert document["cases"][-1] == {
        "kind": "data",
        "inputs": {"x": "a6"},
        "outputs": {"logits": "a7"},
        "extras": {},
    }
    assert {key: document[key] for key in ("format", "source", "inputs_from")} == {
        "format": 1,
        "source": "onnx",
        "inputs_from": {
            "kind": "npz",
            "note": "the recipe's dataset (npz), 1 batches of up to 2",
            "batches": 1,
            "batch": 2,
        },
    }


def test_a_source_that_only_a_gpu_runs_gives_cases_without_outputs(tmp_path: Path) -> None:
    path = save(with_plugin(), tmp_path / "model.onnx")
    made = run_reference(tmp_path, {"onnx": path, "exported": path})
    reader = read(tmp_path)
    assert reader.output_names() == ()
    assert [reader.inputs(index)["x"].shape[0] for index in range(3)] == [1, 2, 5]
    assert isinstance(made.reporter, Recorder)
    (warning,) = made.reporter.warnings
    assert warning.startswith("the source model is not run, so nothing says what is right: ")
    assert warning.endswith("only a GPU can check this graph")


def test_a_fixed_shape_is_one_case(tmp_path: Path, model: dict[str, Path]) -> None:
    fixed = {**X, "min": [2, 4], "max": [2, 4]}
    run_reference(tmp_path, model, inputs=[fixed])
    assert [read(tmp_path).kind(0), len(read(tmp_path))] == ["opt", 1]


def test_without_a_dataset_values_are_random_and_always_the_same(
    tmp_path: Path, model: dict[str, Path]
) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made = run_reference(tmp_path / name, model)
        contents.append(
            [(made.outputs / f).read_bytes() for f in ("reference.npz", "reference.json")]
        )
    assert contents[0] == contents[1]
    assert len(read(tmp_path / "a")) == 3


def test_only_the_outputs_that_the_export_kept_are_there(tmp_path: Path) -> None:
    source = mlp()
    source.graph.output.append(
        helper.make_tensor_value_info("product", onnx.TensorProto.FLOAT, ["batch", 3])
    )
    paths = {
        "onnx": save(source, tmp_path / "source.onnx"),
        "exported": save(mlp(), tmp_path / "exported.onnx"),
    }
    run_reference(tmp_path, paths)
    assert read(tmp_path).output_names() == ("logits",)


def torch_inputs(folder: Path, outputs: tuple[str, ...]) -> dict[str, Path]:
    """net.py, and a graph with the outputs of these names."""
    (folder / "net.py").write_text(NET)
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], [name]) for name in outputs],
        "exported",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, None)],
        [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in outputs],
    )
    opset = [helper.make_opsetid("", 20)]
    path = save(helper.make_model(graph, opset_imports=opset), folder / "exported.onnx")
    return {"factory": folder / "net.py", "exported": path}


TORCH = {
    "kind": "torch",
    "factory": "net.py:Net",
    "kwargs": {},
    "weights_key": None,
    "strict": True,
}


def test_a_torch_module_runs_under_the_names_of_the_exported_graph(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("logits", "total"))
    small = {**X, "max": [3, 4]}
    run_reference(tmp_path, inputs, source=TORCH, inputs=[small])
    case = read(tmp_path)[0]
    assert set(case.outputs) == {"logits", "total"}
    assert case.outputs["total"].shape == ()
    np.testing.assert_allclose(case.outputs["total"], case.inputs["x"].sum(), rtol=1e-5)


def test_outputs_of_the_modules_own_names_are_found_by_them(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("output_1", "output_0"))
    run_reference(tmp_path, inputs, source=TORCH, inputs=[{**X, "max": [3, 4]}])
    case = read(tmp_path)[0]
    np.testing.assert_allclose(case.outputs["output_1"], case.inputs["x"].sum(), rtol=1e-5)
    assert case.outputs["output_0"].shape == (1, 3)


def test_a_source_that_fails_tells_the_shape_and_the_users_line(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("logits", "total"))
    with pytest.raises(StageError) as error:
        run_reference(tmp_path, inputs, source=TORCH)
    assert error.value.what == (
        "the source model fails on the max shapes (x [5, 4]): "
        "net.py:Net raised ValueError: five is right out"
    )
    assert error.value.where == f"{tmp_path / 'net.py'}:10"


def test_an_exported_program_runs_too(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("y",))
    program = torch.export.export(
        torch.nn.ReLU().eval(),
        (torch.ones(2, 4),),
        dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=5)},),
    )
    torch.export.save(program, tmp_path / "relu.pt2")
    paths = {"program": tmp_path / "relu.pt2", "exported": inputs["exported"]}
    run_reference(tmp_path, paths, source={"kind": "exported_program", "opset": 20})
    for case in read(tmp_path):
        np.testing.assert_array_equal(case.outputs["y"], np.maximum(case.inputs["x"], 0))


def test_a_model_that_is_random_or_keeps_a_state_is_told(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("steady", "random", "count"))
    (tmp_path / "net.py").write_text(
        "import torch\nclass Net(torch.nn.Module):\n    count = 0\n"
        "    def forward(self, x):\n        self.count += 1\n"
        "        return x * 2, x + torch.randn_like(x), x.long() + self.count\n"
    )
    made = run_reference(tmp_path, inputs, source=TORCH)
    assert isinstance(made.reporter, Recorder)
    assert made.reporter.warnings == [
        "the source model is not deterministic: 'random', 'count' differs between two runs on the "
        "same values, so that nothing can be compared with it"
    ]
    assert read(tmp_path).varying == ("random", "count")


def test_fewer_outputs_than_the_graph_has_are_refused(tmp_path: Path) -> None:
    inputs = torch_inputs(tmp_path, ("a", "b", "c"))
    with pytest.raises(StageError, match="returned 2 tensors, but the exported graph has 3"):
        run_reference(tmp_path, inputs, source=TORCH)


def test_nan_of_the_source_itself_is_warned_of(tmp_path: Path) -> None:
    weight = WEIGHT.copy()
    weight[0, 0] = np.nan
    path = save(mlp(weight), tmp_path / "model.onnx")
    made = run_reference(tmp_path, {"onnx": path, "exported": path})
    assert isinstance(made.reporter, Recorder)
    assert made.reporter.warnings[0] == (
        "the source model itself gives NaN or infinity in 'logits' (min)"
    )


def test_data_that_does_not_fit_leaves_no_reference(tmp_path: Path, model: dict[str, Path]) -> None:
    values = data(4)
    values[3, 0] = np.nan
    dataset = npz(tmp_path, x=values)
    with pytest.raises(StageError, match="holds nan"):
        run_reference(tmp_path, {**model, "dataset": dataset}, dataset={"kind": "npz"})
    assert not (tmp_path / "reference" / "reference.json").exists()
