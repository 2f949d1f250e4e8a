"""Make the present benchmark results what later ones are judged against."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trtbuild.benchmark.accept import accept
from trtbuild.cli.common import folder, open_session
from trtbuild.errors import ExitCode, StageError, UsageError
from trtbuild.graph.accepted import accepted_file, read_accepted, variant_name
from trtbuild.graph.action import Task
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.report.terminal import Quiet
from trtbuild.store.digest import Digest
from trtbuild.store.files import copy_file, write_file
from trtbuild.store.roots import register


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `trtbuild accept` takes."""
    parser.add_argument("recipe", type=Path, metavar="RECIPE", help="a recipe file")
    parser.add_argument(
        "--precision",
        action="append",
        default=[],
        metavar="P",
        help="this precision; may be repeated (default: all that were measured)",
    )
    parser.add_argument(
        "--engines",
        type=folder,
        metavar="DIR",
        help="also keep the engines there, for machines that do not share this cache",
    )
    parser.add_argument("--cache", type=folder, metavar="DIR", help="the cache")
    parser.add_argument("--out", type=folder, metavar="DIR", help="where outputs lie, as in run")


def main(options: argparse.Namespace) -> ExitCode:
    """Write accepted.json beside the recipe, and have the cache keep the engines that it names."""
    options.recipes = [options.recipe]
    with open_session(options, Quiet()) as session:
        (rebuilder,) = session.rebuilders
        tasks = [task for task in rebuilder.tasks.values() if task.stage == "benchmark"]
        if not tasks:
            hint = "add `benchmark: {}`"
            raise UsageError(f"{options.recipe} measures nothing", hint=hint)
        path = accepted_file(rebuilder.recipe)
        document = read_accepted(path)
        accepted = []
        for task in tasks:
            if (options.precision and task.variant not in options.precision) or not _measured(
                rebuilder, task, asked=bool(options.precision)
            ):
                continue
            document = _accepted(rebuilder, task, document, options.engines)
            accepted.append(variant_name(rebuilder.recipe, task))
        if not accepted:
            raise StageError("nothing was measured yet", hint=f"trtbuild run {options.recipe}")
        write_file(path, (json.dumps(document, indent=2) + "\n").encode())
        register(rebuilder.store.root, path)
    print(f"{path}: accepted {', '.join(accepted)}")  # noqa: T201 - the command's whole result
    return ExitCode.DONE


def _measured(rebuilder: Rebuilder, task: Task, *, asked: bool) -> bool:
    path = rebuilder.workspace.path(task, "benchmark.json")
    if path.is_file():
        return True
    if asked:
        hint = f"trtbuild run {rebuilder.recipe.path}"
        raise StageError(f"{task.variant} was not measured: there is no {path}", hint=hint)
    return False


def _accepted(rebuilder: Rebuilder, task: Task, document: Any, engines: Path | None) -> Any:
    """The document with this result, whose engine is then in the cache. Raises StageError."""
    path = rebuilder.workspace.path(task, "benchmark.json")
    try:
        result = json.loads(path.read_bytes())
        digest = result["engine"]["digest"]
        variant = variant_name(rebuilder.recipe, task)
        engine = rebuilder.workspace.path(task, "engine.plan")
        kept = _keep(rebuilder, engine, digest, engines)
        return accept(document, variant, result, engine_path=kept)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = "this is no benchmark's result"
        raise StageError(text, where=str(path), hint="run the benchmark again") from error


def _keep(rebuilder: Rebuilder, engine: Path, digest: str, engines: Path | None) -> str:
    """Put the engine into the cache and, if asked, into a folder; its path from the recipe."""
    store = rebuilder.store
    try:
        present = store.memo.digest(engine)
    except OSError as error:
        text = f"the engine that was measured is gone: {engine}"
        raise StageError(text, hint=f"trtbuild run {rebuilder.recipe.path}") from error
    if present.text != digest:
        text = f"the result is of another engine than {engine}"
        raise StageError(text, hint=f"trtbuild run {rebuilder.recipe.path}")
    if not store.cas.verified(present):
        with store.scratch() as scratch:
            copy_file(engine, scratch / "engine")
            store.cas.adopt(scratch / "engine")
    return _copied(rebuilder, engine, present, engines) if engines is not None else ""


def _copied(rebuilder: Rebuilder, engine: Path, digest: Digest, engines: Path) -> str:
    target = engines / f"{digest.hash[:16]}.plan"
    copy_file(engine, target)
    folder = rebuilder.recipe.folder.resolve()
    place = target.resolve()
    return str(place.relative_to(folder) if place.is_relative_to(folder) else place)
