"""Tries nodes to keep in float32 as quantize and verify would: the graph itself, on every case."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.model.cases import CaseReader
from trtbuild.model.onnx_file import load_model, save_model
from trtbuild.model.runner import Runner, open_model
from trtbuild.precision.names import name_nodes
from trtbuild.precision.obtained import moving_nodes, node_types
from trtbuild.precision.sensitivity import Trial
from trtbuild.stages.convert import convert
from trtbuild.verify.obtained import Obtained
from trtbuild.verify.result import Result
from trtbuild.verify.steps import Comparer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

    from trtbuild.model.inputs import Arrays
    from trtbuild.precision.cases import Cases
    from trtbuild.stages.base import StageContext


class Proof:
    """Whether a variant would pass what verify asks of its graph: the tolerance, the precision."""

    def __init__(self, context: StageContext, cases: Cases) -> None:
        self._context, self._cases = context, cases
        options: Any = context.options
        self._tolerance, self._renames = options.get("tolerance") or {}, options.get("renames")

    def tried(self, kept: tuple[str, ...]) -> Trial:
        """What comes of it where these nodes are kept beside those that the options keep.

        Raises StageError where a graph does not run, or lacks the precision with none kept.
        """
        context = self._context
        try:
            result = convert(load_model(context.inputs["model"]), context, self._cases, kept)
        except StageError:
            if kept:
                return Trial.TOO_FEW
            raise
        if failure := self._not_obtained(result.model):
            if kept:
                return Trial.TOO_MANY
            raise StageError(failure.failures[0], hint=failure.hint)
        with self._comparison() as (comparer, place, source):
            path = place / "model.onnx"
            save_model(result.model, path)
            graph = _Graph(open_model(path))
            if not graph.outputs <= source:  # what surgery made is the measure
                comparer.compare("surgery", self._float32())
            off = comparer.compare("quantize", graph).breaches
            return Trial.TOO_FEW if off else Trial.ENOUGH

    def _not_obtained(self, model: onnx.ModelProto) -> Result | None:
        """What verify fails for a graph that has nothing in the precision; None where it has."""
        result = Result(str(self._context.options["precision"]))
        name_nodes(model)
        Obtained(result, node_types(model), moving_nodes(model)).graph()
        return result if result.failures else None

    def float32_holds(self) -> bool:
        """Whether the outputs of the float32 graph itself are within the tolerance.

        Raises StageError where it does not run.
        """
        with self._comparison() as (comparer, _, _):
            return not comparer.compare("surgery", self._float32()).breaches

    def _float32(self) -> _Graph:
        return _Graph(open_model(self._context.inputs["model"]))

    @contextmanager
    def _comparison(self) -> Iterator[tuple[Comparer, Path, set[str]]]:
        """What compares graphs, a folder for them, and the outputs of the source model."""
        context = self._context
        with tempfile.TemporaryDirectory(dir=context.outputs) as place, ExitStack() as stack:
            reader = CaseReader(context.inputs["reference"], self._renames)
            stack.callback(reader.close)
            comparer = Comparer(
                reader,
                Path(place),
                precision=str(context.options["precision"]),
                tolerance=self._tolerance,
                reporter=context.reporter,
            )
            yield comparer, Path(place), set(reader.output_names())


class _Graph:
    """An ONNX graph, as Comparer runs one."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self.inputs = tuple(item.name for item in runner.inputs)
        self.outputs = {item.name for item in runner.outputs}

    def results(self, cases: Iterator[Arrays]) -> Iterator[Arrays]:
        return (self._runner.run(values) for values in cases)
