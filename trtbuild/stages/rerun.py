"""Runs one engine on golden inputs, outside of any plan: what a bundle or a rebuild is tried by."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.model.cases import CaseReader
from trtbuild.trt.contexts import EAGER
from trtbuild.trt.layers import layer_facts
from trtbuild.trt.runtime import run_engine
from trtbuild.verify.digests import digests_of
from trtbuild.verify.steps import Comparer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trtbuild.model.inputs import Arrays
    from trtbuild.stages.base import StageContext


def run(context: StageContext) -> None:
    """Roles `engine` and `reference` -> rerun.json: how it compares, a digest of each output, and
    the name, kind and tactic of each layer, as far as the engine tells.

    Options: backend, precision, inputs (names), tolerance, renames (old name -> new name).
    Raises StageError where the engine cannot be run.
    """
    options: Any = context.options
    with ExitStack() as stack:
        reader = CaseReader(context.inputs["reference"])
        stack.callback(reader.close)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=context.outputs)))
        comparer = Comparer(
            reader,
            folder,
            precision=options["precision"],
            tolerance=options["tolerance"],
            reporter=context.reporter,
        )
        engine = _Engine(context)
        step = comparer.compare("engine", engine)
        assert comparer.last is not None  # noqa: S101 - it has just compared
        digests = {
            f"{index}.{name}": digest
            for index in comparer.last.indices
            for name, digest in digests_of(comparer.last.read(index)).items()
        }
    document = {
        "cases": step.cases,
        "problems": [breach.text for breach in step.breaches],
        "outputs": digests,
        "layers": engine.layers,
    }
    (context.outputs / "rerun.json").write_text(json.dumps(document, indent=1) + "\n")


class _Engine:
    """The engine, under the names that the source model has for its tensors."""

    def __init__(self, context: StageContext) -> None:
        options: Any = context.options
        renames = options["renames"]
        self._old = {new: old for old, new in renames.items()}
        self._new = renames
        self._backend, self._path = options["backend"], context.inputs["engine"]
        self._kernels = str(options.get("kernel_specialization") or EAGER)
        self.inputs = tuple(self._old.get(name, name) for name in options["inputs"])
        self.layers: list[dict[str, str]] = []

    def _inspect(self, inspector: str) -> None:
        self.layers = [
            {"name": name, "kind": facts.kind, "tactic": facts.tactic}
            for name, facts in layer_facts(inspector).items()
        ]

    def results(self, cases: Iterator[Arrays]) -> Iterator[Arrays]:
        """The outputs of each case."""
        renamed = ({self._new.get(n, n): v for n, v in case.items()} for case in cases)
        for outputs in run_engine(
            self._path,
            self._backend,
            renamed,
            inspect=self._inspect,
            kernels=self._kernels,
        ):
            yield {self._old.get(name, name): values for name, values in outputs.items()}
