"""Decides which nodes get Q/DQ: what the recipe asks for, less what does not pay or not work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import onnx

from trtbuild.errors import OptionError, StageError
from trtbuild.model.names import nearest
from trtbuild.precision.graph import attributes
from trtbuild.precision.names import select_nodes
from trtbuild.precision.sites import DEFAULT_OPS, Site, find_sites, no_site

Eight = Literal["int8", "fp8"]


@dataclass(frozen=True, slots=True)
class Wish:
    """What the recipe says of an 8-bit precision.

    `op_types` are of QUANTIZABLE, none means DEFAULT_OPS; `exclude` are node names, patterns or
    operator types; `attention` is whether products of two activations are quantized too.
    """

    kind: Eight
    op_types: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    attention: bool = False
    per_channel: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A node that could be quantized but is not, and why."""

    node: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The nodes that get Q/DQ, in the order of the graph, and those that do not."""

    sites: tuple[Site, ...]
    left_out: tuple[LeftOut, ...]


EXCLUDED, KEPT = "excluded by the recipe", "kept in fp32 by the recipe"
"""Why a node is left out that the recipe names."""


def choose(
    model: onnx.ModelProto,
    wish: Wish,
    amax: Mapping[str, float],
    kept: frozenset[str] = frozenset(),
) -> Choice:
    """What of a prepared float32 model is quantized, given the calibrated tensors.

    `kept` are the nodes that stay in float32 altogether.

    Raises OptionError for an operator that the model lacks, a pattern that matches nothing, and
    where the recipe leaves out all that could be quantized; StageError where nothing else is left.
    """
    _require_present(model, wish)
    named = dict.fromkeys(select_nodes(model, wish.exclude, key="exclude"), EXCLUDED)
    named |= dict.fromkeys(kept, KEPT)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    wanted = wish.op_types or DEFAULT_OPS
    chosen: list[Site] = []
    left_out: list[LeftOut] = []
    sites = {site.node: site for site in find_sites(model)}
    for node in model.graph.node:
        site = sites.get(node.name)
        if site is None and node.op_type in wish.op_types:
            left_out.append(LeftOut(node.name, node.op_type, no_site(node.op_type)))
        if site is None or site.op_type not in wanted:
            continue
        reason = named.get(site.node) or _refusal(site, wish, node, shapes, amax)
        if reason:
            left_out.append(LeftOut(site.node, site.op_type, reason))
        else:
            chosen.append(site)
    if not chosen:
        raise _nothing(model, wish, wanted, left_out)
    return Choice(tuple(chosen), tuple(left_out))


def error_of(left_out: Sequence[LeftOut]) -> type[StageError]:
    """What is raised where nothing is left: whether the recipe alone leaves all out."""
    by_recipe = left_out and all(item.reason in (EXCLUDED, KEPT) for item in left_out)
    return OptionError if by_recipe else StageError


def _refusal(
    site: Site,
    wish: Wish,
    node: onnx.NodeProto,
    shapes: Mapping[str, tuple[int, ...]],
    amax: Mapping[str, float],
) -> str:
    """Why a node cannot be quantized, or does not pay; empty where it is."""
    if any(name not in amax for _, name in site.activations):
        return "not in the calibration table"
    if site.op_type in ("MatMul", "Gemm") and site.weight is None and not wish.attention:
        return "a product of two activations"
    if site.op_type == "Conv":
        if site.weight is None:
            return "a convolution with weights that are computed"
        return _small_convolution(node, shapes[site.weight.tensor], wish.kind)
    return ""


def _small_convolution(node: onnx.NodeProto, shape: tuple[int, ...], kind: Eight) -> str:
    """Convolutions that TensorRT has no 8-bit kernels for, or that are slower with them.

    The rules of ModelOpt (modelopt.onnx.quantization.graph_utils,
    find_nodes_from_convs_to_exclude): at least 16 channels in and out, with exceptions for int8.
    """
    channels_out, channels_in, *kernel = shape
    if kind == "fp8":
        if min(channels_out, channels_in) < 16:
            return "fewer than 16 channels"
        return "a kernel of more than 32 taps" if math.prod(kernel) > 32 else ""
    if min(channels_out, channels_in) >= 16:
        return ""
    if attributes(node).get("group", 1) > 1:
        good = channels_out % 8 == 0 and all(taps >= 3 for taps in kernel)
    else:
        aligned = channels_out % 8 == 0 or channels_in % 8 == 0
        good = aligned and max(channels_out, channels_in) >= 16 and len(set(kernel)) == 1
    return "" if good else "fewer than 16 channels"


def _require_present(model: onnx.ModelProto, wish: Wish) -> None:
    present = {node.op_type for node in model.graph.node}
    for op_type in wish.op_types:
        if op_type not in present:
            raise OptionError(
                f"the model has no {op_type}{nearest(op_type, present)}",
                where="op_types",
                hint=f"its operators are {', '.join(sorted(present))}",
            )


def _nothing(
    model: onnx.ModelProto, wish: Wish, wanted: Sequence[str], left_out: Sequence[LeftOut]
) -> StageError:
    reasons = sorted({item.reason for item in left_out})
    many = f"{len(left_out)} candidates are" if len(left_out) > 1 else "1 candidate is"
    why = f"{many} left out: {'; '.join(reasons)}" if left_out else _no_candidates(model, wanted)
    return error_of(left_out)(
        f"no node is left to quantize to {wish.kind}: {why}",
        hint="change op_types or exclude, or leave the precision out: it would change nothing",
    )


def _no_candidates(model: onnx.ModelProto, wanted: Sequence[str]) -> str:
    present = {node.op_type for node in model.graph.node}
    absent = ", ".join(op_type for op_type in wanted if op_type not in present)
    unfit = [f"{op_type}: {no_site(op_type)}" for op_type in wanted if op_type in present]
    return "; ".join([*([f"the model has no {absent}"] if absent else []), *unfit])
