"""Runs one step after the other over the cases, and compares what comes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from trtbuild.errors import StageError
from trtbuild.model.compare import Tally, compare
from trtbuild.model.names import nearest
from trtbuild.verify.result import OutputResult, Step
from trtbuild.verify.results import Results
from trtbuild.verify.tolerance import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from trtbuild.model.cases import CaseReader
    from trtbuild.model.inputs import Arrays
    from trtbuild.reporter import Reporter


class Model(Protocol):
    """A step that can be run: a graph, or an engine."""

    inputs: tuple[str, ...]

    # The outputs of each case, in order; reads a case when it needs it.
    def results(self, cases: Iterator[Arrays]) -> Iterator[Arrays]: ...


class Comparer:
    """Compares steps in order: each output with the source model's of the same name (where that
    has none, with the first step's that has it), and with that of the step before.
    """

    def __init__(
        self,
        reader: CaseReader,
        folder: Path,
        *,
        precision: str,
        tolerance: Mapping[str, float],
        reporter: Reporter,
    ) -> None:
        self._reader = reader
        self._folder = folder
        self._precision = precision
        self._tolerance = tolerance
        self._reporter = reporter
        self._firsts: dict[str, Results] = {}  # output that the source lacks -> first step's
        self._counted = frozenset(reader.counted())
        self.last: Results | None = None

    @property
    def has_source(self) -> bool:
        """Whether the source model was run, so that there is something to compare with."""
        return bool(self._reader.output_names())

    def compare(self, name: str, model: Model) -> Step:
        """Run a step over every case that has its inputs, and judge its outputs.

        Raises StageError where it fails to run, or no case has its inputs.
        """
        indices = self._runnable(name, model.inputs)
        results = Results(name, indices, self._folder / name)
        tallies: dict[str, Tally] = {}
        before: dict[str, Tally] = {}
        feeds = (self._values(index, model.inputs) for index in indices)
        for done, (index, outputs) in enumerate(
            zip(indices, model.results(feeds), strict=True), start=1
        ):
            results.write(index, outputs)
            self._tally(tallies, self._bases(index, outputs), index, outputs)
            if self.last is not None and index in self.last.indices:
                self._tally(before, self.last.read(index), index, outputs)
            self._reporter.progress(
                f"comparing {name}, case {done} of {len(indices)}", done / len(indices)
            )
        self.last = results
        return self._step(results, tallies, before)

    def _step(
        self, results: Results, tallies: Mapping[str, Tally], before: Mapping[str, Tally]
    ) -> Step:
        source = self._reader.output_names()
        new = tuple(name for name in results.names if name not in tallies)
        self._firsts.update((name, results) for name in new)
        if new:
            self._reporter.warn(
                f"{results.name}: the source model has no output {', '.join(map(repr, new))}, so "
                "nothing says whether it is right; later steps are compared with this one"
            )
        judged = (
            self._output(name, tally, before.get(name), source) for name, tally in tallies.items()
        )
        missing = tuple(name for name in source if name not in results.names)
        return Step(results.name, len(results.indices), tuple(judged), new, missing)

    def _output(
        self, name: str, tally: Tally, before: Tally | None, source: Sequence[str]
    ) -> OutputResult:
        breaches = judge(name, tally, self._tolerance, self._precision)
        worst = breaches[0].case if breaches else tally.worst_case()
        return OutputResult(
            name=name,
            against="source" if name in source else self._firsts[name].name,
            metrics=tally.metrics(),
            previous=before.metrics() if before else None,
            worst_case=(self._reader.kind(worst), worst) if worst is not None else None,
            breaches=breaches,
        )

    def _tally(self, tallies: dict[str, Tally], bases: Arrays, index: int, outputs: Arrays) -> None:
        for name, values in outputs.items():
            if name in bases:
                tally = tallies.setdefault(name, Tally())
                tally.add(compare(values, bases[name]), index, shares=index in self._counted)

    def _bases(self, index: int, outputs: Arrays) -> Arrays:
        """What the outputs of a case are judged by."""
        bases = self._reader.outputs(index)
        for name in outputs:
            first = self._firsts.get(name)
            if name not in bases and first and index in first.indices:
                bases[name] = first.read(index)[name]
        return bases

    def _values(self, index: int, names: Sequence[str]) -> Arrays:
        """A step's inputs: the model's, or an extra of the dataset for a tensor inside of it."""
        values = {**self._reader.extras(index), **self._reader.inputs(index)}
        return {name: values[name] for name in names}

    def _runnable(self, step: str, names: Sequence[str]) -> list[int]:
        indices = [n for n in range(len(self._reader)) if set(names) <= self._reader.names(n)]
        if indices:
            return indices
        known = set().union(*(self._reader.names(n) for n in range(len(self._reader))))
        lost = [name for name in names if name not in known]
        raise StageError(
            f"{step} cannot be compared: its graph takes "
            + ", ".join(f"'{name}'{nearest(name, known)}" for name in lost)
            + ", for which the dataset has no values",
            where=step,
            hint="add arrays of these names to the dataset: an input that surgery made is looked "
            "for among the arrays that are no input of the source model",
        )
