"""What trtexec does where no option says, which changed with 11.0: a recipe pins it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trtbuild.recipe.trtexec.read import Call, Given

_NEWER = frozenset(
    {
        *("--includeDataTransfers", "--noSpinWait", "--noCudaGraph", "--loadRefOutputs"),
        *("--refPair", "--accuracyAlgorithm", "--accuracyThreshold", "--atol", "--rtol"),
        *("--tuneBuildRoutes", "--tuneBuildRouteFile", "--setBuildRoute", "--helpBuildRoute"),
        *("--tuningSearch", "--tuningCacheFile", "--tuningTimeOut", "--tuningResultFile"),
        *("--saveAllEngines", "--dryRun", "--continue"),
    }
)
"""Options that came with 11.0 or later."""

_BEFORE: Mapping[str, Any] = {"transfers": True, "spin_wait": False, "cuda_graph": False}
_SINCE_11: Mapping[str, Any] = {"transfers": False, "spin_wait": True, "cuda_graph": True}
_RTX: Mapping[str, Any] = {
    **_SINCE_11,
    "cuda_graph": "runtime",
    "kernel_specialization": "lazy",
}


def defaults(call: Call) -> tuple[Mapping[str, Any], str]:
    """The keys of `benchmark` as this call's trtexec has them, and a note that says whose."""
    if call.backend == "tensorrt_rtx":
        return _RTX, "measured as tensorrt_rtx does: no transfers, spinning, CUDA graphs of its own"
    newer = any(option.name in _NEWER or _typeless(option) for option in call.options)
    if newer or (call.major or 0) >= 11:
        return _SINCE_11, "measured as trtexec 11 does: no transfers, spinning, a CUDA graph"
    return _BEFORE, (
        "measured as trtexec before 11.0 does: with transfers, without spinning and CUDA graph; "
        "11.0 turned all three around"
    )


def _typeless(option: Given) -> bool:
    """Formats without types, which earlier versions refuse."""
    formats = ("--inputIOFormats", "--outputIOFormats")
    return option.name in formats and ":" not in (option.value or ":")


AVERAGES = 8
"""--avgTiming where it is not given; the API's own default is 1."""
