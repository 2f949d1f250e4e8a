"""What a target cannot do, known before anything is built."""

from __future__ import annotations

import pytest

from trtbuild.precision.limits import beyond_target


@pytest.mark.parametrize(
    ("precision", "base", "backend", "capabilities", "refused"),
    [
        ("fp8", "fp32", "tensorrt_rtx", [89, 120], []),
        ("fp8", "fp32", "tensorrt_rtx", [86, 89], [86]),
        ("fp8", "fp16", "tensorrt", [80], [80]),
        ("bf16", "bf16", "tensorrt", [75, 80], [75]),
        ("int8", "fp16", "tensorrt", [75], []),
        ("int8", "bf16", "tensorrt", [75], [75]),
        ("int4", "fp16", "tensorrt_rtx", [75], [75]),
        ("fp16", "fp16", "tensorrt_rtx", [75], []),
        ("fp8", "fp16", "tensorrt_rtx", [], []),
    ],
)
def test_targets_that_lack_a_precision_are_known(
    precision: str, base: str, backend: str, capabilities: list[int], refused: list[int]
) -> None:
    found = beyond_target(precision, base, backend, capabilities)
    assert [limit.capability for limit in found] == refused


def test_the_message_names_both_capabilities() -> None:
    (limit,) = beyond_target("fp8", "fp16", "tensorrt_rtx", [86])
    assert limit.what == (
        "fp8 needs compute capability 8.9 with tensorrt_rtx, but the engine is to run on 8.6"
    )
