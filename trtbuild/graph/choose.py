"""Keeps the best of a recipe's variants: the fastest that passes, or the smallest without a GPU."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StoreError
from trtbuild.graph.action import Verdict
from trtbuild.graph.turns import CLOSE, Turns, take_turns
from trtbuild.store.files import write_file

if TYPE_CHECKING:
    from trtbuild.graph.action import Outcome
    from trtbuild.graph.rebuild import Rebuilder

AGAIN = "leave the output folder alone while a run goes on; run again"

FOLDER, ENGINE, FILE = "best", "engine.plan", "best.json"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One variant: whether it passes, its engine's size in bytes, and the median GPU compute time
    of its first benchmark point in ms, None where it was not measured.
    """

    variant: str
    passed: bool
    why: str  # where it does not pass
    size_bytes: int
    latency_ms: float | None


@dataclass(frozen=True, slots=True)
class Choice:
    """The variant that is kept (None where none passes), what by, and all that were looked at."""

    variant: str | None
    by: str  # "latency", "size" or "lock"
    candidates: tuple[Candidate, ...]
    turns: tuple[Turns, ...] = ()  # of those whose latencies were too near to tell

    @property
    def text(self) -> str:
        """The choice in words."""
        passing = [candidate for candidate in self.candidates if candidate.passed]
        if self.variant is None:
            if self.by == "lock":
                return "the candidate that the lock keeps does not pass"
            return f"none of the {len(self.candidates)} candidates passes"
        if self.by == "lock":
            return f"{self.variant}, as locked"
        if self.by == "latency":
            return f"{self.variant}, the fastest of {len(passing)} that pass"
        return (
            f"{self.variant}, the smallest of {len(passing)} that pass "
            "(no benchmark of all of them to tell the fastest)"
        )

    def excuses(self, outcome: Outcome) -> bool:
        """Whether a failure is of a candidate that is not kept, and no mistake in the recipe: it
        fails no run.
        """
        others = self.variant is not None and outcome.task.variant not in (None, self.variant)
        return others and not outcome.mistake

    @property
    def excuse(self) -> str:
        """What is said of such a failure."""
        return f"it is {self.variant} that is kept"

    def document(self) -> dict[str, Any]:
        """best.json."""
        return {
            "format": 1,
            "variant": self.variant,
            "by": self.by,
            "text": self.text,
            "candidates": [
                {
                    "variant": candidate.variant,
                    "passed": candidate.passed,
                    "why": candidate.why,
                    "size_bytes": candidate.size_bytes,
                    "latency_ms": candidate.latency_ms,
                }
                for candidate in self.candidates
            ],
            "turns": [asdict(turns) for turns in self.turns],
        }


def choose(rebuilder: Rebuilder) -> Choice | None:
    """Choose among a recipe's variants after a run, and put the engine into `best/`.

    A lock has chosen already, by what the machine measured that it was written on. None where the
    recipe does not ask for it, or the run did not come to all of them. Raises StoreError.
    """
    recipe, outcomes = rebuilder.recipe, rebuilder.outcomes
    if not recipe.best or any(f"verify:{name}" not in outcomes for name in recipe.precisions):
        return None
    candidates = tuple(_candidate(rebuilder, name) for name in recipe.precisions)
    passing = [candidate for candidate in candidates if candidate.passed]
    if rebuilder.locked_best is not None:
        kept = any(candidate.variant == rebuilder.locked_best for candidate in passing)
        choice = Choice(rebuilder.locked_best if kept else None, "lock", candidates)
    else:
        choice = _chosen(rebuilder, candidates, passing)
    _keep(rebuilder, choice)
    return choice


def not_passing(rebuilder: Rebuilder) -> tuple[Candidate, ...]:
    """The candidates that do not pass, after a run that came to some only: it asked for these."""
    recipe, outcomes = rebuilder.recipe, rebuilder.outcomes
    if not recipe.best or rebuilder.choice is not None:
        return ()
    names = [name for name in recipe.precisions if outcomes.get(f"verify:{name}")]
    made = [name for name in names if outcomes[f"verify:{name}"].outputs]
    candidates = (_candidate(rebuilder, name) for name in made)
    return tuple(candidate for candidate in candidates if candidate.why)


def _chosen(
    rebuilder: Rebuilder, candidates: tuple[Candidate, ...], passing: list[Candidate]
) -> Choice:
    timed = [c for c in passing if c.latency_ms is not None]
    by = "latency" if timed and len(timed) == len(passing) else "size"
    best = min(passing, key=lambda c: (c.latency_ms if by == "latency" else 0.0, c.size_bytes),
               default=None)  # fmt: skip
    turns: tuple[Turns, ...] = ()
    if best is not None and by == "latency":
        best, turns = _in_turn(rebuilder, best, passing)
    return Choice(best.variant if best else None, by, candidates, turns)


def _in_turn(
    rebuilder: Rebuilder, best: Candidate, passing: list[Candidate]
) -> tuple[Candidate, tuple[Turns, ...]]:
    """The best of those that are close to it, and what was found: each is run in turn with the
    best so far, and one that is surely faster takes its place.
    """
    turns = []
    limit = CLOSE * (best.latency_ms or 0.0)
    close = [c for c in passing if c is not best and (c.latency_ms or 0.0) <= limit]
    for candidate in sorted(close, key=lambda c: (c.latency_ms, c.variant)):
        found = take_turns(rebuilder, candidate.variant, best.variant)
        if found is not None:
            turns.append(found)
            best = candidate if found.high < 1 else best
    return best, tuple(turns)


def _candidate(rebuilder: Rebuilder, variant: str) -> Candidate:
    outcomes = rebuilder.outcomes
    build, verify = outcomes.get(f"build:{variant}"), outcomes[f"verify:{variant}"]
    engine = dict(build.outputs).get(ENGINE) if build else None
    result = _result(rebuilder, verify, "verify.json")
    failures = result.get("failures") or _failed(rebuilder, variant)
    benchmark = _result(rebuilder, outcomes.get(f"benchmark:{variant}"), "benchmark.json")
    points = benchmark.get("points", [])
    return Candidate(
        variant=variant,
        passed=bool(engine and result.get("passed")),
        why="; ".join(failures),
        size_bytes=engine.size_bytes if engine else 0,
        latency_ms=float(points[0]["metrics"]["gpu_compute"]["median"]) if points else None,
    )


def _failed(rebuilder: Rebuilder, variant: str) -> list[str]:
    """Why a variant has no result of verify: the errors of the tasks before it."""
    return [
        f"{outcome.task.id} failed: {reason.text}"
        for outcome in rebuilder.outcomes.values()
        if outcome.task.variant == variant and outcome.verdict is Verdict.FAILED
        for reason in outcome.reasons
    ]


def _result(rebuilder: Rebuilder, outcome: Outcome | None, name: str) -> dict[str, Any]:
    if outcome is None or not outcome.outputs:
        return {}
    path = rebuilder.workspace.path(outcome.task, name)
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:  # somebody removed or changed it since
        raise StoreError(
            f"cannot be read any more: {error}", where=str(path), hint=AGAIN
        ) from error
    return found


def _keep(rebuilder: Rebuilder, choice: Choice) -> None:
    """Write best.json and the engine, where they are not there already."""
    folder = rebuilder.workspace.root / FOLDER
    content = json.dumps(choice.document(), indent=1).encode() + b"\n"
    file, engine = folder / FILE, folder / ENGINE
    if not file.exists() or file.read_bytes() != content:
        write_file(file, content)
    if choice.variant is None:
        engine.unlink(missing_ok=True)
        return
    digest = dict(rebuilder.outcomes[f"build:{choice.variant}"].outputs)[ENGINE]
    memo = rebuilder.store.memo
    if not engine.exists() or memo.digest(engine) != digest:
        rebuilder.store.cas.materialise(digest, engine, link=rebuilder.link)
