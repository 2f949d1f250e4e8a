"""Measures what each node of a variant costs, beside the tasks: its result depends on the clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtbuild.errors import StageError, UsageError
from trtbuild.graph.action import Task
from trtbuild.graph.made import SENSITIVITY as FILE
from trtbuild.graph.request import inputs_of, request_of
from trtbuild.graph.session import Session
from trtbuild.graph.toolchain import missing, missing_error
from trtbuild.recipe.model import Options, Recipe
from trtbuild.recipe.precision_section import (
    BEST,
    DEFAULTS,
    UNCHANGED,
    as_written,
    needs_data,
    precision_line,
)
from trtbuild.stages import STAGES
from trtbuild.store.digest import canonical_json, digest_of_bytes
from trtbuild.store.files import write_file

MODULE = "trtbuild.stages.sensitivity"


@dataclass(frozen=True, slots=True)
class Search:
    """What is measured: a precision of a recipe, for how long, and on how many cases."""

    precision: str
    seconds: float
    cases: int


def with_precision(recipe: Recipe, precision: str) -> Recipe:
    """The recipe, with this precision and its defaults where it does not have it.

    Raises UsageError for one that changes no node, or that needs a calibration that is not there.
    """
    if precision not in DEFAULTS or precision in UNCHANGED:
        lowering = ", ".join(name for name in DEFAULTS if name not in UNCHANGED)
        what = "changes no node" if precision in UNCHANGED else "is no precision"
        raise UsageError(f"'{precision}' {what}", hint=f"give one of {lowering}")
    if precision in recipe.precisions:
        return recipe
    if needs_data(precision, {}) and recipe.calibration is None:
        raise UsageError(
            f"{precision} needs data to calibrate on, and {recipe.path} has no `calibration`",
            hint="give the recipe calibration: {dataset: ...}",
        )
    return replace(recipe, precisions={**recipe.precisions, precision: DEFAULTS[precision]})


def measure(session: Session, search: Search) -> tuple[dict[str, Any], Path] | None:
    """The document of the stage, and where it lies; None where a task before it failed.

    Probes of an earlier run are taken over where model, precision and data are the same. Raises
    StageError, MissingPackage.
    """
    (rebuilder,) = session.rebuilders
    task = rebuilder.tasks[f"quantize:{search.precision}"]
    if lacking := missing(STAGES["quantize"], task.options):
        raise missing_error("sensitivity", lacking)
    session.select(task.needs)
    if not session.run():
        return None
    store, workspace, recipe = session.store, rebuilder.workspace, rebuilder.recipe
    inputs = inputs_of(task, rebuilder.tasks, workspace, recipe)
    known = store.root / "shared" / "sensitivity" / _file_name(recipe, task)
    if known.is_file():
        inputs["known"] = known
    shown = replace(task, id=f"sensitivity:{search.precision}")
    request = replace(
        request_of(task, inputs, recipe, workspace, store),
        module=MODULE,
        options=_options(task, rebuilder.tasks[f"verify:{search.precision}"], search),
    )
    rebuilder.listener.started(recipe, shown, ())
    with store.scratch() as scratch:
        try:
            execution = session.executor.run(
                request,
                scratch,
                lambda text, part: rebuilder.listener.progress(recipe, shown, text, part),
            )
        finally:  # also of what was interrupted: each probe is worth keeping
            written = scratch / "outputs" / FILE
            if written.is_file():
                write_file(known, written.read_bytes())
        if execution.error is not None:
            workspace.keep_failure(replace(task, stage="sensitivity"), execution.log, [])
            raise _located(execution.error, recipe, task)
        document: dict[str, Any] = json.loads(written.read_bytes())
    keeping = document["keeping"]
    nodes = keeping["nodes"] if keeping["enough"] else []
    document["yaml"] = _lines(recipe, search.precision, nodes)
    place = workspace.path(task, FILE)
    write_file(place, json.dumps(document, indent=1).encode() + b"\n")
    return document, place


def _located(error: StageError, recipe: Recipe, task: Task) -> StageError:
    """The error with the place in the recipe: of the option that it names, else of the variant."""
    key = (*task.where, error.where)
    if key in recipe.positions:
        where = recipe.where(*key)
    else:
        where = ": ".join(filter(None, (recipe.where(*task.where), error.where)))
    return StageError(error.what, where=where, hint=error.hint)


def _file_name(recipe: Recipe, task: Task) -> str:
    """Where the probes are kept: other options of the same precision have a file of their own."""
    options = {name: value for name, value in task.options.items() if name != "keep_fp32"}
    digest = digest_of_bytes(canonical_json(options)).text.rpartition(":")[2]
    return f"{recipe.name}-{task.variant}-{digest[:12]}.json"


def _lines(recipe: Recipe, precision: str, nodes: list[str]) -> str:
    """The recipe's `precisions:` with the nodes kept, to be pasted over it; empty where nothing
    need be kept beside what the recipe keeps, or nothing helps.
    """
    if not nodes:
        return ""
    lines = ["precisions:"]
    for name, options in recipe.precisions.items():
        if name != precision:
            lines.append(f"  {precision_line(name, options)}")
            continue
        given = dict(as_written(name, options))
        kept: Any = given.pop("keep_fp32", [])
        lines.append(f"  {name}:")
        lines += [f"    {key}: {json.dumps(value)}" for key, value in given.items()]
        lines.append("    keep_fp32:")
        lines += [f"      - {json.dumps(node)}" for node in (*kept, *nodes)]
    if recipe.best:
        lines.append(f"  {BEST}: {{}}")
    return "\n".join(lines) + "\n"


def _options(quantize: Task, verify: Task, search: Search) -> Options:
    return {
        **quantize.options,
        "seconds": search.seconds,
        "cases": search.cases,
        "tolerance": verify.options["tolerance"],
    }
