"""Judges the gates of a recipe by the results of its benchmarks, after a run."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.graph.accepted import accepted_engine, has_regression
from trtbuild.graph.action import Outcome, Verdict

if TYPE_CHECKING:
    from trtbuild.benchmark.gates import Instead, Judgement
    from trtbuild.graph.choose import Choice
    from trtbuild.graph.rebuild import Rebuilder


def judge_gates(rebuilder: Rebuilder) -> dict[str, tuple[Judgement, ...]]:
    """Every gate of the benchmarks that a run came to, by task id; nothing is measured for it.

    Where there is no result a gate is as unclear as the benchmark was skipped, and fails with it.
    """
    benchmark = rebuilder.recipe.benchmark
    if benchmark is None or not benchmark.gates:
        return {}
    return {
        task_id: _judged(rebuilder, outcome)
        for task_id, outcome in rebuilder.outcomes.items()
        if outcome.task.stage == "benchmark"
    }


def excuse_candidates(
    judged: dict[str, tuple[Judgement, ...]], choice: Choice
) -> dict[str, tuple[Judgement, ...]]:
    """The judgements where one variant is kept as the best: what others break fails no run."""
    from trtbuild.benchmark.gates import Outcome as Gated

    def excused(judgement: Judgement) -> Judgement:
        if judgement.outcome is not Gated.FAILED:
            return judgement
        message = f"{judgement.message} ({choice.excuse})"
        return replace(judgement, outcome=Gated.UNCLEAR, message=message)

    return {
        task_id: found
        if task_id == f"benchmark:{choice.variant}"
        else tuple(excused(judgement) for judgement in found)
        for task_id, found in judged.items()
    }


def any_failed(judged: dict[str, tuple[Judgement, ...]]) -> bool:
    """Whether a gate was broken."""
    return any(
        judgement.outcome.value == "failed"
        for judgements in judged.values()
        for judgement in judgements
    )


def _judged(rebuilder: Rebuilder, outcome: Outcome) -> tuple[Judgement, ...]:
    from trtbuild.benchmark.gates import Outcome as Gated
    from trtbuild.benchmark.gates import judge, not_measured
    from trtbuild.recipe.gates import parse_gates

    assert rebuilder.recipe.benchmark is not None  # noqa: S101 - there are gates
    gates = parse_gates(rebuilder.recipe.benchmark.gates)
    why = "; ".join(reason.text for reason in outcome.reasons)
    if outcome.verdict is Verdict.FAILED:
        return not_measured(gates, Gated.FAILED, f"the benchmark failed: {why}")
    if outcome.verdict is Verdict.SKIPPED:
        return not_measured(gates, Gated.UNCLEAR, f"the benchmark was skipped: {why}")
    result = _result(rebuilder, outcome)
    return judge(result, gates, _without_regression(rebuilder, outcome, result))


def _result(rebuilder: Rebuilder, outcome: Outcome) -> Any:
    path = rebuilder.workspace.path(outcome.task, "benchmark.json")
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        text = f"the result cannot be read: {error}"
        raise StageError(text, where=str(path), hint="run it again") from error


def _without_regression(rebuilder: Rebuilder, outcome: Outcome, result: Any) -> Instead:
    """What a regression gate comes to where the two engines were not run in turn."""
    from trtbuild.benchmark.gates import NOTHING_ACCEPTED, Instead
    from trtbuild.benchmark.gates import Outcome as Gated

    if rebuilder.device is None or not has_regression(rebuilder.recipe):
        return NOTHING_ACCEPTED
    recipe, store = rebuilder.recipe, rebuilder.store
    found = accepted_engine(recipe, outcome.task, rebuilder.device, store)
    if found.digest is not None and found.digest.text == result["engine"]["digest"]:
        return Instead(Gated.PASSED, 0.0, "this is the accepted engine")
    return Instead(Gated.UNCLEAR, None, found.why or NOTHING_ACCEPTED.message)
