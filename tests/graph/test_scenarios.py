"""What happens to an up-to-date project: one table of edits and the verdicts that must follow.

The real stages run: a tiny ONNX model, a surgery hook with a helper module, TensorRT-RTX.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.project import RECIPE, Project, Result, write_tiny_model

HOOKED = RECIPE.replace("  - op: fold_constants\n", '  - hook: "hooks.py:tidy"\n')
HOOK = "import names\n\n\ndef tidy(graph):\n    graph.name = names.GRAPH\n    return graph\n"
HELPER = 'GRAPH = "tidied"\n'

TASKS = ("export", "surgery", "reference", "build:fp32", "verify:fp32")
UP, RESTORED, EXECUTED = "UP_TO_DATE", "RESTORED", "EXECUTED"
ALL_UP = dict.fromkeys(TASKS, UP)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose recipe has been run once; tests copy it."""
    project = Project(tmp_path_factory.mktemp("built")).tiny(HOOKED)
    project.write("hooks.py", HOOK)
    project.write("names.py", HELPER)
    first = project.run()
    assert first.code == 0, first.err + first.out
    assert first.verdicts() == dict.fromkeys(TASKS, EXECUTED)
    return project


@pytest.fixture
def copy(built: Project, tmp_path: Path) -> Project:
    """A project that is up to date, to edit."""
    return built.copy_to(tmp_path)


def output(project: Project, name: str) -> Path:
    return project.folder / "build" / "tiny" / name


def nothing(project: Project) -> None:
    pass


def touch_everything(project: Project) -> None:
    for path in project.folder.rglob("*"):
        if path.is_file():
            os.utime(path)


def edit_a_readme(project: Project) -> None:
    project.write("README.md", "new words")


def comment_the_recipe(project: Project) -> None:
    project.replace("tiny.yaml", "trtbuild: 1\n", "trtbuild: 1  # a comment\n")


def change_opt(project: Project) -> None:
    project.replace("tiny.yaml", "opt: [2, 4]", "opt: [4, 4]")


def change_max(project: Project) -> None:
    project.replace("tiny.yaml", "max: [8, 4]", "max: [16, 4]")


def change_a_build_option(project: Project) -> None:
    project.replace("tiny.yaml", "optimization_level: 0", "optimization_level: 1")


def comment_the_hook(project: Project) -> None:
    project.write("hooks.py", HOOK + "# a comment\n")


def comment_the_helper(project: Project) -> None:
    project.write("names.py", HELPER + "# a comment\n")


def change_the_helper(project: Project) -> None:
    project.write("names.py", 'GRAPH = "other"\n')


def change_the_model(project: Project) -> None:
    write_tiny_model(project.folder / "tiny.onnx", seed=1)


def change_the_model_keeping_its_time(project: Project) -> None:
    path = project.folder / "tiny.onnx"
    before = path.stat()
    write_tiny_model(path, seed=1)
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def delete_the_engine(project: Project) -> None:
    output(project, "fp32/engine.plan").unlink()


def damage_the_engine(project: Project) -> None:
    output(project, "fp32/engine.plan").write_bytes(b"junk")


def delete_all_outputs(project: Project) -> None:
    shutil.rmtree(project.folder / "build")


def delete_all_outputs_and_the_memo(project: Project) -> None:
    delete_all_outputs(project)
    (project.cache / "memo.sqlite").unlink()


def delete_the_cache(project: Project) -> None:
    shutil.rmtree(project.cache)


def damage_the_engines_blob(project: Project) -> None:
    engine = output(project, "fp32/engine.plan")
    data = engine.read_bytes()
    engine.unlink()
    for blob in (project.cache / "cas").rglob("*"):
        if blob.is_file() and blob.read_bytes() == data:
            blob.chmod(0o644)
            blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


def damage_the_engines_trace(project: Project) -> None:
    for trace in (project.cache / "actions").rglob("*.json"):
        if '"stage":"build"' in trace.read_text():
            trace.write_text(trace.read_text()[:100])


DOWNSTREAM_OF_BUILD = {"build:fp32": EXECUTED, "verify:fp32": EXECUTED}
AFTER_MODEL = dict.fromkeys(TASKS, EXECUTED)

SCENARIOS: dict[Callable[[Project], None], dict[str, str]] = {
    nothing: {},
    touch_everything: {},
    edit_a_readme: {},
    comment_the_recipe: {},
    change_opt: {"reference": EXECUTED, **DOWNSTREAM_OF_BUILD},
    # The exported graph does not hold max: export runs, gives the same bytes, surgery is spared.
    change_max: {"export": EXECUTED, "reference": EXECUTED, **DOWNSTREAM_OF_BUILD},
    change_a_build_option: {"build:fp32": EXECUTED},
    comment_the_hook: {"surgery": EXECUTED},
    comment_the_helper: {"surgery": EXECUTED},
    change_the_helper: {"surgery": EXECUTED, **DOWNSTREAM_OF_BUILD},
    change_the_model: AFTER_MODEL,
    change_the_model_keeping_its_time: AFTER_MODEL,
    delete_the_engine: {"build:fp32": RESTORED},
    damage_the_engine: {"build:fp32": RESTORED},
    delete_all_outputs: dict.fromkeys(TASKS, RESTORED),
    delete_all_outputs_and_the_memo: dict.fromkeys(TASKS, RESTORED),
    delete_the_cache: AFTER_MODEL,
    damage_the_engines_blob: {"build:fp32": EXECUTED},
    damage_the_engines_trace: {"build:fp32": EXECUTED},
}


ENGINE_MAY_BE_THE_SAME = (change_a_build_option, damage_the_engines_blob, damage_the_engines_trace)
"""Builds that may give the same bytes as before or others: verify is spared or runs."""


@pytest.mark.parametrize("edit", SCENARIOS, ids=lambda edit: edit.__name__)
def test_an_edit_re_runs_exactly_what_is_stale(
    edit: Callable[[Project], None], copy: Project
) -> None:
    edit(copy)
    predicted = copy.trtbuild("plan", "tiny.yaml", "--json")
    result = copy.run()
    assert result.code == 0, result.err
    verdicts = result.verdicts()
    expected = {**ALL_UP, **SCENARIOS[edit]}
    if edit in ENGINE_MAY_BE_THE_SAME:
        verdicts.pop("verify:fp32")
        expected.pop("verify:fp32")
    assert verdicts == expected
    certain = [t for t in predicted.json["recipes"][0]["tasks"] if t["certain"]]
    # A plan reads no blob, so it cannot see damage in one.
    if edit is not damage_the_engines_blob:
        assert {t["id"]: t["verdict"] for t in certain}.items() <= result.verdicts().items()
    assert copy.run().verdicts() == ALL_UP


@pytest.mark.parametrize(
    "edit",
    [change_opt, comment_the_helper, change_the_helper, change_the_model],
    ids=lambda edit: edit.__name__,
)
def test_reverting_an_edit_executes_nothing(
    edit: Callable[[Project], None], copy: Project, built: Project
) -> None:
    edit(copy)
    assert copy.run().code == 0
    for name in ("tiny.yaml", "names.py", "tiny.onnx"):
        shutil.copy(built.folder / name, copy.folder / name)
    back = copy.run()
    assert set(back.verdicts().values()) <= {UP, RESTORED}
    for name in ("fp32/engine.plan", "surgery/model.onnx"):
        assert output(copy, name).read_bytes() == output(built, name).read_bytes()


def test_another_folder_and_user_have_the_same_keys(built: Project, tmp_path: Path) -> None:
    other = built.copy_to(tmp_path / "elsewhere" / "deeper")
    shutil.rmtree(other.folder / "build")
    env = {"HOME": str(tmp_path), "USER": "somebody", "PYTHONHASHSEED": "7", "LC_ALL": "C"}
    env |= {"TZ": "Asia/Tokyo"}
    result = other.trtbuild("run", "tiny.yaml", "--json", **env)
    assert set(result.verdicts().values()) == {RESTORED}


def test_the_reasons_name_what_changed(copy: Project) -> None:
    change_opt(copy)
    reasons = copy.run().task("build:fp32")["reasons"]
    assert [reason["text"] for reason in reasons] == ["options.inputs.x.opt: [2,4] -> [4,4]"]


def test_explain_prints_the_recorded_action_against_the_present_one(copy: Project) -> None:
    comment_the_helper(copy)
    change_opt(copy)
    surgery = copy.trtbuild("explain", "tiny.yaml", "surgery")
    assert surgery.code == 0
    assert "surgery: EXECUTED" in surgery.out
    assert "changed  discovered.names.py: " in surgery.out
    everything = copy.trtbuild("explain", "tiny.yaml", "--json").json["tasks"]
    export = next(task for task in everything if task["task"] == "export")
    assert export["verdict"] == UP
    assert export["differences"] == []
    assert export["recorded"] == export["present"]


def test_what_comes_next_is_compared_with_the_last_action_also_where_it_gave_the_same_bytes(
    copy: Project,
) -> None:
    record = output(copy, ".trtbuild") / "surgery.json"
    first = record.read_bytes()
    comment_the_helper(copy)
    assert copy.run().verdicts()["surgery"] == EXECUTED
    assert record.read_bytes() != first
    copy.write("names.py", HELPER)
    assert copy.run().verdicts()["surgery"] == UP, "the same bytes are there"
    assert record.read_bytes() == first
    explained = copy.trtbuild("explain", "tiny.yaml", "surgery")
    assert "the recorded and the present action are the same" in explained.out
    change_the_helper(copy)
    reasons = copy.run().task("surgery")["reasons"]
    assert [reason["field"] for reason in reasons] == ["discovered.names.py"]


def test_a_no_op_writes_no_record(copy: Project) -> None:
    records = list(output(copy, ".trtbuild").iterdir())
    before = [record.stat() for record in records]
    assert copy.run().verdicts() == ALL_UP
    assert [record.stat().st_ino for record in records] == [status.st_ino for status in before]


def test_rebuild_runs_a_stage_that_is_up_to_date(copy: Project) -> None:
    result = copy.run("--rebuild", "surgery")
    assert result.verdicts()["surgery"] == EXECUTED
    assert result.task("surgery")["reasons"][0]["kind"] == "forced"
    assert result.verdicts()["build:fp32"] == UP


def test_only_runs_a_stage_and_what_it_needs(copy: Project) -> None:
    delete_all_outputs(copy)
    result: Result = copy.run("--only", "surgery")
    assert set(result.verdicts()) == {"export", "surgery"}
    assert not output(copy, "fp32/engine.plan").exists()
