"""What verify found, and the document that it writes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from trtbuild.errors import StageError
from trtbuild.verify.tolerance import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from trtbuild.errors import TrtbuildError
    from trtbuild.verify.tolerance import Breach

FORMAT = 1
NO_DEVICE = "not run: no CUDA device"
CASTS = ("fp16", "bf16")
"""The precisions that have no other `base`."""

HINTS = {
    "export": "the exported graph computes something else than the source model: try another "
    "opset or `exporter`, and look for Python control flow that depends on values or shapes",
    "surgery": "a step of `surgery` changes what the model computes: take them out one by one; an "
    "output that means something else should get another name (`rename`)",
    "quantize": "keep the sensitive nodes in fp32 (`keep_fp32`), or give this precision a "
    "`tolerance` that you accept",
    "engine": "compare with `tf32: false`, and with another `optimization_level`; if the graph "
    "before it passes, TensorRT computes it less exactly than this tolerance",
}
VARYING_HINT = (
    "the source model itself gives other values each time that it runs: make it deterministic (no "
    "random values, no state from run to run), or give those values as inputs"
)
OVERFLOW_HINT = (
    "a value leaves the range of fp16 within a kernel of the engine, since the graph before it "
    "passes: compute in bf16 or fp32 instead (`base: bf16` where something is quantized)"
)


@dataclass(frozen=True, slots=True)
class OutputResult:
    """One output of one step: against the source model, or the first step that has it."""

    name: str
    against: str  # "source", or the name of a step
    metrics: Mapping[str, float]
    previous: Mapping[str, float] | None  # against the step before; None for the first one
    worst_case: tuple[str, int] | None  # kind and index
    breaches: tuple[Breach, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One step that was compared; `note` says why it was not."""

    name: str
    cases: int
    outputs: tuple[OutputResult, ...]
    not_comparable: tuple[str, ...] = ()  # outputs that no earlier step has
    missing: tuple[str, ...] = ()  # outputs of the source model that it does not have
    note: str = ""

    @property
    def breaches(self) -> tuple[Breach, ...]:
        """What its outputs break, the worst first."""
        found = [breach for output in self.outputs for breach in output.breaches]
        return tuple(sorted(found, key=lambda breach: -breach.severity))


@dataclass(frozen=True, slots=True)
class Score:
    """One task metric on the last step that ran, and on the source model where that has it."""

    value: float
    source: float | None
    least: float | None
    most: float | None
    step: str

    @property
    def passed(self) -> bool:
        """Whether the value keeps its limits."""
        above = self.least is None or self.value >= self.least
        return above and (self.most is None or self.value <= self.most)


@dataclass(slots=True)
class Golden:
    """Digests of the outputs of one case, by the source model's names of them."""

    kind: str  # "min", "opt", "max" or "data"
    source: Mapping[str, str]  # empty where the source model was not run
    engine: Mapping[str, str] | None = None  # None where no engine was run on it


@dataclass(slots=True)
class Result:
    """Grows while verify runs; `failures` are in the order in which they were found."""

    precision: str
    steps: list[Step] = field(default_factory=list)
    scores: dict[str, Score] = field(default_factory=dict)
    engine: str = NO_DEVICE
    engine_digest: str | None = None  # of the variant's engine, whether or not it was run
    golden: list[Golden] = field(default_factory=list)  # one for each case
    obtained: dict[str, Mapping[str, int]] = field(default_factory=dict)
    varying: tuple[str, ...] = ()  # outputs that differ between runs of the source model
    losses: list[dict[str, Any]] = field(default_factory=list)  # tensors, the worst first
    suspects: tuple[str, ...] = ()  # the nodes that add most noise, the worst first
    chooser: str = ""  # the worst of them, where it chooses by what the graph computes
    only_suspects: bool = False  # whether nothing else is in the precision
    failures: list[str] = field(default_factory=list)
    hint: str = ""  # of the first failure
    complete: bool = False  # whether everything was compared, whatever came of it

    def take(self, step: Step) -> None:
        """Add a step, and what it breaks."""
        self.steps.append(step)
        if not step.breaches:
            return
        worst = step.breaches[0]
        kinds = {o.name: o.worst_case for o in step.outputs}
        case = _case(worst.case, kinds[worst.output])
        more = len({breach.output for breach in step.breaches}) - 1
        others = f"; {more} more outputs are off too" if more else ""
        in_fp16 = step.name == "engine" and "fp16" in self.obtained.get("graph", {})
        overflows = in_fp16 and not worst.metric and not self.failures
        hint = OVERFLOW_HINT if overflows else HINTS[step.name]
        if worst.output in self.varying:
            hint = VARYING_HINT
        self.fail(f"{step.name}: output '{worst.output}' {worst.text}{case}{others}", hint)

    def fail(self, text: str, hint: str) -> None:
        """Add a failure; the first one decides what is suggested."""
        self.failures.append(text)
        self.hint = self.hint or hint

    def fail_by(self, error: TrtbuildError) -> None:
        """Add what an error says as a failure."""
        self.fail(f"{error.where}: {error.what}" if error.where else error.what, error.hint)

    def require_passed(self) -> None:
        """Raise StageError with the first failure."""
        if self.failures:
            more = len(self.failures) - 1
            others = f" (and {more} more: see verify.json)" if more else ""
            raise StageError(
                f"{self.precision} does not pass: {self.failures[0]}{others}",
                hint=f"{self.hint}{self._most_lost()}",
            )

    @property
    def keeping(self) -> tuple[str, ...]:
        """Nodes to try in `keep_fp32`: none where that would leave nothing in the precision, where
        it is not what is wrong, or where integers are.
        """
        if self.only_suspects or self._flips or not self._is_blamed:
            return ()
        return self.suspects

    @property
    def _flips(self) -> str:
        """What says, of the first step that is off, that other things are chosen: an output of
        integers that many differ in, or a node that gathers by what the graph computes.

        The order of scores decides an index: the nodes that add most noise need not be those that
        change the order.
        """
        first = next((step for step in self.steps if step.breaches), None)
        limit = DEFAULTS.get(self.precision, {}).get("equal", 1.0)
        outputs = first.outputs if first is not None else ()
        off = [repr(o.name) for o in outputs if o.metrics.get("equal", 1.0) < limit]
        if off:
            return f"integers flip in {', '.join(off)}"
        return f"{self.chooser} chooses by what the graph computes" if self.chooser else ""

    @property
    def _is_blamed(self) -> bool:
        """Whether the precision is there, and every step before it is within its limits."""
        before = (step for step in self.steps if step.name in ("export", "surgery"))
        there = self.precision in self.obtained.get("graph", {})
        return there and not any(step.breaches for step in before)

    def _most_lost(self) -> str:
        """Where the precision loses most, in the words of a hint."""
        if not (self.suspects and self._is_blamed):
            return ""
        if self._flips:
            return (
                f"\n{self._flips}, so that the largest losses do not tell which nodes to keep: "
                "`trtbuild sensitivity` finds them"
            )
        worst = ", ".join(
            f"{loss['node']} ({loss['op_type']}, {_decibels(loss['snr_db'])})"
            for loss in self.losses
            if loss["node"] in self.suspects
        )
        if not self.only_suspects:
            return f"\nmost is lost in {worst}"
        other = "another precision" if self.precision in CASTS else "another `base` or precision"
        return (
            f"\nmost is lost in {worst}, and nothing else is in {self.precision}: "
            f"`trtbuild sensitivity` finds whether it is enough to keep some of them; else take "
            f"{other}"
        )

    @property
    def passed(self) -> bool | None:
        """Whether everything was compared and is within its limits; None where nothing was."""
        if self.complete and not self.failures:
            return True if any(step.outputs for step in self.steps) else None
        return False

    def document(self) -> dict[str, Any]:
        """verify.json; numbers that JSON lacks (an infinite ratio: no difference) are null."""
        return {
            "format": FORMAT,
            "precision": self.precision,
            "passed": self.passed,
            "failures": self.failures,
            "steps": [_step(step) for step in self.steps],
            "metrics": {name: _score(score) for name, score in self.scores.items()},
            "engine": self.engine,
            "engine_digest": self.engine_digest,
            "losses": self.losses,
            "keep_fp32": list(self.keeping),
            "precision_obtained": {name: dict(types) for name, types in self.obtained.items()},
            "golden": [_golden(case) for case in self.golden],
        }


def _decibels(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.1f} dB"


def _case(index: int | None, worst: tuple[str, int] | None) -> str:
    if index is None:
        return ""
    kind = f" ({worst[0]})" if worst and worst[1] == index else ""
    return f", at case {index}{kind}"


def _step(step: Step) -> dict[str, Any]:
    return {
        "step": step.name,
        "passed": None if step.note else not step.breaches,
        "note": step.note,
        "cases": step.cases,
        "outputs": [_output(output) for output in step.outputs],
        "not_comparable": list(step.not_comparable),
        "missing": list(step.missing),
    }


def _golden(case: Golden) -> dict[str, Any]:
    engine = None if case.engine is None else dict(case.engine)
    return {"kind": case.kind, "source": dict(case.source), "engine": engine}


def _output(output: OutputResult) -> dict[str, Any]:
    worst = output.worst_case
    return {
        "name": output.name,
        "against": output.against,
        "passed": not output.breaches,
        "problem": next((b.text for b in output.breaches if not b.metric), None),
        "metrics": _finite(output.metrics),
        "worst_case": {"kind": worst[0], "index": worst[1]} if worst else None,
        "previous": _finite(output.previous) if output.previous is not None else None,
    }


def _score(score: Score) -> dict[str, Any]:
    return {
        "value": score.value,
        "source": score.source,
        "min": score.least,
        "max": score.most,
        "passed": score.passed,
        "step": score.step,
    }


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
