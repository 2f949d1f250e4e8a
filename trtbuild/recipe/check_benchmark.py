"""Checks the `benchmark` of a recipe: shapes, durations, gates, and what does not go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trtbuild.recipe.benchmark_section import (
    BASELINES,
    DURATIONS,
    PERCENTILES,
    baseline_kind,
    budget_of,
)
from trtbuild.recipe.benchmark_shapes import Point, in_benchmarked_profile, points_of
from trtbuild.recipe.build_section import BACKEND
from trtbuild.recipe.check_files import Kind
from trtbuild.recipe.gates import Gate, parse_gates
from trtbuild.recipe.model import Input
from trtbuild.recipe.problems import BadKey, Key, Problem, did_you_mean, listed, shown
from trtbuild.recipe.raw import RawInput, RawRecipe
from trtbuild.recipe.units import milliseconds_of

File = Callable[[Key, str | None, Kind], Iterator[Problem]]

SHARE = "a size such as 1GiB, a share such as 40%, or auto"


def check_benchmark(
    raw: RawRecipe, at: Callable[..., Any], file: File, *, inputs_right: bool
) -> Iterator[Problem]:
    """Every problem of the benchmark section.

    `at` gives what is written under a key, right or wrong, `file` the problem of a file.
    """
    given: dict[str, Any] = dict(raw.get("benchmark", {}))
    yield from _durations(given)
    yield from _budget(given, raw)
    yield from _files(given, raw, file)
    yield from _baselines(given, raw)
    yield from _torch(given, raw)
    yield from _backend(given, raw)
    yield from _build(given, raw)
    points: tuple[Point, ...] = ()
    if inputs_right and given.get("shapes") == at("benchmark", "shapes"):
        try:
            inputs = in_benchmarked_profile(raw, _inputs(raw.get("inputs", {})))
            points = points_of(given.get("shapes", "opt"), inputs)
        except BadKey as error:
            yield Problem(("benchmark", *error.key), error.text)
    yield from _one_shape(given, points)
    yield from _gates(given, points)


def _durations(given: Mapping[str, Any]) -> Iterator[Problem]:
    for key in (*DURATIONS, "duration"):
        value = given.get(key)
        length = None if value is None else milliseconds_of(value)
        if value is not None and length is None:
            text = f"expected a duration such as 200ms, 3s or 1m, got {shown(value)}"
            yield Problem(("benchmark", key), text)
        if key == "round" and length is not None and length < 1:
            yield Problem(("benchmark", key), f"{shown(value)} is too short; give 1ms or more")


def _budget(given: Mapping[str, Any], raw: RawRecipe) -> Iterator[Problem]:
    key = ("benchmark", "weight_streaming_budget")
    value = given.get("weight_streaming_budget")
    budget = budget_of(value)
    share = isinstance(budget, str) and budget != "auto" and not _is_share(budget)
    if value is not None and (budget is None or share):
        yield Problem(key, f"expected {SHARE}, got {shown(value)}")
    elif value is not None and not raw.get("build", {}).get("weight_streaming"):
        yield Problem(key, "it needs build.weight_streaming: true")


def _is_share(text: str) -> bool:
    number = text.removesuffix("%")
    return number.replace(".", "", 1).isdecimal() and 0 <= float(number) <= 100


def _files(given: Mapping[str, Any], raw: RawRecipe, file: File) -> Iterator[Problem]:
    known = raw.get("inputs", {})
    for name, path in given.get("inputs", {}).get("files", {}).items():
        key = ("benchmark", "inputs", "files", name)
        if known and name not in known:
            text = f"'{name}' is no input ({', '.join(known)}){did_you_mean(name, known)}"
            yield Problem(key, text)
        yield from file(key, path, Kind.ANY)


def _baselines(given: Mapping[str, Any], raw: RawRecipe) -> Iterator[Problem]:
    for index, spec in enumerate(given.get("baselines", ())):
        key = ("benchmark", "baselines", index)
        kind = baseline_kind(spec)
        if kind.startswith("torch") and "onnx" in raw.get("model", {}) and "torch" not in given:
            yield Problem(
                key,
                "the model is an ONNX file, which PyTorch cannot run",
                "name the module that it came from under benchmark.torch",
            )
        options = () if isinstance(spec, str) else tuple(spec)
        known = BASELINES.get(kind, {})
        for option in options:
            if known and option not in ("kind", *known):
                yield Problem((*key, option), f"{kind} has no such option; it has {listed(known)}")


def _torch(given: Mapping[str, Any], raw: RawRecipe) -> Iterator[Problem]:
    key = ("benchmark", "torch")
    if "torch" not in given:
        return
    if "torch" in raw.get("model", {}):
        yield Problem(key, "the baselines of PyTorch run model.torch: leave this out")
    elif not any(baseline_kind(spec).startswith("torch") for spec in given.get("baselines", ())):
        text = "no baseline runs it: add torch or torch_compile to benchmark.baselines"
        yield Problem(key, text)
    for name in ("opset", "exporter"):
        if name in given["torch"]:
            yield Problem((*key, name), "this module is not exported: leave it out")


def _backend(given: Mapping[str, Any], raw: RawRecipe) -> Iterator[Problem]:
    if raw.get("build", {}).get("backend", BACKEND) != "tensorrt":
        return
    for key, other in (("runtime_cache", True), ("cuda_graph", "runtime")):
        if given.get(key) == other and given.get(key) is not None:
            yield Problem(("benchmark", key), f"only TensorRT-RTX has {key}: {shown(other)}")
    if given.get("kernel_specialization", "eager") != "eager":
        yield Problem(("benchmark", "kernel_specialization"), "only TensorRT-RTX has it")


def _build(given: Mapping[str, Any], raw: RawRecipe) -> Iterator[Problem]:
    build = raw.get("build", {})
    if given.get("time_refit") and build.get("refit", "none") == "none":
        yield Problem(("benchmark", "time_refit"), "it needs build.refit, such as refit: all")
    count, index = max(1, len(build.get("profiles", ()))), given.get("profile_index", 0)
    if index >= count:
        text = f"there is no optimization profile {shown(index)}: build.profiles gives {count}"
        yield Problem(("benchmark", "profile_index"), text, "they are counted from 0")


def _one_shape(given: Mapping[str, Any], points: tuple[Point, ...]) -> Iterator[Problem]:
    for name in given.get("inputs", {}).get("files", {}):
        shapes = dict.fromkeys(str(list(p.shapes[name])) for p in points if name in p.shapes)
        if len(shapes) > 1:
            text = f"a file holds values of one shape, here are {listed(shapes)}"
            yield Problem(("benchmark", "inputs", "files", name), text)


def _gates(given: Mapping[str, Any], points: tuple[Point, ...]) -> Iterator[Problem]:
    for key, value in given.get("gates", {}).items():
        for name in value if isinstance(value, dict) else (None,):
            one = {key: value} if name is None else {key: {name: value[name]}}
            place: Key = (
                ("benchmark", "gates", key) if name is None else ("benchmark", "gates", key, name)
            )
            try:
                (gate,) = parse_gates(one)
            except BadKey as error:
                yield Problem(("benchmark", *error.key), error.text)
                continue
            yield from _measured(place, gate, given, points)


def _measured(
    place: Key, gate: Gate, given: Mapping[str, Any], points: tuple[Point, ...]
) -> Iterator[Problem]:
    percentiles = given.get("percentiles", PERCENTILES)
    if gate.percentage is not None and gate.percentage not in percentiles:
        text = f"benchmark.percentiles does not have {gate.percentage:g}"
        yield Problem(place, text, f"percentiles: {shown([*percentiles, gate.percentage])}")
    names = [point.name for point in points]
    if gate.point is not None and points and gate.point not in names:
        near = did_you_mean(gate.point, names)
        text = f"'{gate.point}' is no point that is measured ({', '.join(names[:8])}){near}"
        yield Problem(("benchmark", "gates", gate.point), text)


def _inputs(raw: Mapping[str, RawInput]) -> tuple[Input, ...]:
    return tuple(_input(name, item) for name, item in raw.items())


def _input(name: str, item: RawInput) -> Input:
    fixed = item.get("shape", [])
    low, opt, high = (
        tuple(int(n) for n in sizes)
        for sizes in (item.get("min", fixed), item.get("opt", fixed), item.get("max", fixed))
    )
    dims = tuple(item["dims"]) if "dims" in item else None
    return Input(name, item.get("dtype", ""), low, opt, high, dims, None)
