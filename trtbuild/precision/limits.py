"""What a target cannot do, known before anything is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NEEDED = {
    ("tensorrt", "bf16"): 80,
    ("tensorrt", "fp8"): 89,
    ("tensorrt_rtx", "bf16"): 80,
    ("tensorrt_rtx", "int8"): 75,
    ("tensorrt_rtx", "int4"): 80,
    ("tensorrt_rtx", "fp8"): 89,
}
"""The least compute capability, times ten, that a precision needs with a backend; every GPU that
the backend knows has the others. From the support matrices of TensorRT and TensorRT-RTX
("Hardware and Precision"); int8 on 7.5 is beyond TensorRT-RTX's matrix, but builds with 1.7."""

KEPT_OPS = {
    "fp16": frozenset(("MeanVarianceNormalization",)),
    "bf16": frozenset(
        (
            "ConvTranspose",
            "GRU",
            "HardSwish",
            "LpNormalization",
            "MeanVarianceNormalization",
            "Mish",
        )
    ),
}
"""Operators that the parser or the builder refuses in a type, so that they stay in float32. Found
by building each of 80 operators alone with TensorRT-RTX 1.7.1.116."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A target that a precision cannot run on."""

    precision: str
    backend: str
    capability: int  # of the target, times ten
    needed: int

    @property
    def what(self) -> str:
        """The message."""
        return (
            f"{self.precision} needs compute capability {self.needed / 10:.1f} with "
            f"{self.backend}, but the engine is to run on {self.capability / 10:.1f}"
        )


def beyond_target(
    precision: str, base: str, backend: str, capabilities: Sequence[int]
) -> tuple[Limit, ...]:
    """Which of the targets cannot run a precision on top of a base ("fp32", "fp16", "bf16").

    `capabilities` are compute capabilities times ten (86, 89, 120), those known: "current" of a
    machine without a GPU is not one of them.
    """
    return tuple(
        Limit(name, backend, capability, needed)
        for name in dict.fromkeys((precision, base))
        if (needed := NEEDED.get((backend, name)))
        for capability in capabilities
        if capability < needed
    )
