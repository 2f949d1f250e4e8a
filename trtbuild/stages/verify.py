"""Compares every step of a variant with the source model, and names the first that is off."""

from __future__ import annotations

import json
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.model.cases import CaseReader
from trtbuild.model.inputs import parse_inputs
from trtbuild.model.onnx_file import load_model, load_structure
from trtbuild.model.runner import Runner, UnsupportedModelError, open_model
from trtbuild.precision.cases import open_cases
from trtbuild.precision.losses import (
    choosing_nodes,
    leaves_some,
    loss_document,
    measure_losses,
    suggest_keeping,
)
from trtbuild.precision.names import name_nodes
from trtbuild.precision.obtained import moving_nodes, node_types
from trtbuild.precision.prepare import prepare
from trtbuild.store.digest import digest_of_file
from trtbuild.trt.contexts import EAGER
from trtbuild.trt.plugins import plugins_of
from trtbuild.verify.digests import add_engine, golden_digests
from trtbuild.verify.metrics import evaluate
from trtbuild.verify.obtained import Obtained
from trtbuild.verify.result import Result, Score, Step
from trtbuild.verify.results import CaseView, Results
from trtbuild.verify.steps import Comparer
from trtbuild.verify.tolerance import told_apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trtbuild.model.inputs import Arrays
    from trtbuild.recipe.model import Options
    from trtbuild.stages.base import StageContext

STEPS = (("export", "exported"), ("surgery", "rewritten"), ("quantize", "quantized"))
"""The steps that leave an ONNX file, in order, and the role of that file."""

LOSS_CASES = 2
"""Cases on which losses are measured: the ranking of layers settles after one or two."""


def run(context: StageContext) -> None:
    """Write verify.json; raises StageError, after that, where the variant does not pass.

    Every graph runs over the cases of the reference, and the engine where the machine has a GPU.
    """
    result = Result(str(context.options["precision"]))
    try:
        with ExitStack() as stack:
            reader = CaseReader(context.inputs["reference"])
            stack.callback(reader.close)
            # Beside the outputs, not in /tmp: outputs of all cases may be more than memory holds.
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=context.outputs))
            _verify(context, reader, Path(folder), result)
    except StageError as error:
        result.fail_by(error)
        result.suspects = ()  # it is no loss that stopped it
        raise
    finally:
        document = json.dumps(result.document(), indent=1, allow_nan=False)
        (context.outputs / "verify.json").write_text(document + "\n")
    if context.options.get("required", True):
        result.require_passed()


def _verify(context: StageContext, reader: CaseReader, folder: Path, result: Result) -> None:
    if "engine" in context.inputs:
        result.engine_digest = digest_of_file(context.inputs["engine"]).text
    result.golden = golden_digests(reader)
    result.varying = reader.varying
    tolerance: Any = context.options.get("tolerance") or {}
    comparer = Comparer(
        reader, folder, precision=result.precision, tolerance=tolerance, reporter=context.reporter
    )
    last = context.inputs["exported"]
    for step, role in STEPS:
        if role in context.inputs:
            last = context.inputs[role]
            _compare_graph(context, comparer, step, last, result)
    model = load_structure(last)
    name_nodes(model)
    obtained = Obtained(result, node_types(model), moving_nodes(model))
    if "info" in context.inputs:
        obtained.network(json.loads(context.inputs["info"].read_bytes())["tensor_types"])
    obtained.graph()
    if "quantized" in context.inputs:
        _losses(context, result)
    if context.options.get("gpu"):
        engine = _Engine(context, _renames(context))
        result.take(comparer.compare("engine", engine))
        result.engine = "compared"
        assert comparer.last is not None  # noqa: S101 - it has just compared
        add_engine(result.golden, comparer.last)
        obtained.layers(engine.layers, context.reporter.warn)
    if comparer.last is not None:
        _scores(context, reader, comparer.last, result)
    elif context.options.get("metrics"):
        context.reporter.warn("no step runs on this machine: its metrics are not evaluated")
    result.complete = True


def _compare_graph(
    context: StageContext, comparer: Comparer, step: str, path: Path, result: Result
) -> None:
    context.reporter.progress(f"loading the graph of {step}")
    try:
        names = {} if step == "export" else _renames(context)
        graph = _Graph(open_model(path), names)
    except UnsupportedModelError as error:
        if step == "export" and comparer.has_source:
            raise  # what the source model computes, its export must
        context.reporter.warn(f"{step} is not compared on this machine: {error.what}")
        result.take(Step(step, 0, (), note=f"not run: {error.what}"))
        return
    result.take(comparer.compare(step, graph))


def _renames(context: StageContext) -> dict[str, str]:
    """What surgery calls the tensors of the source model now: old name -> new name."""
    renames: Any = context.options.get("renames") or {}
    return dict(renames)


def _losses(context: StageContext, result: Result) -> None:
    """Note where the precision loses most, tensor by tensor."""
    context.reporter.progress("measuring where most is lost")
    before = load_model(context.inputs.get("rewritten", context.inputs["exported"]))
    prepare(before)
    inputs = parse_inputs(context.options["inputs"])
    renames = _renames(context)
    items = tuple(replace(item, name=renames.get(item.name, item.name)) for item in inputs)
    with open_cases(context.inputs["reference"], items, renames) as cases:
        some = cases.typical(LOSS_CASES)
    quantized = load_model(context.inputs["quantized"])
    try:
        losses = measure_losses(before, quantized, some)
    except StageError as error:
        context.reporter.warn(f"where most is lost could not be measured: {error.what}")
        return
    result.losses = loss_document(losses)
    result.suspects = suggest_keeping(losses)
    choosing = choosing_nodes(before)
    result.chooser = next((name for name in result.suspects[:1] if name in choosing), "")
    result.only_suspects = not leaves_some(before, quantized, result.precision, result.suspects)


def _scores(context: StageContext, reader: CaseReader, last: Results, result: Result) -> None:
    """Evaluate the task metrics on the last step that ran, and on the source model."""
    metrics: Any = context.options.get("metrics") or {}
    chosen = [index for index in reader.counted() if index in last.indices]
    cases = CaseView(reader, chosen, last.read)
    source = CaseView(reader, chosen, reader.outputs)
    for name, metric in metrics.items():
        context.reporter.progress(f"evaluating {name}")
        try:
            values = evaluate(name, metric, cases, context.folder)
        except StageError as error:
            if not result.failures:
                raise
            # Outputs that are off, NaN say, are why: they were named before, and come first.
            result.fail_by(error)
            continue
        before: dict[str, float] = {}
        if set(last.names) == set(reader.output_names()):  # else the metric is not for the source
            before = evaluate(name, metric, source, context.folder)
            _require_scores(values, before, last.name)
        for key, value in values.items():
            score = Score(value, before.get(key), metric.get("min"), metric.get("max"), last.name)
            result.scores[key] = score
            _gate(key, score, result)


def _require_scores(values: Mapping[str, float], before: Mapping[str, float], step: str) -> None:
    lacking = [repr(name) for name in before if name not in values]
    if lacking:
        raise StageError(
            f"the source model has the metric {', '.join(lacking)}, but {step} has no number for "
            "it",
            where="metrics",
            hint="let the hook return the same names whatever the outputs are: a limit holds for "
            "those that it returns",
        )


def _gate(name: str, score: Score, result: Result) -> None:
    if score.passed:
        return
    low = score.most is None or (score.least is not None and score.value < score.least)
    limit = score.least if low else score.most
    assert limit is not None  # noqa: S101 - one of the two is broken
    value, bound = told_apart(score.value, limit)
    source = "" if score.source is None else f" (the source model has {score.source:.6g})"
    result.fail(
        f"{score.step}: metric '{name}' is {value}, {'below' if low else 'above'} {bound}{source}",
        "if the source model has no better value, look at the dataset, its labels and the limit",
    )


class _Graph:
    """An ONNX graph, on the CPU; `names` says how surgery renamed the source's tensors."""

    def __init__(self, runner: Runner, names: Mapping[str, str]) -> None:
        self._runner, self._names = runner, names
        self.inputs = _old_names([item.name for item in runner.inputs], names)

    def results(self, cases: Iterator[Arrays]) -> Iterator[Arrays]:
        for values in cases:
            yield _with_old_names(
                self._runner.run(_with_new_names(values, self._names)), self._names
            )


class _Engine:
    """The engine, on the GPU; `names` as of a graph."""

    def __init__(self, context: StageContext, names: Mapping[str, str]) -> None:
        self._backend, self._path = str(context.options["backend"]), context.inputs["engine"]
        self._plugins = plugins_of(context.inputs)
        self._kernels = str(context.options.get("kernel_specialization") or EAGER)
        info: Options = json.loads(context.inputs["info"].read_bytes())
        items: Any = info["inputs"]
        self._names = names
        self.inputs = _old_names([item["name"] for item in items], names)
        self.layers = ""  # the inspector's JSON, once it ran

    def _inspect(self, layers: str) -> None:
        self.layers = layers

    def results(self, cases: Iterator[Arrays]) -> Iterator[Arrays]:
        from trtbuild.trt.runtime import run_engine

        feeds = (_with_new_names(values, self._names) for values in cases)
        for outputs in run_engine(
            self._path,
            self._backend,
            feeds,
            plugins=self._plugins,
            inspect=self._inspect,
            kernels=self._kernels,
        ):
            yield _with_old_names(outputs, self._names)


def _old_names(found: list[str], names: Mapping[str, str]) -> tuple[str, ...]:
    old = {new: name for name, new in names.items()}
    return tuple(old.get(name, name) for name in found)


def _with_old_names(values: Arrays, names: Mapping[str, str]) -> Arrays:
    return dict(zip(_old_names(list(values), names), values.values(), strict=True))


def _with_new_names(values: Arrays, names: Mapping[str, str]) -> Arrays:
    return {names.get(name, name): array for name, array in values.items()}
