"""Casts a float32 graph to mixed float16 or bfloat16 with ModelOpt's AutoCast."""

from __future__ import annotations

import importlib
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

import onnx

from trtbuild.errors import MissingPackage, StageError
from trtbuild.model.onnx_file import dtype_name, opset_of, save_model
from trtbuild.precision.constants import LARGEST
from trtbuild.precision.graph import element_types
from trtbuild.precision.limits import KEPT_OPS

Low = Literal["fp16", "bf16"]

MARGIN = 4.0
"""A node whose values reach the type's largest value divided by this stays in float32: other data
than was measured goes further, and so do the partial sums of a kernel.

ModelOpt's limit is 512, from where on a float16 is a multiple of 0.5 or more. But its digits are as
many at 10000 as at 1, and what rounding costs is what `verify` measures: without that limit
crepe_tiny has 65 dB instead of 70 in an engine of three quarters of the size, and ppocr4_det 16
nodes fewer in float32 for 0.02 dB; the other published models are as they were."""

SUMMED = 512.0
"""The same of nodes that add up their input. A kernel may do that in the type itself, as TensorRT
warns of float16: 128 values of this size are its range."""

_SUMS = frozenset(
    (
        *("AveragePool", "GlobalAveragePool", "GlobalLpPool", "GroupNormalization"),
        *("InstanceNormalization", "LayerNormalization", "LpNormalization", "LpPool", "LRN"),
        *("MeanVarianceNormalization", "RMSNormalization", "ReduceL1", "ReduceL2"),
        *("ReduceLogSum", "ReduceLogSumExp", "ReduceMean", "ReduceSum", "ReduceSumSquare"),
    )
)

OPSETS = {"fp16": 13, "bf16": 22}
"""The first opset whose operators take the type, as far as ModelOpt uses them."""


class Rule(Protocol):
    """What AutoCast asks of each node after it has tidied the graph."""

    # Whether the node stays in float32.
    def check(self, node: onnx.NodeProto) -> bool: ...


class KeepRule:
    """Keeps nodes in float32: those that the recipe names, whose values are too large, or whose
    operator the backend refuses in the lower type.

    AutoCast tidies the graph first: it fuses layer normalisations and converts the opset, which
    makes nodes that the recipe cannot know. Such a node stays in float32 where the recipe names
    any of the nodes whose work it does.
    """

    def __init__(
        self,
        model: onnx.ModelProto,
        low: Low,
        keep: frozenset[str],
        large: Mapping[str, float],
    ) -> None:
        self._keep = keep
        self._refused = KEPT_OPS[low]
        self._most = LARGEST[low] / MARGIN
        self._large = large  # tensor -> largest magnitude, of those beyond SUMMED at least
        self._names = {node.name for node in model.graph.node}
        self._makers = {name: node for node in model.graph.node for name in node.output}
        self.reasons: dict[str, str] = {}  # of the nodes kept so far: a Kept.reason
        self.too_large: set[str] = set()  # the tensors that some of them are kept for

    def check(self, node: onnx.NodeProto) -> bool:
        """Whether the node stays in float32."""
        if node.op_type == "Constant":
            return False
        names = {node.name} if node.name in self._names else self._replaced(node)
        if not self._keep.isdisjoint(names):
            self.reasons[node.name] = "recipe"
        elif large := self._too_large(node):
            self.reasons[node.name] = "range"
            self.too_large |= large
        elif node.op_type in self._refused:
            self.reasons[node.name] = "backend"
        return node.name in self.reasons

    def _too_large(self, node: onnx.NodeProto) -> set[str]:
        most = SUMMED if node.op_type in _SUMS else self._most
        return {n for n in (*node.input, *node.output) if not self._large.get(n, 0.0) <= most}

    def _replaced(self, node: onnx.NodeProto) -> set[str]:
        """The nodes of the original graph between the inputs and the outputs of a new node."""
        found: set[str] = set()
        reached, open_ = set(node.input), list(node.output)
        while open_:
            maker = self._makers.get(open_.pop())
            if maker is not None and maker.name not in found:
                found.add(maker.name)
                open_.extend(name for name in maker.input if name not in reached)
        return found


def cast_down(
    model: onnx.ModelProto, low: Low, *, keep_io_types: bool, rule: Rule, opset: int
) -> onnx.ModelProto:
    """The model with casts around the nodes that run in the lower precision, at the opset or above.

    AutoCast's own range analysis is switched off (`data_max` infinite), since it runs polygraphy
    on one case and holds every tensor of it: `rule` decides by ranges measured before.

    Raises MissingPackage without ModelOpt, StageError where it cannot convert the model.
    """
    convert = modelopt_module("modelopt.onnx.autocast.convert")
    with tempfile.TemporaryDirectory(prefix="trtbuild-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch and ModelOpt, not ours
        path = Path(folder) / "model.onnx"
        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # saving may move the weights out of it
        save_model(copy, path)
        try:
            return convert.convert_to_mixed_precision(
                str(path),
                low_precision_type=low,
                keep_io_types=keep_io_types,
                data_max=float("inf"),
                init_max=float("inf"),
                custom_rule=rule,
                opset=max(opset, opset_of(model)),
            )
        except Exception as error:  # ModelOpt raises bare Exception, and lets onnx's errors out
            raise _refused(model, low, " ".join(str(error).split())[:600]) from error


def _refused(model: onnx.ModelProto, low: Low, said: str) -> StageError:
    """ModelOpt takes some models in the other 16-bit type, but where not it does not say so."""
    other = onnx.TensorProto.BFLOAT16 if low == "fp16" else onnx.TensorProto.FLOAT16
    if other in element_types(model).values():
        already = f"the model is in {dtype_name(other)} already"
        return StageError(
            f"{already}, which ModelOpt cannot cast to {low}: {said}",
            hint="export the model in float32, which every precision is made of",
        )
    return StageError(
        f"ModelOpt cannot cast the model to {low}: {said}",
        hint="keep the operator that it names in keep_fp32, or build fp32 only",
    )


def modelopt_module(name: str) -> Any:
    """A module of ModelOpt, imported without its warnings. Raises MissingPackage without it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside torch and ModelOpt, not ours
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise MissingPackage(
                f"precisions below fp32 need {error.name or 'nvidia-modelopt'}",
                hint="pip install 'trtbuild[quantize]'",
            ) from error
