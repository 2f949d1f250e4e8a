"""Eight processes on one cache: each action runs once, and nobody waits for what is not his."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.project import RECIPE, Project
from trtbuild.store.audit import audit
from trtbuild.store.digest import digest_of_file

HOOK = """\
import time
from pathlib import Path


def meet(graph, folder, name, others):
    "Returns once so many have come; if they had to wait for each other, they would never meet."
    Path(folder, name).open("a").write("came\\n")
    deadline = time.monotonic() + 60
    while len(list(Path(folder).iterdir())) < others:
        assert time.monotonic() < deadline, "the others do not come"
        time.sleep(0.05)
    time.sleep(1)
    return graph
"""


def project(root: Path, cache: Path, meeting: Path, name: str, others: int) -> Project:
    """A project in a folder of its own over a cache that others use."""
    root.mkdir()
    options = f"{{folder: {meeting}, name: {name}, others: {others}}}"
    step = f'  - hook: "hooks.py:meet"\n    options: {options}\n'
    made = Project(root).tiny(RECIPE.replace("  - op: fold_constants\n", step))
    made.cache = cache
    made.write("hooks.py", HOOK)
    return made


def start(made: Project) -> subprocess.Popen[str]:
    return subprocess.Popen(
        made.command("run", "tiny.yaml", "--only", "surgery"),
        cwd=made.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(True, id="one recipe"),
        pytest.param(False, id="eight recipes", marks=pytest.mark.slow),
    ],
)
def test_eight_processes(tmp_path: Path, same: bool) -> None:
    cache, meeting = tmp_path / "cache", tmp_path / "meeting"
    meeting.mkdir()
    names = ["same"] * 8 if same else [f"other{number}" for number in range(8)]
    projects = [
        project(tmp_path / f"p{number}", cache, meeting, name, len(set(names)))
        for number, name in enumerate(names)
    ]
    assert projects[0].run("--only", "export").code == 0
    processes = [start(made) for made in projects]
    texts = [process.communicate(timeout=150)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, texts
    waits = "tiny surgery                     waiting    waiting for another process"
    waited = [text for text in texts if waits in text]
    if same:
        assert (meeting / "same").read_text() == "came\n", "the action ran once"
        assert waited, texts
        assert sum("surgery                     RESTORED" in text for text in texts) == 7, texts
    else:
        assert len(list(meeting.iterdir())) == 8
        assert not waited
    outputs = {(made.folder / "build/tiny/surgery/model.onnx").read_bytes() for made in projects}
    assert len(outputs) == 1


@pytest.mark.slow
@pytest.mark.parametrize("folders", [8, 1], ids=["eight folders", "one folder"])
def test_eight_runs_of_a_whole_recipe_execute_each_action_once(
    tmp_path: Path, folders: int
) -> None:
    cache = tmp_path / "cache"
    projects = []
    for number in range(folders):
        projects.append(Project(tmp_path / f"p{number}").tiny())
        projects[-1].cache = cache
    runs = [
        subprocess.Popen(
            made.command("run", "tiny.yaml", "--json"),
            cwd=made.folder,
            stdout=subprocess.PIPE,
            text=True,
        )
        for made in projects * (8 // folders)
    ]
    documents = [json.loads(run.communicate(timeout=250)[0]) for run in runs]
    assert [run.returncode for run in runs] == [0] * 8
    verdicts: dict[str, list[str]] = {}
    for document in documents:
        for task in document["recipes"][0]["tasks"]:
            verdicts.setdefault(task["id"], []).append(task["verdict"])
    for task_id, found in verdicts.items():
        assert found.count("EXECUTED") == 1, (task_id, found)
        assert set(found) <= {"EXECUTED", "RESTORED", "UP_TO_DATE"}, (task_id, found)
    for made in projects:
        for output in documents[0]["recipes"][0]["tasks"][-2]["outputs"].values():
            assert digest_of_file(made.folder / output["path"]).hash == output["sha256"]
    assert audit(cache) == ()
