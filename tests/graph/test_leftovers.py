"""Results never lie beside an engine that they do not speak of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.graph.measured import Executor, opened, pretend_a_gpu, run
from tests.project import RECIPE, Project, write_tiny_model
from trtbuild.graph.action import Verdict

LOOSE = RECIPE + "  tolerance: {fp32: {max_abs: 1.0e-5}}\n"


def names(project: Project) -> set[str]:
    folder = project.folder / "build" / "tiny" / "fp32"
    return {path.name for path in folder.glob("*.json")}


def fail_verify(project: Project) -> None:
    """Have verify find another model than the one that is exported, which no tolerance allows."""
    project.write(
        "hooks.py", "def spoil(graph):\n    graph.nodes[-1].op = 'Neg'\n    return graph\n"
    )
    project.replace("tiny.yaml", "  - op: fold_constants\n", '  - hook: "hooks.py:spoil"\n')


def test_a_failed_verify_leaves_no_result_of_the_engine_before(project: Project) -> None:
    project.tiny(LOOSE)
    assert project.run().code == 0
    assert names(project) == {"build.json", "verify.json"}
    recipe = (project.folder / "tiny.yaml").read_text()
    fail_verify(project)
    failed = project.run()
    assert failed.verdicts()["verify:fp32"] == "FAILED"
    assert names(project) == {"build.json", "verify.failed.json"}
    project.write("tiny.yaml", recipe)
    assert project.run().verdicts()["verify:fp32"] == "RESTORED"
    assert names(project) == {"build.json", "verify.json"}


def test_an_engine_that_was_only_built_has_no_result_of_another(project: Project) -> None:
    project.tiny()
    assert project.run().code == 0
    assert project.run("--only", "build").code == 0
    assert names(project) == {"build.json", "verify.json"}, "it is still that engine's"
    write_tiny_model(project.folder / "tiny.onnx", seed=1)
    assert project.run("--only", "build").verdicts()["build:fp32"] == "EXECUTED"
    assert names(project) == {"build.json"}
    write_tiny_model(project.folder / "tiny.onnx", seed=0)
    assert project.run().verdicts()["verify:fp32"] == "RESTORED"
    assert names(project) == {"build.json", "verify.json"}


def test_a_measurement_stays_with_its_engine_where_there_is_no_gpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = Project(tmp_path).tiny(RECIPE + "benchmark: {}\n")
    recipe = project.folder / "tiny.yaml"
    text = recipe.read_text()
    with monkeypatch.context() as gpu:
        pretend_a_gpu(gpu)
        assert run(recipe, project.cache, Executor())[0]
    assert "benchmark.json" in names(project)
    for level, engine, stays in ((1, b"engine", True), (2, b"another", False)):
        project.write("tiny.yaml", text.replace("level: 0", f"level: {level}"))
        with opened(recipe, project.cache, Executor(engine=engine)) as session:
            assert session.run()
            outcomes = session.rebuilders[0].outcomes
        assert outcomes["benchmark:fp32"].verdict is Verdict.SKIPPED
        assert ("benchmark.json" in names(project)) is stays
    document = json.loads((project.folder / "build/tiny/fp32/verify.json").read_text())
    assert document["passed"] is True
