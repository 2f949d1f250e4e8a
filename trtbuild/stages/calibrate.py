"""Finds the range of every tensor that can be quantized, from a dataset or a TensorRT cache."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trtbuild.dataset import open_dataset
from trtbuild.errors import StageError
from trtbuild.model.names import nearest
from trtbuild.model.onnx_file import load_model
from trtbuild.precision.calibration import ENOUGH, PERCENTILE, Method, calibrate
from trtbuild.precision.prepare import prepare
from trtbuild.precision.sites import candidates
from trtbuild.precision.table import Table, read_cache, write_cache, write_table
from trtbuild.stages.demand import stage_demand

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import onnx

    from trtbuild.dataset.base import Batch, Demand
    from trtbuild.model.inputs import Arrays
    from trtbuild.reporter import Reporter
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
    demand = stage_demand(context, options)
    method = Method(options["method"], options.get("percentile") or PERCENTILE)
    data = _Data(demand, f"calibrating ({method.name})", context.reporter)
    amax = calibrate(model, tensors, data, method)
    _check_count(data.taken, demand, method, context.reporter)
    kind = str(demand.options["kind"])
    if kind == "random":
        context.reporter.warn(
            "calibrated on random values, as the recipe says: the ranges are those of noise"
        )
    return Table(method.name, data.taken, kind, amax)


class _Data:
    """The batches of the dataset, counted and reported as they are given."""

    def __init__(self, demand: Demand, what: str, reporter: Reporter) -> None:
        self.taken = 0
        self._demand, self._what, self._reporter = demand, what, reporter

    def __iter__(self) -> Iterator[Arrays]:
        asked = self._demand.samples
        for batch in open_dataset(self._demand):
            self.taken += _size(batch, self._demand)
            limit = f" of {asked}" if asked else ""
            fraction = min(self.taken / asked, 1.0) if asked else None
            self._reporter.progress(f"{self._what}, sample {self.taken}{limit}", fraction)
            yield batch.inputs


def _size(batch: Batch, demand: Demand) -> int:
    """How many samples a batch holds: axis 0 of the first input that is dynamic there."""
    dynamic = [item for item in demand.batched if item.min[0] != item.max[0]]
    return next((len(batch.inputs[i.name]) for i in (*dynamic, *demand.batched)), 1)


def _check_count(taken: int, demand: Demand, method: Method, reporter: Reporter) -> None:
    if demand.samples and taken < demand.samples:
        raise StageError(
            f"{demand.samples} samples are asked for, but the dataset gives {taken}",
            where="calibration.samples",
            hint="ask for fewer, or leave `samples` out to take them all",
        )
    if taken < ENOUGH[method.name]:
        reporter.warn(
            f"{taken} samples are few for {method.name}: ranges settle from about "
            f"{ENOUGH[method.name]} on"
        )


def _given(
    model: onnx.ModelProto, tensors: tuple[str, ...], path: Path, context: StageContext
) -> Table:
    """The table in a TensorRT cache, less the names that cannot be quantized in this graph."""
    cache = read_cache(path)
    known = {name for node in model.graph.node for name in (*node.input, *node.output)}
    foreign = [name for name in cache if name not in known]
    amax = {name: cache[name] for name in tensors if name in cache}
    if not amax:
        raise StageError(
            f"the calibration table is of another model: of its {len(cache)} names none is a "
            f"tensor that can be quantized here{nearest(next(iter(cache), ''), tensors)}",
            where=str(path),
            hint=f"this model's tensors are {_listed(tensors)}; calibrate on a dataset instead, "
            "or rename the tensors by surgery",
        )
    if foreign:
        context.reporter.warn(
            f"{len(foreign)} names of the calibration table are not in the graph: "
            f"{_listed(foreign)}"
        )
    missing = [name for name in tensors if name not in cache]
    if missing:
        context.reporter.warn(
            f"{len(missing)} tensors that could be quantized are not in the calibration table, "
            f"so their nodes stay as they are: {_listed(missing)}"
        )
    return Table("table", 0, path.name, amax)


def _listed(names: list[str] | tuple[str, ...]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(f"'{name}'" for name in names[:_SHOWN]) + (
        f" and {rest} more" if rest > 0 else ""
    )
