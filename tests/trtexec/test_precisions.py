"""trtexec's options about types, and the precisions of the recipe that they become."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.project import Project
from tests.trtexec.commands import data_of, imported, told_in, trtbuild


@pytest.mark.parametrize(
    ("words", "precisions"),
    [
        ("--fp16", ["fp16"]),
        ("--fp16 --int8", {"int8": {"base": "fp16"}}),
        ("--fp8 --bf16", {"fp8": {"base": "bf16"}}),
        ("--int8", ["int8"]),
        ("--fp16 --bf16", ["fp16", "bf16"]),
        ("--stronglyTyped", ["fp32"]),
        (
            "--fp16 --precisionConstraints=obey --layerPrecisions=mm:fp32,relu:fp32",
            {"fp16": {"keep_fp32": ["mm", "relu"]}},
        ),
        ("--fp16 --layerPrecisions=mm:fp32", ["fp16"]),
        ("--fp16 --precisionConstraints=obey --layerPrecisions=mm:fp32,*:fp16", ["fp16"]),
        ("--precisionConstraints=obey --layerPrecisions=mm:fp32", ["fp32"]),
        ("--fp16 --stronglyTyped --int8", ["fp32"]),
        ("--best", {"fp32": {}, "fp16": {}, "int8": {"base": "fp16"}, "best": {}}),
        (
            "--fp16 --inputIOFormats=fp16:chw --outputIOFormats=fp16:chw",
            {"fp16": {"keep_io_types": False}},
        ),
        (
            "--fp16 --int8 --inputIOFormats=fp16:hwc8 --outputIOFormats=fp16:chw",
            {"int8": {"base": "fp16", "keep_io_types": False}},
        ),
        ("--fp16 --inputIOFormats=fp32:chw --outputIOFormats=fp32:chw", ["fp16"]),
    ],
)
def test_options_about_types_become_precisions(
    project: Project, words: str, precisions: Any
) -> None:
    data = data_of(project, "--onnx=net.onnx", "--optShapes=x:4x4", *words.split())
    assert data["precisions"] == precisions


def test_a_type_that_no_precision_gives_is_told(project: Project) -> None:
    words = "--optShapes=x:4x4 --fp16 --inputIOFormats=fp16:chw --outputIOFormats=fp32:chw"
    assert data_of(project, "--onnx=net.onnx", *words.split())["precisions"] == ["fp16"]
    text = told_in(project)
    assert "'x' is float32 in the graph, not float16" in text
    assert "precisions.fp16.keep_io_types: false gives it to all of float32, a Cast" in text
    imported(project, "--onnx=net.onnx", *words.replace("--fp16", "--int8").split())
    assert "keep_io_types" not in told_in(project)
    assert "; a Cast in a surgery hook gives it another" in told_in(project)


def test_a_graph_with_types_of_its_own_keeps_them(project: Project) -> None:
    words = "--onnx=net.onnx --optShapes=x:4x4 --stronglyTyped --fp16 --int8"
    data = data_of(project, *words.split())
    assert data["precisions"] == ["fp32"]
    assert "calibration" not in data
    assert "--stronglyTyped switches --fp16 --int8 off" in told_in(project)
    assert "puts it into the graph" not in told_in(project)
    result = trtbuild("import-trtexec", "--", "--onnx=net.onnx", "--best", "--stronglyTyped")
    assert "trtexec refuses it beside --stronglyTyped" in result.err


def test_a_calibration_cache_is_taken(project: Project) -> None:
    data = data_of(project, "--onnx=net.onnx", "--optShapes=x:4x4", "--int8", "--calib=old.cache")
    assert data["calibration"] == {"table": "old.cache"}


def test_a_model_that_is_quantized_already_gets_no_precision(project: Project) -> None:
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    zero = numpy_helper.from_array(np.int8(0), "zero")
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["y"]),
    ]
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [2, 4]) for n in ("x", "y")]
    graph = helper.make_graph(nodes, "g", ports[:1], ports[1:], [scale, zero])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(project.folder / "qdq.onnx"))
    data = data_of(project, "--onnx=qdq.onnx", "--int8", "--fp16")
    assert data["precisions"] == ["fp16"]
    assert "calibration" not in data
    assert "--int8: the model holds Q/DQ already" in (project.folder / "made.yaml").read_text()
    assert data_of(project, "--onnx=qdq.onnx", "--best")["precisions"] == ["fp16"]
    text = (project.folder / "made.yaml").read_text()
    assert "--best: the model holds Q/DQ already" in text
    assert "each candidate" not in text
    assert "--fp16: " not in text
    assert "calibrat" not in text
