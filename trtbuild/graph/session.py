"""One invocation over some recipes: the cache, the device, a rebuilder per recipe, a selection."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from trtbuild.errors import MissingPackage, RecipeError
from trtbuild.graph.accepted import with_accepted
from trtbuild.graph.action import Outcome, Reason, ReasonKind, Task, Verdict
from trtbuild.graph.bind import options_of
from trtbuild.graph.capable import check_capable, check_targets
from trtbuild.graph.choose import choose, not_passing
from trtbuild.graph.decision import Listener
from trtbuild.graph.deploy import check_deploy
from trtbuild.graph.device import Device, device_of
from trtbuild.graph.execute import Executor, LocalExecutor
from trtbuild.graph.hold import hold_folders
from trtbuild.graph.judge import any_failed, excuse_candidates, judge_gates
from trtbuild.graph.leftovers import remove_leftovers
from trtbuild.graph.places import check_places
from trtbuild.graph.plan import plan
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.graph.select import Settings, needed_by, select
from trtbuild.graph.toolchain import missing, missing_error
from trtbuild.graph.workspace import Workspace
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES
from trtbuild.stages.base import Requirement
from trtbuild.store.store import Store


class Session:
    """Rebuilders of some recipes over one cache, and which of their tasks are wanted."""

    def __init__(
        self,
        recipes: Sequence[Recipe],
        store: Store,
        listener: Listener,
        settings: Settings,
        executor: Executor | None = None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.executor = executor or LocalExecutor()
        devices = [device_of(recipe) for recipe in recipes]
        self.rebuilders = tuple(
            Rebuilder(
                recipe=recipe,
                tasks=_planned(recipe, device, store),
                store=store,
                workspace=Workspace(output_folder(recipe, settings.out), store.memo),
                executor=self.executor,
                listener=listener,
                device=device,
                forced=settings.forced,
                required=settings.required,
                only_cached=settings.only_cached,
                link=settings.link,
            )
            for recipe, device in zip(recipes, devices, strict=True)
        )
        self.selected = tuple(select(r, settings) for r in self.rebuilders)
        self._holding = False  # the output folders, against other runs

    def select(self, tasks: Sequence[str]) -> None:
        """Want these tasks of every recipe, instead of what the settings select."""
        self.selected = tuple(list(tasks) for _ in self.rebuilders)

    def run(self) -> bool:
        """Bring the selection up to date; whether nothing failed.

        Raises MissingPackage, RecipeError.
        """
        check_places(self.rebuilders)
        if not self.settings.only_cached:
            self._check_packages()
            self._check_capable()
        if not self._holding:
            self._holding = True
            hold_folders(self.rebuilders)
        if not self._all_up_to_date():
            from trtbuild.graph.doit import schedule  # half of a no-op's time, so only now

            schedule(
                self.rebuilders,
                self.selected,
                jobs=self.settings.jobs,
                keep_going=self.settings.keep_going
                or self.settings.only_cached
                or any(rebuilder.recipe.best for rebuilder in self.rebuilders),
            )
            for rebuilder in self.rebuilders:
                remove_leftovers(rebuilder)
        for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True):
            _fill_in(rebuilder, needed_by(rebuilder, selected))
        for rebuilder in self.rebuilders:
            rebuilder.gates = judge_gates(rebuilder)
            rebuilder.choice = choose(rebuilder)
            if rebuilder.choice is not None and rebuilder.choice.variant is not None:
                rebuilder.gates = excuse_candidates(rebuilder.gates, rebuilder.choice)
        return not any(_failed(rebuilder) for rebuilder in self.rebuilders)

    def interrupt(self) -> None:
        """End what runs, and give what was not begun its verdict."""
        self.executor.stop()
        for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True):
            _fill_in(rebuilder, needed_by(rebuilder, selected), "the run was interrupted")

    def preview(self) -> None:
        """Fill each rebuilder's outcomes with what a run would do; nothing is changed."""
        check_places(self.rebuilders)
        self._check_capable()
        for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True):
            for task_id in needed_by(rebuilder, selected):
                outcome = _predict(rebuilder, rebuilder.tasks[task_id])
                rebuilder.outcomes[task_id] = outcome
                if outcome.verdict in (Verdict.UP_TO_DATE, Verdict.RESTORED):
                    rebuilder.results[task_id] = outcome.outputs

    def _all_up_to_date(self) -> bool:
        """Whether there is nothing to schedule; the plan's order is good enough to find out."""
        return all(
            rebuilder.is_settled(rebuilder.tasks[task_id])
            for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True)
            for task_id in needed_by(rebuilder, selected)
        )

    def _check_capable(self) -> None:
        problems: list[str] = []
        for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True):
            wanted = needed_by(rebuilder, selected)
            if any(rebuilder.tasks[task_id].stage == "build" for task_id in wanted):
                try:
                    for check in (check_targets, check_capable):
                        check(rebuilder.recipe, rebuilder.device)
                    check_deploy(rebuilder.recipe)
                except RecipeError as error:
                    problems += error.problems
        if problems:
            raise RecipeError(tuple(problems))

    def _check_packages(self) -> None:
        lacking: dict[Requirement, str] = {}
        for rebuilder, selected in zip(self.rebuilders, self.selected, strict=True):
            for task_id in needed_by(rebuilder, selected):
                task = rebuilder.tasks[task_id]
                stage = STAGES[task.stage]
                options = options_of(task, stage, rebuilder.device)
                if rebuilder.device is None and stage.needs_gpu(options):
                    continue  # it will be skipped
                for requirement in missing(stage, options):
                    lacking.setdefault(requirement, task.stage)
        if lacking:
            stages = ", ".join(dict.fromkeys(lacking.values()))
            raise missing_error(stages, tuple(lacking))


def _planned(recipe: Recipe, device: Device | None, store: Store) -> dict[str, Task]:
    """The plan, and in it the accepted engine that a gate compares with."""
    return {task.id: with_accepted(recipe, task, device, store) for task in plan(recipe)}


def output_folder(recipe: Recipe, out: Path | None) -> Path:
    """Where a recipe's outputs lie: `build/NAME` beside the recipe, or below `--out`."""
    return (out if out is not None else recipe.folder / "build") / recipe.name


NOT_BEGUN = "not begun: another task failed before (--continue goes on)"


def _fill_in(rebuilder: Rebuilder, wanted: list[str], otherwise: str = NOT_BEGUN) -> None:
    """Give the tasks that doit did not come to their verdict."""
    for task_id in wanted:
        if task_id in rebuilder.outcomes:
            continue
        task = rebuilder.tasks[task_id]
        if failed := _failed_before(rebuilder, task):
            reason = Reason(ReasonKind.UPSTREAM_FAILED, f"{', '.join(failed)} failed")
        else:
            reason = Reason(ReasonKind.UPSTREAM_FAILED, otherwise)
        rebuilder.outcomes[task_id] = Outcome(task, Verdict.SKIPPED, (reason,))


def _failed(rebuilder: Rebuilder) -> bool:
    """Whether a gate was broken or a task failed, other than those of a candidate not chosen,
    where it was no mistake in the recipe.
    """
    choice = rebuilder.choice
    if (choice is not None and choice.variant is None) or not_passing(rebuilder):
        return True
    failed = [o for o in rebuilder.outcomes.values() if o.verdict is Verdict.FAILED]
    return any_failed(rebuilder.gates) or any(not (choice and choice.excuses(o)) for o in failed)


def _failed_before(rebuilder: Rebuilder, task: Task) -> list[str]:
    """The tasks that this one needs, near or far, which failed."""
    return [
        needed
        for needed in needed_by(rebuilder, task.needs)
        if needed in rebuilder.outcomes and rebuilder.outcomes[needed].verdict is Verdict.FAILED
    ]


def _predict(rebuilder: Rebuilder, task: Task) -> Outcome:
    waits_for = [name for name in task.needs if name not in rebuilder.results]
    if rebuilder.lacks_device(task):
        decision = rebuilder.decide(task)
        return Outcome(task, decision.verdict, decision.reasons)
    if waits_for:
        behind = {name for other in waits_for for name in needed_by(rebuilder, [other])[:-1]}
        nearest = ", ".join(name for name in waits_for if name not in behind)
        text = f"after {nearest}, unless that gives the same as before"
        reason = Reason(ReasonKind.UPSTREAM, text)
        return Outcome(task, Verdict.EXECUTED, (reason,), certain=False)
    try:
        decision = rebuilder.decide(task)
    except MissingPackage as error:
        reason = Reason(ReasonKind.ERROR, f"{error.what}: {error.hint}")
        return Outcome(task, Verdict.SKIPPED, (reason,), error=str(error))
    return Outcome(
        task=task,
        verdict=decision.verdict,
        reasons=decision.reasons,
        key=decision.action.key() if decision.action else "",
        outputs=decision.trace.outputs if decision.trace else (),
        seconds=decision.trace.seconds if decision.trace else 0.0,
    )
