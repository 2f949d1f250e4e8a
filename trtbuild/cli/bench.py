"""Measure an engine file on the GPU, with a recipe or without."""

from __future__ import annotations

import argparse
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trtbuild.cli.bench_options import (
    add_keys,
    files_from,
    given_keys,
    options_of,
    points_from,
    with_gates,
)
from trtbuild.cli.common import add_json, require_file
from trtbuild.errors import ExitCode, StoreError, UsageError
from trtbuild.graph.action import SourceFile
from trtbuild.graph.bench import Bench, devices_for, measure
from trtbuild.graph.execute import LocalExecutor
from trtbuild.graph.plan import plan
from trtbuild.recipe.load import load_recipes
from trtbuild.recipe.model import Recipe
from trtbuild.trt.header import read_plan_header

if TYPE_CHECKING:
    from trtbuild.benchmark.gates import Judgement


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild bench` takes."""
    parser.add_argument("engine", type=Path, metavar="ENGINE", help="an engine file, of any origin")
    parser.add_argument(
        "--recipe",
        type=Path,
        metavar="RECIPE",
        help="take its benchmark settings, inputs and gates; arguments go before them",
    )
    parser.add_argument(
        "--shapes",
        action="append",
        default=[],
        metavar="NAME:1x2x3,...",
        help="shapes to measure (default: the opt shapes); may be repeated",
    )
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="the values of an input, as .npy or raw bytes (default: random)",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of random values (default 0)")
    parser.add_argument(
        "--against", type=Path, metavar="ENGINE", help="run it in turn, for a gate regression=5%%"
    )
    parser.add_argument(
        "--model", type=Path, metavar="ONNX", help="for the baseline onnxruntime, and --time-refit"
    )
    parser.add_argument(
        "--runtime-cache-file",
        type=Path,
        metavar="FILE",
        help="take compiled kernels from it, and keep them there (TensorRT-RTX)",
    )
    parser.add_argument("--provider", choices=("pycuda", "cuda-python"), help="of CUDA")
    parser.add_argument(
        "--device", type=_device, metavar="N", help="the CUDA device (default: any)"
    )
    parser.add_argument(
        "--wait-for-gpu",
        type=_seconds,
        metavar="SECONDS",
        help="how long to wait where somebody holds the GPU (default: for ever)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write benchmark.json and more")
    parser.add_argument(
        "--junit", type=Path, metavar="FILE", help="write what became of the gates as JUnit XML"
    )
    add_keys(parser)
    add_json(parser)


def _device(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no device: they are counted from 0")
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return found


def main(options: argparse.Namespace) -> ExitCode:
    """Measure, report, and judge the gates."""
    header = read_plan_header(require_file(options.engine, "give an engine"))
    given = given_keys(options)
    recipe = load_recipes([options.recipe])[0] if options.recipe else None
    bench = _bench(options, given, header.kind, recipe)
    gates = _gates(given, recipe, bench)
    reported: Any = with_gates(bench.options["percentiles"], gates)  # type: ignore[arg-type]
    bench = replace(bench, options={**bench.options, "percentiles": reported})
    devices_for(bench)  # before anything is written
    if options.out is not None:
        _require_room(options.out)  # what cannot be kept should not be measured first
    if options.junit is not None:
        _require_room(options.junit.parent)
    with tempfile.TemporaryDirectory(prefix="trtbuild-bench-") as scratch:
        executor = LocalExecutor()
        try:
            result, execution = measure(bench, executor, Path(scratch), _progress)
        except KeyboardInterrupt:
            executor.stop()
            raise
        _keep(execution.outputs, options.out)
        if options.runtime_cache_file is not None:
            _copy(execution.outputs / "runtime.cache", options.runtime_cache_file)
    judged = _judged(result, gates, options.against)
    if options.junit is not None:
        from trtbuild.report.junit import write_gates

        write_gates(options.junit, options.engine.name, judged)
    failed = any(judgement.outcome.value == "failed" for judgement in judged)
    exit_code = ExitCode.FAILED if failed else ExitCode.DONE
    _report(options, result, judged, exit_code)
    return exit_code


def _gates(given: dict[str, Any], recipe: Recipe | None, bench: Bench) -> Mapping[str, Any]:
    """The command line's gates, else those of the recipe that are about what is measured."""
    if gates := given.get("gates"):
        return dict(gates)
    written = recipe.benchmark.gates if recipe and recipe.benchmark else {}
    points: Any = bench.options.get("points") or [{"name": "opt"}]
    names = [point["name"] for point in points]
    found = {}
    for key, value in written.items():
        if not isinstance(value, dict) or key in names:
            found[key] = value
        else:
            text = f"the recipe's gates at '{key}' are left out: that is not measured"
            print(f"warning: {text}", file=sys.stderr)  # noqa: T201 - to the user
    return found


def _bench(
    options: argparse.Namespace, given: dict[str, Any], backend: str, recipe: Recipe | None
) -> Bench:
    if options.runtime_cache_file is not None:
        given["runtime_cache"] = True
    if given.get("export") and options.out is None:
        raise UsageError("nowhere to write the files", where="--export", hint="add --out DIR")
    base, inputs = _of_recipe(recipe) if recipe else ({}, {})
    shapes = recipe.inputs if recipe else ()
    stage = options_of(given, base, shapes)
    if recipe is None:
        del stage["points"]  # the engine's own opt shapes
    elif stage["optimization_profile"] != base.get("optimization_profile", 0):
        stage["points"] = [{"name": "opt", "shapes": {}}]  # the recipe's are of its own profile
    renames: Any = stage.get("renames") or {}
    if options.shapes:
        stage["points"] = points_from(options.shapes, shapes, renames)
    inputs |= {"engine": options.engine, **files_from(options.input, shapes, renames)}
    files = {
        "accepted": options.against,
        "model": options.model,
        "refit": options.model,
        "runtime_cache": options.runtime_cache_file,
    }
    for role, path in files.items():
        if path is not None and (role != "runtime_cache" or path.is_file()):
            inputs[role] = require_file(path)
    if options.against is not None:
        read_plan_header(options.against)
    return Bench(
        options={**stage, "backend": backend, "provider": options.provider},
        inputs=inputs,
        folder=recipe.folder if recipe else Path.cwd(),
        device=options.device,
        patience=options.wait_for_gpu,
    )


def _of_recipe(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Path]]:
    """The options and files that a recipe's benchmark has, of whatever precision."""
    tasks = plan(recipe)
    task = next((task for task in tasks if task.stage == "benchmark"), None)
    source = tasks[0]
    files = [
        i for i in (*source.inputs, *(task.inputs if task else ())) if isinstance(i, SourceFile)
    ]
    options: dict[str, Any] = dict(task.options) if task else {}
    options["source"] = options.get("source") or source.options["source"]
    roles = {item.role: recipe.folder / item.path for item in files}
    if "onnx" in roles:
        roles["model"] = roles["onnx"]
    return options, roles


def _progress(text: str, fraction: float | None) -> None:
    if sys.stderr.isatty() or fraction is None:
        print(text, file=sys.stderr)  # noqa: T201 - what it waits for, or is at


def _keep(outputs: Path, out: Path | None) -> None:
    if out is not None:
        for file in sorted(outputs.iterdir()):
            _copy(file, out / file.name)


def _require_room(folder: Path) -> None:
    """Raises StoreError where the folder cannot be made; a run that fails should leave none."""
    place = folder.absolute()
    there = next(found for found in (place, *place.parents) if os.path.lexists(found))
    if not there.is_dir():
        raise StoreError("cannot be made: Not a directory", where=str(folder))
    if not os.access(there, os.W_OK | os.X_OK):
        raise StoreError(f"cannot be made: {there} may not be written to", where=str(folder))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot be made: {error.strerror}", where=str(folder)) from error


def _copy(file: Path, target: Path) -> None:
    _make(target.parent)
    try:
        shutil.copyfile(file, target)
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(target)) from error


def _judged(result: Any, gates: Mapping[str, Any], against: Path | None) -> tuple[Judgement, ...]:
    from trtbuild.benchmark.gates import Instead, Outcome, judge
    from trtbuild.recipe.gates import parse_gates

    instead = Instead(Outcome.UNCLEAR, None, "there is nothing to compare with: --against ENGINE")
    if against is not None:  # it was asked for, so that a run without it is no pass
        text = f"{against} is the very engine that is measured"
        instead = Instead(Outcome.PASSED, 0.0, text, not_run=Outcome.FAILED, remedy="")
    try:
        return judge(result, parse_gates(gates), instead)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _report(
    options: argparse.Namespace, result: Any, judged: tuple[Judgement, ...], exit_code: ExitCode
) -> None:
    from trtbuild.report.gates import gate_document, print_gates

    if options.json:
        from trtbuild.report.document import print_json

        gates = [gate_document(str(options.engine), judgement) for judgement in judged]
        document = {"format": 1, "exit_code": int(exit_code), "result": result, "gates": gates}
        print_json(document)
        return
    from trtbuild.report.benchmark import print_result

    print_result(result)
    print_gates(options.engine.name, judged)
