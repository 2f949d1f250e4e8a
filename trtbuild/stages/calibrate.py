"""Finds the range of every tensor that can be quantized, from a dataset or a TensorRT cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import load_model
from trtbuild.precision.calibration import PERCENTILE, Method, calibrate
from trtbuild.precision.prepare import prepare
from trtbuild.precision.sites import candidates
from trtbuild.precision.table import Table, read_cache, write_cache, write_table
from trtbuild.stages.samples import Samples

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from trtbuild.stages.base import StageContext

_SHOWN = 5  # names that a warning lists


def run(context: StageContext) -> None:
    """Write calibration.json, and calibration.cache in TensorRT's format.

    Raises StageError where nothing can be quantized, the data does not fit the model, or the
    cache is of another model.
    """
    model = load_model(context.inputs["model"])
    prepare(model)
    tensors = candidates(model)
    if not tensors:
        raise StageError(
            "the model has no operator that TensorRT computes in 8 bits",
            hint="leave int8 and fp8 out of the precisions: they would change nothing",
        )
    cache = context.inputs.get("table")
    table = _given(model, tensors, cache, context) if cache else _found(model, tensors, context)
    write_table(table, context.outputs / "calibration.json")
    write_cache(table, context.outputs / "calibration.cache")


def _found(model: onnx.ModelProto, tensors: tuple[str, ...], context: StageContext) -> Table:
    """The table that a dataset gives."""
    options: Any = context.options
    method = Method(options["method"], options.get("percentile") or PERCENTILE)
    what = f"calibrating ({method.name})"
    data = Samples(context, options, method=method.name, finds="ranges", what=what)
    amax = calibrate(model, tensors, data, method)
    return Table(method.name, data.taken, data.source, amax)


def _given(
    model: onnx.ModelProto, tensors: tuple[str, ...], path: Path, context: StageContext
) -> Table:
    """The table in a TensorRT cache, less the names that cannot be quantized in this graph."""
    cache = read_cache(path)
    known = {name for node in model.graph.node for name in (*node.input, *node.output)}
    foreign = [name for name in cache.amax if name not in known]
    amax = {name: cache.amax[name] for name in tensors if name in cache.amax}
    if not amax:
        raise StageError(
            f"the calibration table is of another model: of its {len(cache.amax)} names none is a "
            f"tensor that can be quantized here{nearest(next(iter(cache.amax), ''), tensors)}",
            where=str(path),
            hint=f"this model's tensors are {_listed(tensors)}; calibrate on a dataset instead, "
            "or rename the tensors by surgery",
        )
    if foreign:
        context.reporter.warn(
            f"{len(foreign)} names of the calibration table are not in the graph: "
            f"{_listed(foreign)}"
        )
    zero = [name for name, largest in amax.items() if largest == 0.0]
    if zero:
        context.reporter.warn(
            f"{len(zero)} tensors have the scale 0 in the calibration table, as if they were zero "
            f"throughout: {_listed(zero)}"
        )
    missing = [name for name in tensors if name not in cache.amax]
    if missing:
        context.reporter.warn(
            f"{len(missing)} tensors that could be quantized are not in the calibration table, "
            f"so their nodes stay as they are: {_listed(missing)}"
        )
    return Table("table", 0, cache.title, amax)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + (
        f" and {rest} more" if rest > 0 else ""
    )
