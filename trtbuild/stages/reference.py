"""Runs the source model over the dataset: what every later step is compared with."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import chain, islice, product
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

from trtbuild.dataset import open_dataset, random
from trtbuild.dataset.base import Batch
from trtbuild.errors import StageError
from trtbuild.model.cases import Case, CaseWriter
from trtbuild.model.inputs import SIZES, fitted, shape_of
from trtbuild.model.onnx_file import load_structure, output_types
from trtbuild.model.runner import UnsupportedModelError, open_model
from trtbuild.stages.demand import stage_demand
from trtbuild.trt.tensors import shape_problems

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from trtbuild.dataset.base import Demand
    from trtbuild.model.inputs import Array, Arrays
    from trtbuild.recipe.model import Input, Options, Shape
    from trtbuild.reporter import Reporter
    from trtbuild.stages.base import StageContext

    Inputs: TypeAlias = tuple[Input, ...]


_NOISE = 1e-3
"""What two runs of one model may differ by, relative to the largest value: threads that add in
another order change the last digits only."""


class Source(Protocol):
    """The model as the user gave it."""

    # Its outputs, by the names that the exported ONNX gives them.
    def run(self, values: Arrays) -> Arrays: ...


def run(context: StageContext) -> None:
    """Write reference.npz and reference.json: cases at min, opt and max, those of each of the
    recipe's optimization profiles, then the data.

    Where only a GPU can run the source (an ONNX file with plugins) they have inputs alone, with a
    warning. Raises StageError where the data does not fit the model, or the model fails on it.
    """
    demand = stage_demand(context, context.options, "verify")
    context.reporter.progress("loading the source model")
    names = tuple(o.name for o in output_types(load_structure(context.inputs["exported"])))
    options = _options(context.options["source"])
    source = _open_source(options, context, names)
    count = 0
    varying: tuple[str, ...] = ()
    with CaseWriter(context.outputs / "reference.json") as writer:
        for index, (kind, batch) in enumerate(_cases(demand, _profiles(context, demand))):
            context.reporter.progress(f"running the source model, case {index + 1} ({kind})")
            outputs = _run(source, kind, batch.inputs)
            _warn_not_finite(outputs, kind, context.reporter)
            if not index:
                varying = _varying(outputs, _run(source, kind, batch.inputs))
            writer.add(kind, Case(batch.inputs, outputs, batch.extras))
            count += kind == "data"
        writer.finish(str(options["kind"]), _provenance(demand, count), varying)
    if varying:
        context.reporter.warn(
            f"the source model is not deterministic: {', '.join(map(repr, varying))} differs "
            "between two runs on the same values, so that nothing can be compared with it"
        )


def _options(value: Any) -> Options:
    assert isinstance(value, dict)  # noqa: S101 - the plan wrote it
    return value


def _profiles(context: StageContext, demand: Demand) -> tuple[Inputs, ...]:
    """The inputs as each optimization profile has them."""
    profiles: Any = context.options.get("profiles") or ()
    return tuple(
        tuple(item.in_profile(shapes.get(item.name)) for item in demand.inputs)
        for shapes in profiles
    )


def _cases(demand: Demand, profiles: tuple[Inputs, ...]) -> Iterator[tuple[str, Batch]]:
    """Kind and batch of each case: the shapes, then the data."""
    data = open_dataset(demand)
    first = list(islice(data, 1))
    for kind, size, inputs in _sizes(demand.inputs, profiles):
        yield kind, Batch(_at_size(replace(demand, inputs=inputs), size, first), {})
    yield from (("data", batch) for batch in chain(first, data))


def _sizes(own: Inputs, profiles: tuple[Inputs, ...]) -> Iterator[tuple[str, str, Inputs]]:
    """Kind, size and inputs of each case.

    The recipe's own shapes come once each, opt rather than others. Those of a profile come until
    they were there for each profile that takes them, since an engine runs them on one after the
    other: so each profile runs at its own min, opt and max.
    """
    shapes = {size: _shapes(own, size) for size in SIZES}
    wanted = [size for size in SIZES if size == "opt" or shapes[size] != shapes["opt"]]
    yield from ((size, size, own) for size in wanted)
    made = Counter(shapes[size] for size in wanted)
    for (index, inputs), size in product([*enumerate(profiles)] * len(profiles), SIZES):
        found = _shapes(inputs, size)
        if made[found] < sum(_takes(profile, found) for profile in profiles):
            made[found] += 1
            yield f"{size} of profile {index}", size, inputs


def _shapes(inputs: Inputs, size: str) -> tuple[Shape, ...]:
    return tuple(shape_of(item, size) for item in inputs)


def _takes(inputs: Inputs, shapes: tuple[Shape, ...]) -> bool:
    """Whether an engine would run these shapes in the profile."""
    given = {item.name: shape for item, shape in zip(inputs, shapes, strict=True)}
    return not shape_problems(given, {item.name: (item.min, item.opt, item.max) for item in inputs})


def _at_size(demand: Demand, size: str, data: list[Batch]) -> Arrays:
    """The first batch of the data, fitted to a shape; random values where there is no data."""
    if demand.options["kind"] == "random":
        return random.at_size(demand, size)
    return {
        item.name: fitted(data[0].inputs[item.name], shape_of(item, size)) for item in demand.inputs
    }


def _provenance(demand: Demand, count: int) -> dict[str, Any]:
    kind = str(demand.options["kind"])
    if kind == "random":
        note = f"seeded random values (seed {demand.options.get('seed', 0)})"
    else:
        note = f"the recipe's dataset ({kind}), {count} batches of up to {demand.batch}"
    return {"kind": kind, "note": note, "batches": count, "batch": demand.batch}


def _run(source: Source, kind: str, inputs: Arrays) -> Arrays:
    try:
        return source.run(inputs)
    except StageError as error:
        shapes = ", ".join(f"{name} {list(values.shape)}" for name, values in inputs.items())
        at = "the dataset" if kind == "data" else f"the {kind} shapes"
        raise StageError(
            f"the source model fails on {at} ({shapes}): {error.what}",
            where=error.where,
            hint="correct the shapes in the recipe, or the model"
            if kind != "data"
            else "correct the data, or the model",
        ) from error


def _varying(first: Arrays, second: Arrays) -> tuple[str, ...]:
    """The outputs that differ by more than the order of sums explains."""
    return tuple(name for name, values in first.items() if not _alike(values, second[name]))


def _alike(first: Array, second: Array) -> bool:
    if first.shape != second.shape or first.dtype.kind in "iub":
        return np.array_equal(first, second)
    wide, other = first.astype(np.float64), second.astype(np.float64)
    largest = float(np.abs(wide[np.isfinite(wide)]).max(initial=0.0))
    return np.allclose(wide, other, rtol=_NOISE, atol=_NOISE * largest, equal_nan=True)


def _warn_not_finite(outputs: Arrays, kind: str, reporter: Reporter) -> None:
    for name, values in outputs.items():
        if values.dtype.kind not in "iub" and not np.isfinite(values).all():
            reporter.warn(f"the source model itself gives NaN or infinity in '{name}' ({kind})")


def _open_source(source: Options, context: StageContext, names: tuple[str, ...]) -> Source:
    if source["kind"] == "onnx":
        try:
            return _Onnx(context.inputs["onnx"], names)
        except UnsupportedModelError as error:
            context.reporter.warn(
                f"the source model is not run, so nothing says what is right: {error.what}; "
                f"{error.hint}"
            )
            return _Unknown()
    if source["kind"] == "exported_program":
        return _Program(context.inputs["program"], names)
    return _Module(source, context, names)


class _Onnx:
    """An ONNX file, by onnxruntime."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        self._runner, self._names = open_model(path), names

    def run(self, values: Arrays) -> Arrays:
        return self._runner.run(values, self._names)


class _Unknown:
    """A model that does not run here."""

    def run(self, _: Arrays) -> Arrays:
        return {}


class _Module:
    """A torch module, eager."""

    def __init__(self, source: Options, context: StageContext, names: tuple[str, ...]) -> None:
        from trtbuild.model.torch_source import load_module

        self._reference = str(source["factory"])
        self._module = load_module(source, context.inputs, context.folder)
        self._names = names

    def run(self, values: Arrays) -> Arrays:
        from trtbuild.model import torch_source

        tensors = {name: torch_source.to_tensor(array) for name, array in values.items()}
        results = torch_source.call_module(self._module, tensors, self._reference)
        return _chosen(self._names, {n: torch_source.to_array(t) for n, t in results.items()})


class _Program:
    """A torch.export.ExportedProgram, eager."""

    def __init__(self, path: Path, names: tuple[str, ...]) -> None:
        from trtbuild.model.torch_source import load_program

        self._program = load_program(path)
        self._module = self._program.module()
        self._names = names

    def run(self, values: Arrays) -> Arrays:
        from trtbuild.model import torch_source

        tensors = {name: torch_source.to_tensor(array) for name, array in values.items()}
        results = torch_source.call_program(self._program, self._module, tensors)
        return _chosen(self._names, {n: torch_source.to_array(t) for n, t in results.items()})


def _chosen(names: tuple[str, ...], results: Arrays) -> Arrays:
    """The outputs that the exported graph has: by the model's own names where it has these, else
    in the model's order, whose last ones it may lack.
    """
    from trtbuild.model.torch_outputs import are_own

    if are_own(names, results):
        return {name: results[name] for name in names}
    if len(results) < len(names):
        raise StageError(
            f"the source model returned {len(results)} tensors, but the exported graph has "
            f"{len(names)} outputs: {', '.join(names)}",
            hint="return the same number of tensors for every shape",
        )
    return dict(zip(names, results.values(), strict=False))
