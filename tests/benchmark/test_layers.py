from __future__ import annotations

import json

from trtbuild.benchmark.layers import LayerTimes, layer_facts, layer_table, layer_types


def test_two_layers_of_one_name_are_told_apart_by_their_place() -> None:
    times = LayerTimes()
    for _ in range(2):
        for name, ms in (("conv", 2.0), ("copy", 1.0), ("copy", 3.0)):
            times.report(name, ms)
    assert [(layer.name, layer.total_ms) for layer in times.layers] == [
        ("conv", 4.0),
        ("copy", 2.0),
        ("copy", 6.0),
    ]
    assert times.count == 2


def test_facts_of_a_layer_name_the_onnx_nodes_it_was_fused_from() -> None:
    inspector = json.dumps(
        {
            "Layers": [
                {
                    "Name": "conv + relu",
                    "LayerType": "CaskConvolution",
                    "TacticName": "sm80_xmma",
                    "Metadata": "[ONNX Layer: /net/conv/Conv]\x1e[ONNX Layer: /net/Relu[0]]",
                    "Outputs": [{"Name": "t", "Format/Datatype": "Row major linear FP16 format"}],
                }
            ]
        }
    )
    facts = layer_facts(inspector.replace(" format", ""))["conv + relu"]
    assert facts.onnx == ("/net/conv/Conv", "/net/Relu[0]")
    assert (facts.kind, facts.tactic) == ("CaskConvolution", "sm80_xmma")
    assert facts.types == ("FP16",)


def test_the_nodes_of_a_layer_of_rtx_are_told_apart() -> None:
    layer = {  # as TensorRT-RTX 1.6.1.120 tells it
        "Name": "node_Conv_750_myl0_2",
        "Metadata": "[ONNX Layer: node_Conv_750]\x1f[ONNX Layer: node_relu]",
    }
    facts = layer_facts(json.dumps({"Layers": [layer]}))["node_Conv_750_myl0_2"]
    assert facts.onnx == ("node_Conv_750", "node_relu")


def test_the_newer_inspector_has_the_type_in_a_field_of_its_own() -> None:
    layer = {"Name": "a", "Outputs": [{"Name": "t", "Format": "Linear", "DataType": "Half"}]}
    assert layer_facts(json.dumps({"Layers": [layer]}))["a"].types == ("Half",)


def test_an_engine_that_tells_names_only_gives_the_nodes_in_them() -> None:
    names = ["/a/Conv + /b/Relu", "{ForeignNode[/c/MatMul.../d/Add]}", "Reformatting CopyNode"]
    facts = layer_facts(json.dumps({"Layers": names}))
    assert [facts[name].onnx for name in names] == [
        ("/a/Conv", "/b/Relu"),
        ("/c/MatMul", "/d/Add"),
        (),
    ]


def test_no_inspector_text_is_no_error() -> None:
    assert layer_facts("") == {}
    assert layer_facts('{"Layers": []}') == {}


def test_the_table_has_the_slowest_layer_first_and_its_share() -> None:
    times = LayerTimes()
    for name, ms in (("fast", 1.0), ("slow", 3.0)):
        times.report(name, ms)
    table = layer_table(times, {})
    assert [(row["name"], row["percentage"]) for row in table] == [("slow", 75.0), ("fast", 25.0)]


def test_types_are_counted_by_the_names_of_precisions() -> None:
    outputs = [{"DataType": name} for name in ("Half", "FP16", "Float", "BF16", "Int8", "FP32")]
    layers = [{"Name": str(n), "Outputs": [output]} for n, output in enumerate(outputs)]
    found = layer_types(json.dumps({"Layers": layers}))
    assert found == {"bf16": 1, "fp16": 2, "fp32": 2, "int8": 1}
    assert layer_types(json.dumps({"Layers": ["names", "only"]})) == {}
