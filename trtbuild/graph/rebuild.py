"""The rebuilder: decides whether a task is stale, and brings its outputs up to date.

In the words of "Build Systems a la Carte" (Mokhov et al. 2018, doi.org/10.1145/3236774): shallow
constructive traces, with verifying traces as the fast path. An action's key names what it gives;
what a run of it gave is recorded; any recorded result will do.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from trtbuild.benchmark.gates import Judgement
from trtbuild.errors import OptionError, StageError, StoreError, TrtbuildError
from trtbuild.graph.action import (
    Action,
    Outcome,
    Reason,
    ReasonKind,
    Task,
    Verdict,
    differences,
)
from trtbuild.graph.advice import with_advice
from trtbuild.graph.bind import Outputs, as_seen, bind, options_of, uses_gpu
from trtbuild.graph.choose import Choice
from trtbuild.graph.decision import Decision, Guard, Listener
from trtbuild.graph.device import NO_DEVICE, SOME_GPU, Device, demand_gpu, leased
from trtbuild.graph.execute import Executor, Progress, Request
from trtbuild.graph.request import artifacts_differ, inputs_of, request_of
from trtbuild.graph.results import Found, Results
from trtbuild.graph.workspace import Record, Workspace
from trtbuild.recipe.model import Recipe
from trtbuild.stages import STAGES
from trtbuild.store.action_cache import Trace
from trtbuild.store.store import Store


@dataclass(slots=True)
class Rebuilder:
    """Brings the tasks of one recipe up to date, in an order that its caller sees to."""

    recipe: Recipe
    tasks: Mapping[str, Task]
    store: Store
    workspace: Workspace
    executor: Executor
    listener: Listener
    device: Device | None
    forced: frozenset[str] = frozenset()  # stages to run in any case
    required: frozenset[str] = frozenset()  # stages that must not be skipped
    guard: Guard | None = None
    only_cached: bool = False  # restore what there is, and run nothing
    link: bool = False  # engines become hard links of the cache's
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    results: dict[str, Outputs] = field(default_factory=dict)
    gates: dict[str, tuple[Judgement, ...]] = field(default_factory=dict)  # by task, after a run
    choice: Choice | None = None  # of the best variant, after a run
    locked_best: str | None = None  # the variant that a lock keeps as the best
    cached: Results = field(init=False)

    def __post_init__(self) -> None:
        """Open the caches as this recipe uses them."""
        self.cached = Results(
            store=self.store,
            workspace=self.workspace,
            folder=self.recipe.folder,
            policies=self.recipe.cache_policy,
            anywhere=self.only_cached,
            link=self.link,
        )

    def decide(self, task: Task) -> Decision:
        """Whether the task is stale, from what is there now; changes nothing.

        Every task that this one needs must have its result. Raises StageError, MissingPackage.
        """
        if blocked := self._blocked(task):
            return blocked
        found = self._find(task)
        action, trace = found.action, found.trace
        if trace is None and self.lacks_device(task):
            return self._cannot_be_had(task, action)
        if task.stage in self.required:
            demand_gpu(task.stage, action.options if trace is None else trace.action["options"])
        self._guard(task, action, trace.outputs if trace else None)
        if task.stage in self.forced:
            reason = Reason(ReasonKind.FORCED, f"--rebuild {task.stage}")
            return Decision(Verdict.EXECUTED, (reason,), action)
        if trace is None:
            why = self.cached.why_unknown(action, self.workspace.record(task))
            return Decision(Verdict.EXECUTED, why, action)
        kept = Decision(Verdict.UP_TO_DATE, (), action, trace, found.key, found.accepted)
        wrong = self.workspace.differences(task, trace.outputs)
        if not wrong:
            return kept
        record = self.workspace.record(task)
        if record is None:
            wrong = [Reason(ReasonKind.FIRST_RUN, "not yet in this folder")]
        elif record.key != action.key():
            wrong = list(differences(record.action, action.document())) or wrong
        if self.store.holds(trace):
            return replace(kept, verdict=Verdict.RESTORED, reasons=tuple(wrong))
        evicted = Reason(ReasonKind.EVICTED, "the cache no longer holds its result")
        return Decision(Verdict.EXECUTED, (*wrong, evicted), action)

    def present_action(self, task: Task) -> Action:
        """The action that the task would be now. Raises as `decide`."""
        found = self._find(task)
        record = self.workspace.record(task)
        if found.trace is None and record is not None:
            return self.cached.as_recorded(found.action, record)
        return found.action

    def is_settled(self, task: Task) -> bool:
        """Whether the task is up to date, or has to be skipped on this machine."""
        if self.lacks_device(task) and task.stage not in self.required:
            return self.rebuild(task)
        return self.is_up_to_date(task)

    def is_up_to_date(self, task: Task) -> bool:
        """Decide, and if nothing is to be done, take note of the result."""
        if task.id in self.results:
            return True
        try:
            decision = self.decide(task)
        except TrtbuildError:
            return False  # `rebuild` meets the same error and reports it
        if decision.verdict is not Verdict.UP_TO_DATE:
            return False
        assert decision.action is not None  # noqa: S101 - decide() gives both with this verdict
        assert decision.trace is not None  # noqa: S101
        self._finish(task, decision, decision.action, decision.trace)
        return True

    def rebuild(self, task: Task) -> bool:
        """Restore or execute the task; False if it failed. Its outcome is in `outcomes`."""
        try:
            decision = self.decide(task)
            if decision.verdict is Verdict.SKIPPED:
                return self._skip(task, decision)
            assert decision.action is not None  # noqa: S101 - only a skipped task has none
            with self.store.lock(decision.action.key(), lambda: self._waits(task)):
                # Another process may have made it while this one waited for the lock.
                return self._bring_up(task, self.decide(task))
        except TrtbuildError as error:
            return self._fail(task, error)

    def _bring_up(self, task: Task, decision: Decision) -> bool:
        assert decision.action is not None  # noqa: S101 - as in rebuild()
        self.workspace.prepare()
        if decision.trace is not None and decision.verdict is not Verdict.EXECUTED:
            told = self._telling(task, "restoring")
            there = self.store.obtain(decision.key, decision.trace, told)
            if there and self.cached.restore(task, decision.trace, told):
                self._finish(task, decision, decision.action, decision.trace)
                return True
            damaged = Reason(ReasonKind.EVICTED, "its result in the cache was damaged")
            reasons = (*decision.reasons, damaged)
            decision = Decision(Verdict.EXECUTED, reasons, decision.action)
        if self.only_cached:
            why = "; ".join(reason.text for reason in decision.reasons)
            raise StageError(f"not in the cache: {why}", hint="--only-cached runs nothing")
        return self._execute(task, decision)

    def _execute(self, task: Task, decision: Decision) -> bool:
        self.listener.started(self.recipe, task, decision.reasons)
        before = self._bind(task)
        with self.store.scratch() as scratch:
            progress = self._progress_of(task)
            with self._lease(task, progress) as environment:
                request = self._request(task, environment)
                execution = self.executor.run(request, scratch, progress)
            if execution.error is not None:
                reports = _reports(task, execution.outputs)
                self.workspace.keep_failure(task, execution.log, reports)
                raise with_advice(execution.error, task, self.recipe, execution.outputs)
            read = self.cached.as_read(before, execution.discovered)
            action = as_seen(read, execution.seen, self.recipe.folder)
            changed = artifacts_differ(task, self.tasks, self.results, self.workspace)
            if action is None or changed or self._bind(task) != before:
                raise StageError(
                    "an input was changed while the stage ran; its result was thrown away",
                    hint="run it again",
                )
            trace = self.cached.record(task, action, execution, self._telling(task, "storing"))
        self._guard(task, action, trace.outputs)
        if not self.cached.restore(task, trace, self._telling(task, "restoring")):
            raise StageError("its result was removed from the cache at once", hint="run it again")
        self._finish(task, replace(decision, key=action.key(), accepted=()), action, trace)
        return True

    def _finish(self, task: Task, decision: Decision, action: Action, trace: Trace) -> None:
        accepted = tuple(reason.text for reason in decision.accepted)
        key = action.key() if accepted else decision.key  # the key of an entry that is exactly it
        if decision.verdict is not Verdict.UP_TO_DATE:
            record = Record(key, action.document(), decision.key, accepted)
            self.workspace.write_record(task, record)
            self.workspace.forget_failure(task, _reports(task, Path()))
        elif not self.workspace.is_recorded(task, key):
            # Another action gave the same bytes: what comes next is compared with this one.
            record = Record(key, action.document(), decision.key, accepted)
            with contextlib.suppress(StoreError):  # a folder that is only read stays as it is
                self.workspace.write_record(task, record)
        self._conclude(
            Outcome(
                task=task,
                verdict=decision.verdict,
                reasons=(*decision.reasons, *decision.accepted),
                key=key,
                outputs=trace.outputs,
                seconds=trace.seconds,
                warnings=trace.warnings + accepted,
            )
        )
        self.store.actions.mark_used(decision.key)
        self.results[task.id] = trace.outputs

    def _skip(self, task: Task, decision: Decision) -> bool:
        if task.stage in self.required:
            text = "; ".join(reason.text for reason in decision.reasons)
            raise StageError(f"cannot run here: {text}", hint=f"--require {task.stage} asks for it")
        self._conclude(Outcome(task, Verdict.SKIPPED, decision.reasons))
        return True

    def _fail(self, task: Task, error: TrtbuildError) -> bool:
        log = self.workspace.log_path(task)
        self._conclude(
            Outcome(
                task=task,
                verdict=Verdict.FAILED,
                reasons=(Reason(ReasonKind.ERROR, error.what),),
                error=str(error),
                log=str(log) if log.exists() else "",
                mistake=isinstance(error, OptionError),
            )
        )
        return False

    def _conclude(self, outcome: Outcome) -> None:
        self.outcomes[outcome.task.id] = outcome
        self.listener.finished(self.recipe, outcome)

    def lacks_device(self, task: Task) -> bool:
        """Whether the task needs a GPU that is not there."""
        return self.device is None and STAGES[task.stage].needs_gpu(task.options)

    def _blocked(self, task: Task) -> Decision | None:
        if self.lacks_device(task) and not self.only_cached:
            return Decision(Verdict.SKIPPED, (Reason(ReasonKind.NO_DEVICE, NO_DEVICE),))
        for needed in task.needs:
            if needed not in self.results:
                reason = Reason(ReasonKind.UPSTREAM_FAILED, f"{needed} has no result")
                return Decision(Verdict.SKIPPED, (reason,))
        return None

    def _cannot_be_had(self, task: Task, action: Action) -> Decision:
        """What nothing here can make and no cache has: missed if another task needs it."""
        reason = Reason(ReasonKind.NO_DEVICE, f"{NO_DEVICE}, and not in the cache")
        needed = any(task.id in other.needs for other in self.tasks.values())
        return Decision(Verdict.EXECUTED if needed else Verdict.SKIPPED, (reason,), action)

    def _find(self, task: Task) -> Found:
        """The task's action and its entry; where nothing is run, rather what a GPU has given."""
        nothing_runs = self.only_cached and self.device is None
        devices = (SOME_GPU, None) if nothing_runs and STAGES[task.stage].takes_gpu else (None,)
        tried = [self.cached.find(self._bind(task, device)) for device in devices]
        return next((found for found in tried if found.trace is not None), tried[-1])

    def _bind(self, task: Task, device: Device | None = None) -> Action:
        folder, memo, partial = self.recipe.folder, self.store.memo, self.only_cached
        return bind(task, self.results, folder, device or self.device, memo, partial=partial)

    def _lease(
        self, task: Task, progress: Progress
    ) -> contextlib.AbstractContextManager[Mapping[str, str]]:
        """Hold a GPU where the stage runs on one; gives what its process's environment needs."""
        stage = STAGES[task.stage]
        if self.device is None or not uses_gpu(stage, options_of(task, stage, self.device)):
            return contextlib.nullcontext({})
        return leased(self.recipe, lambda text: progress(text, None))

    def _request(self, task: Task, environment: Mapping[str, str]) -> Request:
        inputs = inputs_of(task, self.tasks, self.workspace, self.recipe)
        return request_of(
            task,
            inputs,
            self.recipe,
            self.workspace,
            self.store,
            device=self.device,
            environment=environment,
        )

    def _guard(self, task: Task, action: Action, outputs: Outputs | None) -> None:
        if self.guard is not None and task.id in self.tasks:
            self.guard.check(task, action, outputs)

    def _waits(self, task: Task) -> None:
        text = "waiting for another process that is at the same action"
        self.listener.progress(self.recipe, task, text, None)

    def _telling(self, task: Task, text: str) -> Callable[[float], None]:
        return lambda fraction: self.listener.progress(self.recipe, task, text, fraction)

    def _progress_of(self, task: Task) -> Progress:
        return lambda text, fraction: self.listener.progress(self.recipe, task, text, fraction)


def _reports(task: Task, outputs: Path) -> list[Path]:
    """The reports among a stage's outputs: worth having of a failed run too."""
    found = [output for output in STAGES[task.stage].outputs if output.name == "result"]
    return [outputs / output.files[0] for output in found]
