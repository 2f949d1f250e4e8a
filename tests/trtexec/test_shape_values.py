"""Values of inputs that decide shapes, from command lines of trtexec and back."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tests.project import Project
from tests.trtexec.commands import again, imported, trtbuild
from trtbuild.recipe.model import Values
from trtbuild.recipe.trtexec.convert import convert
from trtbuild.recipe.trtexec.read import call_of
from trtbuild.recipe.trtexec.shapes import Port, Ports

WORDS = "--minShapes=x:1x4,size:1x2 --optShapes=x:4x4,size:2x8 --maxShapes=x:8x4,size:4x16"


@pytest.fixture
def reshape(project: Project) -> Project:
    """A model whose second input is the shape of its output."""
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "size"], ["y"])], "g", ports, [output]
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.save(model, str(project.folder / "reshape.onnx"))
    return project


def test_values_that_decide_shapes_come_and_go(reshape: Project) -> None:
    recipe = imported(reshape, "--onnx=reshape.onnx", *WORDS.split(), "--skipInference")
    x, size = recipe.inputs
    assert x.max == (8, 4)
    assert (size.opt, size.range) == ((2,), None)
    assert size.values == Values((1, 2), (2, 8), (4, 16))
    assert set(WORDS.split()) <= set(again())


def test_each_profile_has_values_of_its_own(reshape: Project) -> None:
    second = WORDS.replace("size:4x16", "size:8x32").replace("size:2x8", "size:3x9")
    words = f"--onnx=reshape.onnx --profile=0 {WORDS} --profile=1 {second} --useProfile=1"
    recipe = imported(reshape, *words.split())
    assert recipe.inputs[1].values == Values((1, 2), (3, 9), (8, 32))
    profiles = recipe.build.options["profiles"]
    assert [profile["size"]["values"]["max"] for profile in profiles] == [[4, 16], [8, 32]]  # type: ignore[index,union-attr,call-overload] # plain JSON
    command = again()
    assert {*WORDS.split(), *second.split()} <= set(command)
    assert imported(reshape, *command).build == recipe.build


def test_values_that_are_measured_are_told_where_they_are_others(reshape: Project) -> None:
    imported(reshape, "--onnx=reshape.onnx", *WORDS.split(), "--shapes=x:2x4,size:4x2")
    text = (reshape.folder / "made.yaml").read_text()
    assert "--shapes=size:4x2: its opt values are measured" in text
    assert "--shapes=x:2x4,size:2x8" in again()


@pytest.mark.parametrize(
    ("dims", "given", "values"),
    [((), "n:5", [5]), ((1,), "n:5", [5]), ((3,), "n:1x2x3", [1, 2, 3])],
)
def test_values_are_told_from_shapes_by_the_model(
    dims: tuple[int, ...], given: str, values: list[int]
) -> None:
    ports = Ports((Port("n", "int64", dims),), (), quantized=False)
    made = convert(call_of(["--onnx=a.onnx", f"--optShapes={given}"]), ports)
    assert made.inputs["n"]["shape"] == list(dims)
    assert made.inputs["n"]["values"]["max"] == values


def test_values_of_another_number_are_refused(reshape: Project) -> None:
    result = trtbuild("import-trtexec", "--", "--onnx=reshape.onnx", "--optShapes=x:4x4,size:4x4x1")
    assert result.code == 2
    assert "'size' holds 2 values that decide shapes, and 4x4x1 is given" in result.err


def test_a_range_does_not_tell_trtexec_the_values(reshape: Project) -> None:
    imported(reshape, "--onnx=reshape.onnx", *WORDS.split())
    path = reshape.folder / "made.yaml"
    head, _, tail = path.read_text().partition("values: {")
    path.write_text(f"{head}range: [1, 17]}}{tail.partition('}}')[2]}")
    (variant,) = trtbuild("export-trtexec", "made.yaml", "--json").json["variants"].values()
    assert any(line.startswith("inputs.size.range: ") for line in variant["lacking"])


def test_an_imported_recipe_runs_with_its_values(project: Project) -> None:
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 1]),
        helper.make_tensor_value_info("size", TensorProto.INT64, [2]),
    ]
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["a", "b"])
    node = helper.make_node("Expand", ["x", "size"], ["y"])
    graph = helper.make_graph([node], "g", ports, [output])
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.save(model, str(project.folder / "expand.onnx"))
    words = "--minShapes=size:1x2 --optShapes=size:2x8 --maxShapes=size:4x16 --skipInference"
    imported(project, "--onnx=expand.onnx", "--computeCapabilities=86", *words.split())
    result = project.trtbuild("run", "made.yaml")
    assert result.code == 0, result.err
    folder = project.folder / "build/expand"
    _, size = json.loads((folder / "fp32/build.json").read_text())["inputs"]
    assert size["values"] == {"min": [1, 2], "opt": [2, 8], "max": [4, 16]}
    with np.load(folder / "reference/reference.npz") as cases:
        assert (2, 8) in {array.shape for array in cases.values()}
