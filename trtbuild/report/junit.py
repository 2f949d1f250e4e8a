"""What became of tasks and gates as a JUnit file, which every CI server shows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as Xml

from trtbuild.benchmark.gates import Judgement
from trtbuild.benchmark.gates import Outcome as Gated
from trtbuild.errors import StoreError
from trtbuild.graph.action import Outcome, Verdict
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.report.gates import gate_name
from trtbuild.report.summary import in_order
from trtbuild.report.terminal import reasons_text

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True, slots=True)
class Case:
    """A test case: `message` is its failure in short, why it was skipped, or what came out."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    message: str
    kind: str  # of the failure: "stage" or "gate"
    detail: str = ""  # of the failure, where there is more to say than the message
    seconds: float = 0.0


def write_junit(path: Path, rebuilders: Sequence[Rebuilder]) -> None:
    """A JUnit file: a suite for each recipe's tasks, and one for the gates of each benchmark.

    Raises StoreError.
    """
    suites: dict[str, list[Case]] = {}
    for rebuilder in rebuilders:
        tasks = suites.setdefault(rebuilder.recipe.name, [])
        tasks += [task_case(rebuilder, outcome) for outcome in in_order(rebuilder)]
        if (choice := rebuilder.choice) is not None:
            tasks.append(
                Case("best", "passed" if choice.variant else "failed", choice.text, "stage")
            )
        for task_id, judgements in rebuilder.gates.items():
            gates = suites.setdefault(f"{rebuilder.recipe.name} {task_id}", [])
            gates += map(gate_case, judgements)
    _write(path, suites)


def write_gates(path: Path, name: str, judgements: Sequence[Judgement]) -> None:
    """A JUnit file of a benchmark alone: a suite of that name with its gates. Raises StoreError."""
    _write(path, {name: [gate_case(judgement) for judgement in judgements]})


def _write(path: Path, suites: Mapping[str, Sequence[Case]]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(junit_xml(suites))
    except OSError as error:
        raise StoreError(f"cannot be written: {error.strerror}", where=str(path)) from error


def task_case(rebuilder: Rebuilder, outcome: Outcome) -> Case:
    """A task: one that failed is a failure, but for a candidate that is not kept; one that was
    skipped is skipped.
    """
    name = outcome.task.id
    if outcome.verdict is Verdict.FAILED:
        message = "; ".join(reason.text for reason in outcome.reasons)
        if (choice := rebuilder.choice) is not None and choice.excuses(outcome):
            return Case(name, "skipped", f"{message} ({choice.excuse})", "stage")
        place = rebuilder.recipe.where(*outcome.task.where)
        log = f"\nlog: {outcome.log}" if outcome.log else ""
        return Case(name, "failed", message, "stage", f"{place}\n{outcome.error}{log}")
    text = reasons_text(outcome.reasons)
    if outcome.verdict is Verdict.SKIPPED:
        return Case(name, "skipped", text, "stage")
    seconds = outcome.seconds if outcome.verdict is Verdict.EXECUTED else 0.0
    return Case(name, "passed", f"{outcome.verdict} {text}".rstrip(), "stage", seconds=seconds)


def gate_case(judgement: Judgement) -> Case:
    """A gate at a point: one that could not be judged is skipped."""
    name = gate_name(judgement)
    if judgement.outcome is Gated.FAILED:
        return Case(name, "failed", judgement.message, "gate")
    outcome: Literal["passed", "skipped"] = "passed"
    if judgement.outcome is Gated.UNCLEAR:
        outcome = "skipped"
    return Case(name, outcome, judgement.message, "gate")


def junit_xml(suites: Mapping[str, Sequence[Case]]) -> bytes:
    """The file's content: suites by name."""
    root = Xml.Element("testsuites", name="trtbuild")
    for name, cases in suites.items():
        suite = Xml.SubElement(root, "testsuite", {"name": _clean(name), **_counts(cases)})
        for case in cases:
            _add(suite, name, case)
    Xml.indent(root)
    text: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(cases: Sequence[Case]) -> dict[str, str]:
    outcomes = [case.outcome for case in cases]
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("failed")),
        "skipped": str(outcomes.count("skipped")),
        "errors": "0",
    }


def _add(suite: Xml.Element, classname: str, case: Case) -> None:
    time = {"time": f"{case.seconds:.3f}"} if case.kind == "stage" else {}
    names = {"classname": _clean(classname), "name": _clean(case.name)}
    element = Xml.SubElement(suite, "testcase", {**names, **time})
    message = _clean(case.message)
    if case.outcome == "failed":
        failure = Xml.SubElement(element, "failure", message=message, type=case.kind)
        failure.text = _clean(case.detail) or message
    elif case.outcome == "skipped":
        Xml.SubElement(element, "skipped", message=message)
    else:
        Xml.SubElement(element, "system-out").text = message


def _clean(text: str) -> str:
    """With U+FFFD for the characters that XML 1.0 cannot hold, not even by number.

    Among them are the lone surrogates that a path has for bytes that are no UTF-8.
    """
    return _NO_XML.sub("\ufffd", text)
