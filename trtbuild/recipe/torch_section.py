"""Turns `model.torch` or `benchmark.torch` into its values: every default filled in."""

from __future__ import annotations

from trtbuild.recipe.model import TorchSource
from trtbuild.recipe.raw import RawTorch

OPSET = 20


def torch_section(torch: RawTorch) -> TorchSource:
    """The values of a checked section."""
    return TorchSource(
        factory=torch["factory"],
        kwargs=torch.get("kwargs", {}),
        weights=torch.get("weights"),
        weights_key=torch.get("weights_key"),
        strict=torch.get("strict", True),
        opset=int(torch.get("opset", OPSET)),
        exporter=torch.get("exporter", "dynamo"),
        files=tuple(torch.get("files", ())),
    )
