"""What the inspector says of layers: in its forms, and as engines on an H100 really gave it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from trtbuild.trt.layers import LayerFacts, count_precisions, layer_facts, nodes_in

INSPECTOR = Path(__file__).parent / "inspector"
"""By TensorRT-RTX 1.6.1.120 on an H100: digits-cnn whole, the first layers of minilm."""


def facts_of(**layer: Any) -> LayerFacts:
    (found,) = layer_facts(json.dumps({"Layers": [{"Name": "a", **layer}]})).values()
    return found


def told(name: str) -> Mapping[str, LayerFacts]:
    return layer_facts((INSPECTOR / f"{name}.json").read_text())


def test_facts_of_a_layer_name_the_onnx_nodes_it_was_fused_from() -> None:
    facts = facts_of(
        LayerType="CaskConvolution",
        TacticName="sm80_xmma",
        Metadata="[ONNX Layer: /net/conv/Conv]\x1e[ONNX Layer: /net/Relu[0]]",
        Outputs=[{"Name": "t", "Format/Datatype": "Row major linear FP16"}],
    )
    assert facts.onnx == ("/net/conv/Conv", "/net/Relu[0]")
    assert (facts.kind, facts.tactic) == ("CaskConvolution", "sm80_xmma")
    assert facts.made == ("FP16",)


def test_the_nodes_of_a_layer_of_rtx_are_told_apart() -> None:
    facts = told("digits_fp16")["node_Conv_93_myl0_2"]
    assert facts.onnx == ("node_Conv_93", "node_relu")


def test_the_newer_inspector_has_the_type_in_a_field_of_its_own() -> None:
    output = {"Name": "t", "Format": "Linear", "DataType": "Half"}
    assert facts_of(Outputs=[output]).made == ("Half",)


def test_an_engine_that_tells_names_only_gives_the_nodes_in_them() -> None:
    names = ["/a/Conv + /b/Relu", "{ForeignNode[/c/MatMul.../d/Add]}", "Reformatting CopyNode"]
    facts = layer_facts(json.dumps({"Layers": names}))
    assert [facts[name].onnx for name in names] == [
        ("/a/Conv", "/b/Relu"),
        ("/c/MatMul", "/d/Add"),
        (),
    ]
    assert count_precisions(facts) == {}


@pytest.mark.parametrize(
    ("name", "nodes"),
    [
        ("Conv_0", ["Conv_0"]),
        ("Conv_0 + Relu_1", ["Conv_0", "Relu_1"]),
        ("node_conv2d + node_relu", ["node_conv2d", "node_relu"]),
        ("resnet/conv1/Conv2D + resnet/relu", ["resnet/conv1/Conv2D", "resnet/relu"]),
        ("/a/MatMul || /b/MatMul", ["/a/MatMul", "/b/MatMul"]),
        ("PWN(/relu/Relu)", ["/relu/Relu"]),
        ("PWN(PWN(/a/Sigmoid), /a/Mul)", ["/a/Sigmoid", "/a/Mul"]),
        ("PWN(PWN(/a/Sigmoid), PWN(/a/Mul))", ["/a/Sigmoid", "/a/Mul"]),
        (
            "/a/Conv + PWN(PWN(PWN(/a/Sigmoid), PWN(/a/Mul)), PWN(/b/Add))",
            ["/a/Conv", "/a/Sigmoid", "/a/Mul", "/b/Add"],
        ),
        (
            "PWN(Clip_9 + (Unnamed Layer* 16) [Shuffle], PWN(PWN(Add_6 + (Unnamed Layer* 11) "
            "[Shuffle] + Add_4, Clip_5), Mul_7))",
            ["Clip_9", "Add_6", "Add_4", "Clip_5", "Mul_7"],
        ),
        ("PWN(PWN((Unnamed Layer* 353) [Activation]), PWN(m.0.silu))", ["m.0.silu"]),
        ("scope(1)/Relu", ["scope(1)/Relu"]),
        ("PWN(scope(1))", ["scope(1)"]),
        ("{ForeignNode[a.weight + /a/Transpose.../b/Add]}", ["/a/Transpose", "/b/Add"]),
        ("{ForeignNode[onnx::MatMul_7 + (Unnamed Layer* 1) [Shuffle]...Add_9]}", ["Add_9"]),
        ("{ForeignNode[ONNXTRT_ShapeShuffle_336_output[Constant].../Mul_2]}", ["/Mul_2"]),
        ("{ForeignNode[(Unnamed Layer* 0) [ElementWise]]}", []),
        ("(Unnamed Layer* 13) [Shuffle]", []),
        ("Reformatting CopyNode for Input Tensor 0 to /conv1/Conv + /relu/Relu", []),
        ("Reformatting CopyNode for Output Tensor 0 to {ForeignNode[/a/MatMul.../b/Add]}", []),
        ("Reformatting CopyNode for Network Input x", []),
        ("Conv_0 input reformatter 0", []),
        ("325 copy", []),
        ("[HostToDeviceCopy 0]", []),
        ("shuffle_between_pool5_and_fc6", []),
        ("reshape_before_Gemm_57", []),
        ("copied_squeeze_after_Gemm_57", []),
        ("__myl_MulCast_myl0_3", []),
        ("__mye510_0_myl0_0", []),
        ("_gemm_mha_v2_myl0_16", []),
        ("/a/MatMul_1_myl109_5", ["/a/MatMul_1"]),
        ("/q/MatMul+/k/MatMul_myl0_2", ["/q/MatMul", "/k/MatMul"]),
        ("", []),
    ],
)
def test_the_nodes_in_a_name_are_those_that_it_was_fused_from(name: str, nodes: list[str]) -> None:
    assert nodes_in(name) == tuple(nodes)


@pytest.mark.parametrize(
    ("form", "kind"),
    [
        ("Row major linear FP32", "FP32"),
        ("Row major linear FP16 format", "FP16"),
        ("Row major Int8 format", "Int8"),
        ("Channel major FP16 format where channel % 8 == 0", "FP16"),
        ("Channel major FP16 format where C % 8 == 0 and H Stride % 32 == 0", "FP16"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "Int8"),
        ("Row major linear BFloat16", "BFloat16"),
        ("Row major linear BOOL", "BOOL"),
        ("Row major linear FP8 format", "FP8"),
        ("Half", "Half"),
        ("Float8_E4M3FN", "Float8_E4M3FN"),
        ("N/A due to dynamic shapes", ""),
    ],
)
def test_the_type_is_found_wherever_it_stands_in_a_format(form: str, kind: str) -> None:
    assert facts_of(Outputs=[{"Name": "t", "Format/Datatype": form}]).made == (kind,)


@pytest.mark.parametrize("text", ["", "[]", "null", '{"Layers": []}', '{"Layers": null}'])
def test_no_inspector_text_is_no_error(text: str) -> None:
    assert layer_facts(text) == {}


def test_a_layer_may_lack_all_that_can_be_told() -> None:
    assert facts_of(Inputs=None, Constants=None, Outputs=None, Metadata=None) == LayerFacts(
        onnx=("a",)
    )


@pytest.mark.parametrize(
    ("layer", "precision"),
    [
        ({"Inputs": [{"Datatype": "Half"}], "Outputs": [{"Datatype": "Float"}]}, "fp16"),
        ({"Inputs": [{"Datatype": "Float"}], "Outputs": [{"Datatype": "Int8"}]}, "fp32"),
        ({"Outputs": [{"Datatype": "BFloat16"}]}, "bf16"),
        ({"Inputs": [{"Datatype": "Int64"}], "Outputs": [{"Datatype": "Int32"}]}, ""),
        # As TensorRT 10 tells of tensors whose channels lie last, and of weights.
        ({"Inputs": [{"Format/Datatype": "Channel major FP16 format where C % 8 == 0"}]}, "fp16"),
        ({"Inputs": [{"Format/Datatype": "Row FP32"}], "Weights": {"Type": "Int8"}}, "int8"),
        ({"Inputs": [{"Format/Datatype": "Row FP32"}], "Weights": {"Type": "Float"}}, "fp32"),
    ],
)
def test_a_layer_computes_in_the_narrowest_type_that_it_takes(layer: Any, precision: str) -> None:
    assert facts_of(**layer).precision == precision


def test_what_real_engines_compute_in() -> None:
    assert count_precisions(told("digits_fp16")) == {"fp16": 9, "fp32": 1}
    # Six convolutions and the classifier; the first layer and what quantizes stay in fp32.
    assert count_precisions(told("digits_fp8")) == {"fp32": 9, "fp8": 6}
    int4 = told("minilm_int4")
    assert count_precisions(int4) == {"fp16": 6, "int4": 3}
    assert any(layer.shows("int4") for layer in int4.values())
    assert count_precisions(told("minilm_int8")) == {"fp16": 8, "int8": 5}
