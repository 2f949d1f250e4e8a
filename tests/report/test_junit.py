"""JUnit files: what a CI server is told of tasks and gates."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from tests.project import RECIPE, Project
from trtbuild.benchmark.gates import Judgement, Outcome
from trtbuild.recipe.gates import Gate
from trtbuild.report.junit import gate_case, junit_xml


def judgement(outcome: Outcome, message: str = "p99 is 6 ms") -> Judgement:
    return Judgement(Gate("p99", "<=", 5.0, "5ms"), "batch=8", outcome, 6.0, message)


def test_each_gate_is_a_test_case_with_its_outcome() -> None:
    cases = [gate_case(judgement(outcome)) for outcome in Outcome]
    text = junit_xml({"digits-cnn benchmark:fp16": cases})
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    (suite,) = root
    assert root.tag == "testsuites"
    assert suite.attrib == {
        "name": "digits-cnn benchmark:fp16",
        "tests": "3",
        "failures": "1",
        "skipped": "1",
        "errors": "0",
    }
    assert [case.attrib["name"] for case in suite] == ["p99 5ms [batch=8]"] * 3
    assert [case[0].tag for case in suite] == ["system-out", "failure", "skipped"]
    assert suite[1][0].attrib["message"] == "p99 is 6 ms"


def test_a_message_with_markup_and_control_characters_is_still_xml() -> None:
    text = junit_xml({"a & b": [gate_case(judgement(Outcome.FAILED, "<5 & \x1b[31m\x00 red"))]})
    (suite,) = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert suite[0][0].attrib["message"] == "<5 & \ufffd[31m\ufffd red"


@pytest.mark.parametrize("character", ["\x0b", "\udcff", "\ufffe", "\uffff"])
def test_what_xml_cannot_hold_is_shown_as_replaced(character: str) -> None:
    text = junit_xml({f"a{character}": [gate_case(judgement(Outcome.FAILED, f"b{character}c"))]})
    (suite,) = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert suite.attrib["name"] == "a\ufffd"
    assert suite[0][0].attrib["message"] == suite[0][0].text == "b\ufffdc"


def test_what_xml_can_hold_is_kept() -> None:
    kept = "\t \x7f\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    text = junit_xml({kept: []})
    (suite,) = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert suite.attrib["name"] == kept


def test_a_failed_stage_is_a_failure_and_what_needs_it_is_skipped(project: Project) -> None:
    project.tiny(RECIPE.replace("- op: fold_constants", '- hook: "hooks.py:fails"'))
    project.write("hooks.py", "def fails(graph):\n    raise ValueError('not this one')\n")
    assert project.run("--junit", "tasks.xml").code == 1
    (suite,) = ElementTree.parse(project.folder / "tasks.xml").getroot()  # noqa: S314 - our own
    cases = {case.attrib["name"]: case[0] for case in suite}
    assert {name: child.tag for name, child in cases.items()} == {
        "export": "system-out",
        "surgery": "failure",
        "reference": "skipped",
        "build:fp32": "skipped",
        "verify:fp32": "skipped",
    }
    assert "not this one" in cases["surgery"].attrib["message"]
    assert "tiny.yaml:6:1 surgery" in (cases["surgery"].text or "")
    assert "surgery failed" in cases["build:fp32"].attrib["message"]
    assert (suite.attrib["failures"], suite.attrib["skipped"]) == ("1", "3")
