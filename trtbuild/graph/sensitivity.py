"""Measures what each node of a variant costs, beside the tasks: its result depends on the clock."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trtbuild.errors import UsageError
from trtbuild.graph.action import Task
from trtbuild.graph.request import inputs_of, request_of
from trtbuild.graph.session import Session
from trtbuild.graph.toolchain import missing, missing_error
from trtbuild.recipe.model import Options, Recipe
from trtbuild.recipe.precision_section import DEFAULTS, UNCHANGED, needs_data
from trtbuild.stages import STAGES
from trtbuild.store.files import write_file

MODULE = "trtbuild.stages.sensitivity"
FILE = "sensitivity.json"


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
    known = store.root / "shared" / "sensitivity" / f"{recipe.name}-{search.precision}.json"
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
        execution = session.executor.run(
            request,
            scratch,
            lambda text, part: rebuilder.listener.progress(recipe, shown, text, part),
        )
        if execution.error is not None:
            workspace.keep_failure(replace(task, stage="sensitivity"), execution.log, [])
            raise execution.error
        content = (execution.outputs / FILE).read_bytes()
    place = workspace.path(task, FILE)
    for path in (known, place):
        write_file(path, content)
    document: dict[str, Any] = json.loads(content)
    return document, place


def _options(quantize: Task, verify: Task, search: Search) -> Options:
    return {
        **quantize.options,
        "seconds": search.seconds,
        "cases": search.cases,
        "tolerance": verify.options["tolerance"],
    }
