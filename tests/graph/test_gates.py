"""Gates and accepted results through a session: what is judged, and what runs again for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest

from tests.graph.measured import Executor, opened, pretend_a_gpu, run
from tests.project import RECIPE, Project
from trtbuild.cli import main
from trtbuild.errors import ExitCode, UsageError
from trtbuild.graph.action import Verdict
from trtbuild.graph.rebuild import Rebuilder
from trtbuild.recipe.schema import schema_text
from trtbuild.report.document import run_document
from trtbuild.report.junit import write_junit
from trtbuild.report.terminal import print_outcomes
from trtbuild.store.digest import digest_of_bytes

GATED = RECIPE + "benchmark: {gates: {median: 2ms, regression: 5%}}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    pretend_a_gpu(monkeypatch)
    return Project(tmp_path).tiny(GATED)


def gates(rebuilder: Rebuilder) -> dict[str, tuple[str, str]]:
    return {
        judgement.gate.key: (judgement.outcome.value, judgement.message)
        for judgement in rebuilder.gates["benchmark:fp32"]
    }


def measure(project: Project, executor: Executor) -> tuple[bool, Rebuilder, Any]:
    return run(project.folder / "tiny.yaml", project.cache, executor)


def accept(project: Project, *arguments: str) -> ExitCode:
    recipe = str(project.folder / "tiny.yaml")
    return main(["accept", recipe, "--cache", str(project.cache), *arguments])


def test_a_gate_that_is_met_passes_and_one_without_a_standard_is_unclear(project: Project) -> None:
    done, rebuilder, outcome = measure(project, Executor())
    assert done
    assert outcome.verdict is Verdict.EXECUTED
    judged = gates(rebuilder)
    assert judged["median"][0] == "passed"
    assert judged["regression"][0] == "unclear"
    assert "nothing was accepted for this GPU" in judged["regression"][1]


def test_a_broken_gate_fails_the_run_and_no_stage(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    done, rebuilder, outcome = measure(project, Executor(compute=3.0))
    assert not done
    assert outcome.verdict is Verdict.EXECUTED
    assert gates(rebuilder)["median"][0] == "failed"
    print_outcomes([rebuilder])
    printed = capsys.readouterr()
    assert "gate FAILED   median 2ms [opt]: median is 3." in printed.err
    assert "gate warning  regression 5% [opt]: nothing was accepted" in printed.out
    (recipe,) = run_document([rebuilder], ExitCode.FAILED)["recipes"]
    assert [gate["outcome"] for gate in recipe["gates"]] == ["failed", "unclear"]


def test_another_limit_measures_nothing_anew(project: Project) -> None:
    executor = Executor(compute=3.0)
    measure(project, executor)
    ran = len(executor.requests)
    done, _, outcome = measure(project, executor)
    assert not done  # a broken gate stays broken
    assert outcome.verdict is Verdict.UP_TO_DATE
    project.replace("tiny.yaml", "median: 2ms", "median: 4ms")
    done, _, outcome = measure(project, executor)
    assert done
    assert outcome.verdict is Verdict.UP_TO_DATE
    assert len(executor.requests) == ran


def test_what_is_accepted_is_the_standard_and_measures_nothing_anew(project: Project) -> None:
    measure(project, Executor())
    assert accept(project) is ExitCode.DONE
    document = json.loads((project.folder / "accepted.json").read_text())
    jsonschema.validate(document, json.loads(schema_text("accepted.schema.json")))
    assert document["accepted"][0]["variant"] == "tiny fp32"
    executor = Executor()
    done, rebuilder, outcome = measure(project, executor)
    assert done
    assert outcome.verdict is Verdict.UP_TO_DATE
    assert gates(rebuilder)["regression"] == ("passed", "this is the accepted engine")


def test_a_new_engine_is_run_beside_the_accepted_one(project: Project) -> None:
    measure(project, Executor(engine=b"old"))
    accept(project)
    project.replace("tiny.yaml", "optimization_level: 0", "optimization_level: 1")
    executor = Executor(engine=b"new", slower=1.2)
    done, rebuilder, _ = measure(project, executor)
    assert not done
    assert gates(rebuilder)["regression"][0] == "failed"
    request = executor.requests[-1]
    assert request.inputs["accepted"].read_bytes() == b"old"
    assert request.inputs["engine"].read_bytes() == b"new"
    action = rebuilder.present_action(rebuilder.tasks["benchmark:fp32"])
    assert dict(action.inputs)["accepted"] == digest_of_bytes(b"old")
    again = Executor(engine=b"new", slower=1.2)
    assert measure(project, again)[2].verdict is Verdict.UP_TO_DATE
    accept(project)  # slower it may be
    done, rebuilder, _ = measure(project, again)
    assert done
    assert gates(rebuilder)["regression"][0] == "passed"


@pytest.mark.parametrize("kept", [False, True])
def test_an_accepted_engine_that_the_cache_lost_is_said_to_be_gone_unless_it_is_kept(
    project: Project, kept: bool
) -> None:
    measure(project, Executor(engine=b"old"))
    accept(project, *(["--engines", str(project.folder / "engines")] if kept else []))
    project.cache = project.root / "another"
    executor = Executor(engine=b"new", slower=1.0)
    done, rebuilder, _ = measure(project, executor)
    assert done
    outcome, message = gates(rebuilder)["regression"]
    assert outcome == ("passed" if kept else "unclear")
    assert ("accepted" in executor.requests[-1].inputs) is kept
    if not kept:
        assert "is neither in the cache nor beside the recipe" in message


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": "1.6.1.120"', '"version": "1.5.0.1"', "which tensorrt_rtx 1.6.1.120 does not"),
        ('"gpu": "NVIDIA Test"', '"gpu": "NVIDIA Other"', "nothing was accepted for this GPU"),
        ('"streams": 1', '"streams": 2', "nothing was accepted for this GPU and these settings"),
    ],
)
def test_what_another_machine_or_setting_accepted_is_no_standard(
    project: Project, old: str, new: str, message: str
) -> None:
    measure(project, Executor(engine=b"old"))
    accept(project)
    project.replace("accepted.json", old, new)
    project.replace("tiny.yaml", "optimization_level: 0", "optimization_level: 1")
    executor = Executor(engine=b"new")
    done, rebuilder, _ = measure(project, executor)
    assert done
    assert message in gates(rebuilder)["regression"][1]
    assert "accepted" not in executor.requests[-1].inputs


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "this is no JSON document"),
        ("[" * 100_000, "this is no JSON document"),
        ("[]", "format should be 1"),
        ('{"format": 9}', "format should be 1"),
        ('{"format": 1, "accepted": {}}', "accepted should be a list"),
        ('{"format": 1, "accepted": [7]}', "accepted[0] should be a mapping"),
        ('{"format": 1, "accepted": [{}]}', "accepted[0].variant should be a text"),
    ],
)
def test_a_damaged_file_of_accepted_results_is_refused(
    project: Project, text: str, what: str
) -> None:
    project.write("accepted.json", text)
    with pytest.raises(UsageError) as caught:
        measure(project, Executor())
    assert caught.value.where.endswith("accepted.json")
    assert what in caught.value.what
    assert "restore it from your repository" in caught.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("digest", 7),
        ("digest", "sha256:../../engine:4"),
        ("digest", "sha256:0"),
        ("backend", None),
        ("version", 10.3),
        ("path", []),
    ],
)
def test_a_damaged_accepted_engine_is_refused_by_run_and_accept(
    project: Project, capsys: pytest.CaptureFixture[str], key: str, value: Any
) -> None:
    measure(project, Executor())
    accept(project)
    document = json.loads((project.folder / "accepted.json").read_text())
    document["accepted"][0]["engine"][key] = value
    project.write("accepted.json", json.dumps(document))
    with pytest.raises(UsageError, match=rf"accepted\[0\]\.engine\.{key} should be"):
        measure(project, Executor())
    capsys.readouterr()
    assert accept(project) is ExitCode.INVALID
    assert "accepted.json: these are no accepted results" in capsys.readouterr().err


def test_without_a_regression_gate_the_accepted_results_are_not_read(project: Project) -> None:
    project.replace("tiny.yaml", ", regression: 5%", "")
    project.write("accepted.json", "damaged")
    assert measure(project, Executor())[0]


def test_a_result_of_another_engine_is_not_accepted(
    project: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    measure(project, Executor())
    engine = project.folder / "build/tiny/fp32/engine.plan"
    engine.chmod(0o644)
    engine.write_bytes(b"another")
    assert accept(project) is ExitCode.FAILED
    assert "the result is of another engine than" in capsys.readouterr().err
    engine.unlink()
    assert accept(project) is ExitCode.FAILED
    assert "the engine that was measured is gone" in capsys.readouterr().err
    assert not (project.folder / "accepted.json").exists()


def test_the_accepted_engine_is_kept_from_garbage_collections(project: Project) -> None:
    measure(project, Executor())
    accept(project)
    (root,) = (project.cache / "roots").iterdir()
    assert root.read_text().startswith(str(project.folder / "accepted.json"))


def test_the_junit_file_has_a_case_for_each_gate(project: Project, tmp_path: Path) -> None:
    with opened(project.folder / "tiny.yaml", project.cache, Executor(compute=3.0)) as session:
        session.run()
        write_junit(tmp_path / "reports/gates.xml", session.rebuilders)
    root = ElementTree.parse(tmp_path / "reports/gates.xml").getroot()  # noqa: S314 - our own
    tasks, suite = root
    assert tasks.attrib["name"] == "tiny"
    assert {case.attrib["name"] for case in tasks} >= {"export", "build:fp32", "benchmark:fp32"}
    assert tasks.attrib["failures"] == "0"
    assert suite.attrib["name"] == "tiny benchmark:fp32"
    assert [child.tag for case in suite for child in case] == ["failure", "skipped"]
