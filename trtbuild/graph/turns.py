"""Runs candidates of `best` by turns, where their own benchmarks are too near to tell.

Two benchmarks of different moments differ by what else the machine did: engines that run in turn
share it, as `trtbuild bench A --against B` has them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from trtbuild.graph.action import ArtifactRef, SourceFile, Verdict
from trtbuild.recipe.model import Options

if TYPE_CHECKING:
    from trtbuild.graph.action import InputRef, Task
    from trtbuild.graph.rebuild import Rebuilder

CLOSE = 1.5
"""Engines whose medians differ by more than this factor are told apart without taking turns."""

_TURNS: Options = {
    "source": None,
    "baselines": [],
    "layer_profile": False,
    "time_deserialize": False,
    "time_refit": False,
    "export_times": False,
    "export_outputs": False,
    "export_layers": False,
}
"""What a benchmark measures besides is left out."""


@dataclass(frozen=True, slots=True)
class Turns:
    """How many times as long a variant takes as another, in turn: estimate and 95 % interval."""

    variant: str
    against: str
    estimate: float
    low: float
    high: float


def take_turns(rebuilder: Rebuilder, variant: str, against: str) -> Turns | None:
    """A task beside the plan, so that it is measured once; None where nothing can be said.

    Without a GPU, or where nothing is to be run, what the cache has of it is taken.
    """
    task = _task(rebuilder.tasks[f"benchmark:{variant}"], against)
    if rebuilder.only_cached and not _is_there(rebuilder, task):
        return None
    if not rebuilder.rebuild(task) or rebuilder.outcomes[task.id].verdict is Verdict.SKIPPED:
        return None
    path = rebuilder.workspace.path(task, "benchmark.json")
    found: Any = json.loads(path.read_bytes())["points"][0].get("regression")
    if found is None:  # the engines are the same
        return None
    return Turns(variant, against, found["estimate"], found["low"], found["high"])


def _is_there(rebuilder: Rebuilder, task: Task) -> bool:
    return rebuilder.decide(task).verdict in (Verdict.UP_TO_DATE, Verdict.RESTORED)


def _task(benchmark: Task, against: str) -> Task:
    """The benchmark of a variant at its first point, beside the engine of another: of neither
    variant alone, so that it counts whichever is kept.
    """
    points: Any = benchmark.options["points"]
    return replace(
        benchmark,
        id=f"turns:{benchmark.variant}:{against}",
        variant=None,
        options={**benchmark.options, **_TURNS, "points": points[:1]},
        inputs=(
            *(item for item in benchmark.inputs if _is_of_engine(item)),
            ArtifactRef("accepted", f"build:{against}", "engine"),
        ),
        folder=f"best/{benchmark.variant}-{against}",
    )


def _is_of_engine(item: InputRef) -> bool:
    """Whether an input is the engine, or what it needs: its plugins, and values for its inputs."""
    needed = isinstance(item, SourceFile) and item.role.startswith(("plugins/", "input."))
    return needed or item.role == "engine"
