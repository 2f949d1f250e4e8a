"""What a rebuilder decides about a task, who may refuse it, and who is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from trtbuild.graph.action import Action, Outcome, Reason, Task, Verdict
from trtbuild.graph.bind import Outputs
from trtbuild.recipe.model import Recipe
from trtbuild.store.action_cache import Trace


class Listener(Protocol):
    """Who watches a run."""

    # A task has begun to execute.
    def started(self, recipe: Recipe, task: Task, reasons: tuple[Reason, ...]) -> None: ...

    # A line of what it is doing; the fraction is known for some stages.
    def progress(self, recipe: Recipe, task: Task, text: str, fraction: float | None) -> None: ...

    # It has its verdict.
    def finished(self, recipe: Recipe, outcome: Outcome) -> None: ...


class Guard(Protocol):
    """Who may refuse what a task is, such as a lock."""

    # Called with a task's action, and with its outputs once they are known; raises TrtbuildError.
    def check(self, task: Task, action: Action, outputs: Outputs | None) -> None: ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What should be done about a task, and why; `trace` is the recorded result, if any."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    action: Action | None = None  # None where the task does not get that far
    trace: Trace | None = None
    key: str = ""  # of the entry that the trace is from; the action's own, unless one is accepted
    accepted: tuple[Reason, ...] = ()  # how that entry differs, where the recipe allows it
    certain: bool = True
