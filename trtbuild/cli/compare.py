"""Say how two engines, results or variants differ."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trtbuild.benchmark.compare import Side, compare
from trtbuild.cli.common import add_json, folder
from trtbuild.cli.settings import resolve
from trtbuild.errors import ExitCode, StageError, UsageError
from trtbuild.graph.choose import FILE, FOLDER
from trtbuild.graph.session import output_folder
from trtbuild.recipe.load import load_recipes
from trtbuild.report.comparison import print_comparison
from trtbuild.store.digest import digest_of_file
from trtbuild.trt.header import read_plan_header

FORMAT = 1
ENGINE, BENCHMARK, VERIFY = "engine.plan", "benchmark.json", "verify.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild compare` takes."""
    what = "an engine, a benchmark.json, or RECIPE:VARIANT such as digits.yaml:fp16"
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="the same")
    parser.add_argument(
        "--out",
        type=folder,
        metavar="DIR",
        help="outputs of recipes lie in DIR/NAME (default: build/NAME beside the recipe)",
    )
    add_json(parser)


def main(options: argparse.Namespace) -> ExitCode:
    """Print the differences."""
    out = resolve(options)["out"].value
    found = compare(_side(options.first, out), _side(options.second, out))
    if options.json:
        from trtbuild.report.document import print_json

        print_json(found, ExitCode.DONE)
    else:
        print_comparison(found)
    return ExitCode.DONE


def _side(text: str, out: Path | None) -> Side:
    path = Path(text)
    if path.is_file():
        return _of_file(text, path)
    recipe, colon, variant = text.rpartition(":")
    if colon and Path(recipe).is_file():
        return _of_variant(text, Path(recipe), variant, out)
    raise UsageError(
        f"{text} is neither a file nor RECIPE:VARIANT", hint="for example digits.yaml:fp16"
    )


def _of_variant(text: str, path: Path, variant: str, out: Path | None) -> Side:
    (recipe,) = load_recipes([path])
    if variant not in recipe.precisions and not (recipe.best and variant == FOLDER):
        hint = f"it has {', '.join(recipe.precisions)}"
        raise UsageError(f"{path} has no precision {variant}", hint=hint)
    engine = output_folder(recipe, out) / variant / ENGINE
    if not engine.is_file():
        hint = f"trtbuild run {path}"
        raise StageError(f"{text} is not built yet: there is no {engine}", hint=hint)
    return _of_engine(text, engine)


def _of_file(text: str, path: Path) -> Side:
    if path.suffix in (".yaml", ".yml"):
        raise UsageError(f"{text} is a recipe: which of its variants?", hint=f"{text}:fp32, say")
    with path.open("rb") as file:
        begins = file.read(64).lstrip()
    if path.suffix == ".json" or begins.startswith(b"{"):
        result = _result(path)
        return Side(text, result["engine"]["size"], benchmark=result)
    read_plan_header(path)
    return _of_engine(text, path)


def _of_engine(text: str, engine: Path) -> Side:
    """An engine with the reports that a run put beside it, as far as they are about it.

    Those of the one that is kept as the best lie beside the variant that it is.
    """
    digest = digest_of_file(engine)
    if (kept := _beside(engine, FILE)) is not None and (variant := kept.get("variant")):
        engine = engine.parent.parent / str(variant) / ENGINE
    ours = engine.name == ENGINE  # who was copied elsewhere has lost its reports
    reports, notes = {}, []
    for name in (BENCHMARK, VERIFY):
        report = _beside(engine, name)
        if report is not None and _engine_of(report) == digest.text:
            reports[name] = report
        elif report is not None and ours:  # an earlier engine's, after `run --only build` say
            notes.append(f"{text}: {name} is not about this engine, and left out: run it again")
    return Side(
        text,
        digest.size_bytes,
        benchmark=_result(engine.with_name(BENCHMARK)) if BENCHMARK in reports else None,
        build=_beside(engine, "build.json") if ours else None,
        verify=reports.get(VERIFY),
        notes=tuple(notes),
    )


def _engine_of(report: Any) -> Any:
    """The digest of the engine that a benchmark.json or verify.json is about."""
    engine = report.get("engine")
    return engine.get("digest") if isinstance(engine, dict) else report.get("engine_digest")


def _beside(engine: Path, name: str) -> Any:
    try:
        found = json.loads(engine.with_name(name).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _result(path: Path) -> Any:
    """A benchmark's result document. Raises StageError for anything else."""
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise StageError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except ValueError as error:
        raise StageError(f"this is no JSON document: {error}", where=str(path)) from error
    problem = _problem(found)
    if problem:
        hint = "give a benchmark.json as `trtbuild run` and `trtbuild bench --out` write it"
        raise StageError(problem, where=str(path), hint=hint)
    return found


def _problem(found: Any) -> str:
    """Why a document is no result that can be read, in words; "" for one that can."""
    if not isinstance(found, dict) or "points" not in found or "engine" not in found:
        return "this is no benchmark's result"
    if found.get("format") != FORMAT:
        return f"this result has format {found.get('format')}, this trtbuild reads {FORMAT}"
    from trtbuild.recipe.schema import validator  # jsonschema is slow to import

    for error in validator("benchmark.schema.json").iter_errors(found):
        place = ".".join(map(str, error.absolute_path))
        return f"this is no benchmark's result: {place}: {error.message[:200]}"
    return ""
