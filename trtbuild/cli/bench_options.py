"""The arguments of `trtbuild bench`: the keys of a recipe's `benchmark`, and what they mean."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trtbuild.cli.common import require_file
from trtbuild.errors import RecipeError, UsageError
from trtbuild.recipe.benchmark_section import benchmark_section, option_names
from trtbuild.recipe.check_benchmark import check_benchmark
from trtbuild.recipe.gates import parse_gates
from trtbuild.recipe.model import Input, Options, dotted_key
from trtbuild.recipe.problems import BadKey, Problem, did_you_mean
from trtbuild.recipe.reference import resolved
from trtbuild.recipe.schema import schema
from trtbuild.recipe.validate import validate

APART = ("shapes", "inputs", "baselines", "torch", "gates", "export", "percentiles")
"""Keys whose argument has another form than one value, or that only a recipe has."""


def add_keys(parser: argparse.ArgumentParser) -> None:
    """An argument for each key of `benchmark`, with the schema's words."""
    group = parser.add_argument_group("settings, as in a recipe's `benchmark`")
    for key, rules in _keys().items():
        flag = f"--{key.replace('_', '-')}"
        text = rules["description"].replace("%", "%%")
        if rules.get("type") == "boolean":
            action = argparse.BooleanOptionalAction
            group.add_argument(flag, dest=key, action=action, default=None, help=text)
        elif key not in APART:
            group.add_argument(flag, dest=key, metavar="VALUE", help=text)
    group.add_argument("--percentiles", metavar="P,P", help="the percentiles to report: 50,90,99.9")
    group.add_argument(
        "--export", action="append", metavar="FILE", help="times, outputs or layers, for --out"
    )
    group.add_argument(
        "--baseline",
        dest="baselines",
        action="append",
        metavar="KIND",
        help="onnxruntime (of --model), torch or torch_compile (of --recipe); may be repeated",
    )
    group.add_argument(
        "--gate",
        dest="gates",
        action="append",
        metavar="KEY=LIMIT",
        help="a limit, such as p99=5ms: exit code 1 where it is broken; may be repeated",
    )


def given_keys(options: argparse.Namespace) -> dict[str, Any]:
    """The `benchmark` section that the command line writes. Raises UsageError."""
    found: dict[str, Any] = {}
    for key, rules in _keys().items():
        value = getattr(options, key, None)
        if value is not None and key not in APART:
            found[key] = value if isinstance(value, bool) else _typed(value, rules)
    if options.percentiles is not None:
        found["percentiles"] = [_number(part) for part in options.percentiles.split(",")]
    for key in ("export", "baselines"):
        if getattr(options, key):
            found[key] = getattr(options, key)
    if options.gates:
        found["gates"] = dict(_pair(text, "--gate") for text in options.gates)
    if options.seed is not None:
        found["inputs"] = {"seed": options.seed}
    _check(found)
    return found


def options_of(given: dict[str, Any], base: Options, inputs: tuple[Input, ...]) -> Options:
    """`base` with what the command line says of the stage's options."""
    stage = benchmark_section(given, inputs).options  # type: ignore[arg-type] # it was checked
    names = {name for key in given for name in option_names(key)}
    return {**stage, **base, **{name: stage[name] for name in names}}


def with_gates(percentiles: Iterable[float], gates: Mapping[str, Any]) -> list[float]:
    """The percentiles to report, with those that gates are about; wrong gates are about none."""
    try:
        wanted = [gate.percentage for gate in parse_gates(gates)]
    except BadKey:
        wanted = []
    return sorted({*percentiles, *(percentage for percentage in wanted if percentage is not None)})


def points_from(
    texts: list[str], inputs: tuple[Input, ...], renames: Mapping[str, str]
) -> list[Any]:
    """Points by trtexec's notation: image:16x3x224x224,mask:16x9, x:scalar. Raises UsageError.

    Inputs that are not named have the opt shape of the engine's profile, which the stage knows.
    `renames` by surgery: the recipe's name -> the engine's.
    """
    points = []
    for text in texts:
        shapes = {}
        for part in text.split(","):
            name, _, sizes = part.rpartition(":")
            numbers = sizes.split("x") if sizes not in ("", "scalar") else []
            if not name or not all(number.isdecimal() for number in numbers):
                hint = "write --shapes image:16x3x224x224,mask:16x9"
                raise UsageError(f"{part!r} is no shape", where="--shapes", hint=hint)
            _require_input(name, inputs, renames, "--shapes")
            shapes[renames.get(name, name)] = [int(number) for number in numbers]
        points.append({"name": text, "shapes": shapes})
    return points


def _require_input(
    name: str, inputs: tuple[Input, ...], renames: Mapping[str, str], where: str
) -> None:
    """Refuse an input that the recipe lacks; without a recipe the engine knows."""
    known = [item.name for item in inputs]
    if known and name not in known and name not in renames.values():
        raise UsageError(
            f"'{name}' is no input ({', '.join(known)}){did_you_mean(name, known)}", where=where
        )


def files_from(
    texts: list[str], inputs: tuple[Input, ...], renames: Mapping[str, str]
) -> dict[str, Path]:
    """Files with the values of inputs, by their role. Raises UsageError."""
    found = {}
    for text in texts:
        name, file = _pair(text, "--input")
        _require_input(name, inputs, renames, "--input")
        found[f"input.{renames.get(name, name)}"] = require_file(Path(file))
    return found


def _keys() -> dict[str, dict[str, Any]]:
    defs = schema()["$defs"]
    return {key: resolved(r, defs) for key, r in defs["benchmark"]["properties"].items()}


def _typed(text: str, rules: dict[str, Any]) -> Any:
    """The value that a recipe would hold, which the schema then checks."""
    if "enum" in rules:
        return {"true": True, "false": False}.get(text, text)
    types = rules["type"] if isinstance(rules["type"], list) else [rules["type"]]
    return _number(text) if {"integer", "number"} & set(types) else text


def _number(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _pair(text: str, argument: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign or not key or not value:
        raise UsageError(f"{text!r} is no pair", where=argument, hint="write KEY=VALUE")
    return key, value


def _check(found: dict[str, Any]) -> None:
    """Raise a RecipeError with all that is wrong with the section."""
    whole: Any = {"trtbuild": 1, "name": "bench", "model": {"onnx": "x"}}
    whole |= {"inputs": {"x": {"dtype": "float32", "shape": [1]}}, "benchmark": found}
    problems = [problem for problem in validate(whole) if problem.key[:1] == ("benchmark",)]
    if not problems:
        # What only a build could make wrong is the engine's to refuse.
        build = {"refit": "all", "weight_streaming": True, "profiles": [{}] * 1024}
        whole |= {"build": build, "model": {}}
        wanted = with_gates(found.get("percentiles", ()), found.get("gates", {}))
        whole["benchmark"] = {**found, "percentiles": wanted}
        problems = list(
            check_benchmark(whole, lambda *_: None, lambda *_: iter(()), inputs_right=False)
        )
    if problems:
        raise RecipeError(tuple(map(_told, problems)))


def _told(problem: Problem) -> str:
    hint = f"\n  hint: {problem.hint}" if problem.hint else ""
    return f"{dotted_key(problem.key)}: {problem.text}{hint}"
