"""The precision that was obtained, by what the inspector says of an engine's layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.model.nets import in_float16
from trtbuild.precision.obtained import moving_nodes, node_types
from trtbuild.verify.obtained import Obtained
from trtbuild.verify.result import Result

INSPECTOR = Path(__file__).parents[1] / "trt" / "inspector"


def judged(inspector: str, precision: str = "fp16") -> tuple[Result, list[str]]:
    result, warned = Result(precision), list[str]()
    model = in_float16()
    Obtained(result, node_types(model), moving_nodes(model)).layers(inspector, warned.append)
    return result, warned


def layer(kind: str, *nodes: str) -> str:
    """One layer that takes and gives that type, fused from some nodes."""
    tensors = [{"Name": "t", "Datatype": kind}]
    names = "\x1f".join(f"[ONNX Layer: {name}]" for name in nodes)
    found = {"Name": "a", "Inputs": tensors, "Outputs": tensors, "Metadata": names}
    return json.dumps({"Layers": [found]})


@pytest.mark.parametrize(
    ("engine", "precision"),
    [("digits_fp16", "fp16"), ("digits_fp8", "fp8"), ("minilm_int8", "int8"),
     ("minilm_int4", "int4"), ("digits_fp16", "fp32")],
)  # fmt: skip
def test_engines_that_have_it_pass(engine: str, precision: str) -> None:
    result, warned = judged((INSPECTOR / f"{engine}.json").read_text(), precision)
    assert result.failures == []
    assert warned == []
    assert result.obtained["layers"]


def test_an_engine_in_fp32_fails_an_fp16_variant_and_the_share_is_named() -> None:
    # A real engine in fp8 on fp32: whatever else it is, it is not in fp16.
    result, _ = judged((INSPECTOR / "digits_fp8.json").read_text())
    assert result.failures == [
        "none of the layers of the engine computes in fp16: 9 of 15 in fp32, 6 of 15 in fp8"
    ]
    assert "keep fewer nodes" in result.hint
    result, _ = judged(layer("Float", "product", "relu"))
    assert result.failures == ["none of the layers of the engine computes in fp16: 1 of 1 in fp32"]


def test_a_kernel_that_converts_within_itself_is_a_warning() -> None:
    result, (warned,) = judged(layer("Float", "down", "product", "relu", "up"))
    assert result.failures == []
    assert warned == (
        "no layer of the engine shows fp16, which kernels that convert within themselves would "
        "not: 1 of 1 in fp32"
    )


def test_an_engine_that_tells_no_types_is_not_judged_by_them() -> None:
    result, warned = judged('{"Layers": ["names", "only"]}')
    assert (result.failures, warned, result.obtained) == ([], [], {})
