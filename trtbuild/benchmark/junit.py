"""Gates as a JUnit file, which every CI server shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.etree import ElementTree as Xml

from trtbuild.benchmark.gates import Judgement, Outcome


def junit_xml(suites: Mapping[str, Sequence[Judgement]]) -> bytes:
    """A test suite for each benchmark (a task's id), a test case for each gate and point.

    A gate that failed is a failure, one that could not be judged is skipped, with its message.
    """
    root = Xml.Element("testsuites", name="trtbuild")
    for name, judgements in suites.items():
        suite = Xml.SubElement(root, "testsuite", {"name": _clean(name), **_counts(judgements)})
        for judgement in judgements:
            _case(suite, name, judgement)
    Xml.indent(root)
    text: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return text + b"\n"


def _counts(judgements: Sequence[Judgement]) -> dict[str, str]:
    outcomes = [judgement.outcome for judgement in judgements]
    return {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count(Outcome.FAILED)),
        "skipped": str(outcomes.count(Outcome.UNCLEAR)),
        "errors": "0",
    }


def _case(suite: Xml.Element, name: str, judgement: Judgement) -> None:
    gate = judgement.gate
    case = Xml.SubElement(
        suite,
        "testcase",
        classname=_clean(name),
        name=_clean(f"{gate.key} {gate.text} [{judgement.point}]"),
    )
    message = _clean(judgement.message)
    if judgement.outcome is Outcome.FAILED:
        Xml.SubElement(case, "failure", message=message, type="gate").text = message
    elif judgement.outcome is Outcome.UNCLEAR:
        Xml.SubElement(case, "skipped", message=message)
    else:
        Xml.SubElement(case, "system-out").text = message


def _clean(text: str) -> str:
    """Without the characters that XML 1.0 cannot hold at all."""
    return "".join(c for c in text if c in "\t\n\r" or c >= " ")
