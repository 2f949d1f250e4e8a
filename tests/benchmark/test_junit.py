from __future__ import annotations

from xml.etree import ElementTree

from trtbuild.benchmark.gates import Judgement, Outcome
from trtbuild.benchmark.junit import junit_xml
from trtbuild.recipe.gates import Gate


def judgement(outcome: Outcome, message: str = "p99 is 6 ms") -> Judgement:
    return Judgement(Gate("p99", "<=", 5.0, "5ms"), "batch=8", outcome, 6.0, message)


def test_each_gate_is_a_test_case_with_its_outcome() -> None:
    text = junit_xml({"digits-cnn benchmark:fp16": [judgement(outcome) for outcome in Outcome]})
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
    text = junit_xml({"a & b": [judgement(Outcome.FAILED, "<5 & \x1b[31m\x00 red")]})
    (suite,) = ElementTree.fromstring(text)  # noqa: S314 - our own text
    assert suite[0][0].attrib["message"] == "<5 & [31m red"
