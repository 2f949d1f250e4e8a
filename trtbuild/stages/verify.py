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
from trtbuild.precision.losses import loss_document, measure_losses, suggest_keeping
from trtbuild.precision.names import name_nodes
from trtbuild.precision.obtained import count_types, node_types
from trtbuild.precision.prepare import prepare
from trtbuild.trt.contexts import EAGER
from trtbuild.trt.plugins import plugins_of
from trtbuild.verify.metrics import evaluate
from trtbuild.verify.result import Result, Score, Step
from trtbuild.verify.results import CaseView, Results
from trtbuild.verify.steps import Comparer

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from trtbuild.model.inputs import Arrays
    from trtbuild.recipe.model import Options
    from trtbuild.stages.base import StageContext

STEPS = (("export", "exported"), ("surgery", "rewritten"), ("quantize", "quantized"))
"""The steps that leave an ONNX file, in order, and the role of that file."""

LOSS_CASES = 2
"""Cases on which losses are measured: the ranking of layers settles after one or two."""

LOW_FLOATS = ("fp16", "bf16")
"""Those that an engine's layers show at their outputs; int8 and less may be fused out of sight."""

PRECISIONS = {
    "float32": "fp32",
    "float16": "fp16",
    "bfloat16": "bf16",
    "float8_e4m3fn": "fp8",
}
"""The names of types in a network that are not those of the precisions."""

LOW_PRECISIONS = ("fp16", "bf16", "int8", "fp8", "int4")
"""Variants that must have nodes which compute in that type: a variant that asks for fp16 and gets
an fp32 engine fails, though its numbers are right.
"""


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
        result.failures.append(f"{error.where}: {error.what}" if error.where else error.what)
        raise
    finally:
        document = json.dumps(result.document(), indent=1, allow_nan=False)
        (context.outputs / "verify.json").write_text(document + "\n")
    if context.options.get("required", True):
        result.require_passed()


def _verify(context: StageContext, reader: CaseReader, folder: Path, result: Result) -> None:
    tolerance: Any = context.options.get("tolerance") or {}
    comparer = Comparer(
        reader, folder, precision=result.precision, tolerance=tolerance, reporter=context.reporter
    )
    last = context.inputs["exported"]
    for step, role in STEPS:
        if role in context.inputs:
            last = context.inputs[role]
            _compare_graph(context, comparer, step, last, result)
    _obtained(context, last, result)
    if "quantized" in context.inputs:
        _losses(context, result)
    if context.options.get("gpu"):
        engine = _Engine(context, _renames(context))
        result.take(comparer.compare("engine", engine))
        result.engine = "compared"
        _note_layers(context, engine.types, result)
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


def _obtained(context: StageContext, path: Path, result: Result) -> None:
    """Note which types graph and engine compute in, and require the one that was asked for."""
    model = load_structure(path)
    name_nodes(model)
    types = count_types(node_types(model))
    result.obtained["graph"] = types
    if "info" in context.inputs:
        info = json.loads(context.inputs["info"].read_bytes())
        network = {PRECISIONS.get(name, name): n for name, n in info["tensor_types"].items()}
        result.obtained["engine"] = network
        _require_obtained(result, "tensors of the engine's network is", network)
    _require_obtained(result, "nodes of the graph computes", types)


def _require_obtained(result: Result, what: str, types: Mapping[str, int]) -> None:
    """A variant of low precision must have something in its type."""
    if result.precision in LOW_PRECISIONS and types and not types.get(result.precision):
        result.fail(
            f"none of the {what} in {result.precision}: {_shares(types)}",
            "keep fewer nodes in fp32 (`keep_fp32`), or leave this precision out",
        )


def _shares(types: Mapping[str, int]) -> str:
    total = sum(types.values())
    return ", ".join(f"{count} of {total} in {name}" for name, count in types.items())


def _note_layers(context: StageContext, types: Mapping[str, int], result: Result) -> None:
    """Note what the inspector says of the engine's layers, as far as it tells types.

    A network is strongly typed: its tensors' types are what TensorRT must keep to. A kernel that
    computes in fp16 what comes and goes in fp32 shows nothing of it, so this is no failure.
    """
    if types:
        result.obtained["layers"] = types
        if result.precision in LOW_FLOATS and not types.get(result.precision):
            context.reporter.warn(
                f"no output of the engine's layers is in {result.precision}: {_shares(types)}"
            )


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
    try:
        losses = measure_losses(before, load_model(context.inputs["quantized"]), some)
    except StageError as error:
        context.reporter.warn(f"where most is lost could not be measured: {error.what}")
        return
    result.losses = loss_document(losses)
    result.keeping = suggest_keeping(losses)


def _scores(context: StageContext, reader: CaseReader, last: Results, result: Result) -> None:
    """Evaluate the task metrics on the last step that ran, and on the source model."""
    metrics: Any = context.options.get("metrics") or {}
    chosen = [index for index in reader.counted() if index in last.indices]
    cases = CaseView(reader, chosen, last.read)
    source = CaseView(reader, chosen, reader.outputs)
    for name, metric in metrics.items():
        context.reporter.progress(f"evaluating {name}")
        values = evaluate(name, metric, cases, context.folder)
        before: dict[str, float] = {}
        if set(last.names) == set(reader.output_names()):  # else the metric is not for the source
            before = evaluate(name, metric, source, context.folder)
        for key, value in values.items():
            score = Score(value, before.get(key), metric.get("min"), metric.get("max"), last.name)
            result.scores[key] = score
            _gate(key, score, result)


def _gate(name: str, score: Score, result: Result) -> None:
    if score.passed:
        return
    low = score.least is not None and score.value < score.least
    bound = f"below {score.least:g}" if low else f"above {score.most:g}"
    source = "" if score.source is None else f" (the source model has {score.source:.6g})"
    result.fail(
        f"{score.step}: metric '{name}' is {score.value:.6g}, {bound}{source}",
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
        self.types: dict[str, int] = {}  # of its layers' outputs, once it ran

    def _inspect(self, layers: str) -> None:
        from trtbuild.benchmark.layers import layer_types

        self.types = layer_types(layers)

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
