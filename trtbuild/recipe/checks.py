"""What a schema cannot say: how the parts of a recipe fit together, and what they refer to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trtbuild.recipe.build import PRECISIONS
from trtbuild.recipe.check_benchmark import check_benchmark
from trtbuild.recipe.check_build import check_build
from trtbuild.recipe.check_files import Finding, Kind, check_file
from trtbuild.recipe.check_inputs import check_inputs
from trtbuild.recipe.check_package import DEPLOYMENTS, check_deploy, check_package
from trtbuild.recipe.check_precision import (
    CALIBRATION_SOURCES,
    check_calibration,
    check_precisions,
)
from trtbuild.recipe.check_python import check_callable
from trtbuild.recipe.dataset_section import KINDS, LABELLED, check_dataset
from trtbuild.recipe.model import JSONValue
from trtbuild.recipe.precision_section import candidates
from trtbuild.recipe.problems import Key, Problem, did_you_mean, listed
from trtbuild.recipe.raw import RawDataset, RawMetric, RawRecipe, RawTorch
from trtbuild.recipe.schema import ValidationMemo

SOURCES = ("torch", "onnx", "exported_program")
KEEPING = frozenset({"fold_constants", "set_dims", "cleanup"})
"""Operations after which the outputs still have the names that the recipe's `outputs` gives."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A recipe to check: what the schema passed of it, all that is written, and its folder."""

    raw: RawRecipe
    written: JSONValue
    folder: Path
    memo: ValidationMemo | None

    def at(self, *key: str | int) -> JSONValue:
        """What is written under a key, right or wrong; None where nothing is."""
        value = self.written
        for part in key:
            value = value.get(str(part)) if isinstance(value, dict) else None
        return value

    def has(self, *key: str | int) -> bool:
        """Whether something is written under a key, right or wrong."""
        parent = self.at(*key[:-1])
        return isinstance(parent, dict) and key[-1] in parent

    def file(self, key: Key, path: str | None, kind: Kind) -> Iterator[Problem]:
        """The problem of a file that the recipe names, if it has one."""
        if path is not None:
            yield from _problem(key, check_file(self.folder, path, kind, self.memo))

    def function(self, key: Key, reference: str | None) -> Iterator[Problem]:
        """The problem of a Python reference, if it has one."""
        if reference is not None:
            yield from _problem(key, check_callable(self.folder, reference, self.memo))


def check(checked: Checked) -> list[Problem]:
    """Every problem that the schema cannot see."""
    return [problem for part in _PARTS for problem in part(checked)]


def _problem(key: Key, finding: Finding | None) -> Iterator[Problem]:
    if finding is not None:
        yield Problem(key, finding.text, finding.hint)


def _exactly_one(checked: Checked, key: Key, names: tuple[str, ...]) -> Iterator[Problem]:
    written = checked.at(*key)
    given = [name for name in names if checked.has(*key, name)]
    if len(given) == 1 or not isinstance(written, dict):
        return
    if given:
        text = f"{listed(given)} exclude each other"
        yield Problem(key, text, f"give exactly one of {', '.join(names)}")
    elif not written:  # where there are other keys, they are told to be unknown
        yield Problem(key, f"exactly one of {', '.join(names)} is needed, got none")


def _model(checked: Checked) -> Iterator[Problem]:
    model = checked.raw.get("model")
    if model is None:
        return
    yield from _exactly_one(checked, ("model",), SOURCES)
    if "torch" in model:
        yield from _torch(checked, ("model", "torch"), model["torch"])
    for name, kind in (("onnx", Kind.ONNX), ("exported_program", Kind.PROGRAM)):
        source = model.get(name)
        if isinstance(source, str):
            yield from checked.file(("model", name), source, kind)
        elif isinstance(source, dict):
            yield from checked.file(("model", name, "file"), source.get("file"), kind)


def _torch(checked: Checked, key: Key, torch: RawTorch) -> Iterator[Problem]:
    yield from checked.function((*key, "factory"), torch.get("factory"))
    yield from checked.file((*key, "weights"), torch.get("weights"), Kind.WEIGHTS)
    for index, path in enumerate(torch.get("files", ())):
        yield from checked.file((*key, "files", index), path, Kind.ANY)
    if "weights_key" in torch and not checked.has(*key, "weights"):
        yield Problem((*key, "weights_key"), "there are no weights that this is a key of")


def _outputs(checked: Checked) -> Iterator[Problem]:
    for index, name in enumerate(checked.raw.get("outputs", ())):
        if checked.has("inputs", name):
            text = f"'{name}' is the name of an input too: a graph has one tensor of a name"
            own = checked.has("model", "onnx")
            hint = "leave it out" if own else f"name the output otherwise, perhaps {name}_out"
            yield Problem(("outputs", index), text, hint)


def _surgery(checked: Checked) -> Iterator[Problem]:
    for index, step in enumerate(checked.raw.get("surgery", ())):
        key = ("surgery", index)
        yield from checked.function((*key, "hook"), step.get("hook"))
        if step.get("op") == "remove_nodes" and not (step.get("nodes") or step.get("op_types")):
            yield Problem(key, "nothing to remove: give nodes or op_types")


def _parts(checked: Checked) -> Iterator[Problem]:
    """A part that surgery extracts keeps the inputs, which the recipe declares."""
    written = checked.at("inputs")
    inputs: list[JSONValue] = list(written) if isinstance(written, dict) else []
    for index, step in enumerate(checked.raw.get("surgery", ())):
        if "hook" in step:
            return  # it may give the inputs other names
        tensors = step.get("tensors", {}) if step.get("op") == "rename" else {}
        inputs = [tensors.get(str(name), name) for name in inputs]
        begin = step.get("inputs", []) if step.get("op") == "extract" else inputs
        lost = [str(name) for name in inputs if name not in begin]
        if lost:
            text = f"the part begins behind {listed(lost)}, which the recipe declares as an input"
            hint = "make the part a model of its own by onnx.utils.extract_model, with a recipe"
            yield Problem(("surgery", index, "inputs"), text, hint)


def _precisions(checked: Checked) -> Iterator[Problem]:
    return check_precisions(checked.raw)


def _calibration(checked: Checked) -> Iterator[Problem]:
    calibration = checked.raw.get("calibration", {})
    key = ("calibration",)
    if checked.has(*key):
        yield from _exactly_one(checked, key, CALIBRATION_SOURCES)
    if "dataset" in calibration:
        yield from _dataset(checked, calibration["dataset"], (*key, "dataset"))
    yield from checked.file((*key, "table"), calibration.get("table"), Kind.ANY)
    yield from check_calibration(checked.raw, checked.has)


def _build(checked: Checked) -> Iterator[Problem]:
    return check_build(checked.raw, checked.has, checked.file)


def _outputs_known(checked: Checked) -> list[str]:
    """The outputs that metrics can name; none where surgery may have given them other names."""
    steps = checked.raw.get("surgery", [])
    if checked.has("surgery") and any(step.get("op") not in KEEPING for step in steps):
        return []
    return checked.raw.get("outputs", [])


def _verify(checked: Checked) -> Iterator[Problem]:
    verify = checked.raw.get("verify", {})
    if "dataset" in verify:
        yield from _dataset(checked, verify["dataset"], ("verify", "dataset"))
    # A name that the schema refused stands for the others, which would all be told to be missing.
    written = checked.raw.get("precisions", None if checked.has("precisions") else PRECISIONS)
    precisions = written and candidates(written, calibrated=checked.has("calibration"))
    for name in verify.get("tolerance", {}):
        if precisions and name not in precisions:
            text = f"'{name}' is not in precisions ({', '.join(precisions)})"
            yield Problem(("verify", "tolerance", name), text, "add it there, or leave this out")
    for name, metric in verify.get("metrics", {}).items():
        yield from _metric(checked, ("verify", "metrics", name), metric)


def _dataset(checked: Checked, dataset: RawDataset, key: Key) -> Iterator[Problem]:
    yield from _exactly_one(checked, key, tuple(KINDS))
    yield from checked.file((*key, "npz"), dataset.get("npz"), Kind.NPZ)
    yield from checked.function((*key, "python"), dataset.get("python"))
    written = checked.at("inputs")
    inputs = tuple(written) if isinstance(written, dict) else ()
    yield from check_dataset(dataset, key, checked.folder, checked.has, inputs)


def _metric(checked: Checked, key: Key, metric: RawMetric) -> Iterator[Problem]:
    yield from checked.function((*key, "hook"), metric.get("hook"))
    known, output = _outputs_known(checked), metric.get("output")
    if known and output is not None and output not in known:
        near = did_you_mean(output, known)
        text = f"'{output}' is not one of the outputs ({', '.join(known)}){near}"
        yield Problem((*key, "output"), text)
    labelled = any(checked.has("verify", "dataset", kind) for kind in LABELLED)
    if "labels" in metric and not labelled:
        kind = next((k for k in KINDS if checked.has("verify", "dataset", k)), "random")
        text = f"a dataset of kind {kind} has no labels"
        hint = f"give verify.dataset one of kind {', '.join(LABELLED)}"
        yield Problem((*key, "labels"), text, hint)


def _benchmark(checked: Checked) -> Iterator[Problem]:
    inputs = checked.raw.get("inputs")
    right = inputs is not None and inputs == checked.at("inputs") and not any(_inputs(checked))
    yield from check_benchmark(checked.raw, checked.at, checked.file, inputs_right=right)
    torch = checked.raw.get("benchmark", {}).get("torch")
    if torch is not None:
        yield from _torch(checked, ("benchmark", "torch"), torch)


def _package(checked: Checked) -> Iterator[Problem]:
    return check_package(checked.raw, checked.file)


def _deploy(checked: Checked) -> Iterator[Problem]:
    if checked.has("deploy"):
        yield from _exactly_one(checked, ("deploy",), DEPLOYMENTS)
    yield from check_deploy(checked.raw)


def _inputs(checked: Checked) -> Iterator[Problem]:
    raw = checked.raw
    batches = {
        "verify": raw.get("verify", {}).get("batch"),
        "calibration": raw.get("calibration", {}).get("batch"),
    }
    return check_inputs(raw.get("inputs", {}), checked.has, batches)


_PARTS: tuple[Callable[[Checked], Iterator[Problem]], ...] = (
    _model,
    _inputs,
    _outputs,
    _surgery,
    _parts,
    _precisions,
    _calibration,
    _build,
    _verify,
    _benchmark,
    _package,
    _deploy,
)
