"""What docs/ shows of releases is true: the consumer's example, the commands, the workflow."""

from __future__ import annotations

import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.release.bundles import write_key
from tests.release.conftest import git
from trtbuild.cli import parser

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
EXAMPLE, WORKFLOW = DOCS / "run_release.py", DOCS / "release-workflow.yml"


def workflow() -> Any:
    """The workflow as YAML; PyYAML takes the key `on` for a boolean."""
    return yaml.safe_load(WORKFLOW.read_text())


def commands(job: str) -> list[str]:
    """What a job of the workflow runs."""
    return [step["run"] for step in workflow()["jobs"][job]["steps"] if "run" in step]


def example() -> dict[str, Any]:
    """The names of the consumer's example."""
    return runpy.run_path(str(EXAMPLE))


def test_the_consumer_s_example_has_no_more_than_40_lines_and_needs_no_trtbuild() -> None:
    text = EXAMPLE.read_text()
    assert len(text.splitlines()) <= 40
    assert not re.search(r"import.*trtbuild", text)
    assert "(run_release.py)" in (DOCS / "release.md").read_text()


def test_the_consumer_s_example_finds_the_engine_for_a_gpu(made: Path, tmp_path: Path) -> None:
    choose = example()["choose"]
    recipe, variant = choose(made / "unsigned", "89")
    assert (recipe["name"], variant["name"]) == ("tiny", "fp32")
    manifest = json.loads((made / "unsigned/manifest.json").read_text())
    manifest["recipes"][0]["variants"][0]["targets"]["compute_capabilities"] = ["86"]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert choose(tmp_path, "86")[1]["name"] == "fp32"
    with pytest.raises(SystemExit, match="no engine for compute capability 89"):
        choose(tmp_path, "89")


def test_the_consumer_s_example_checks_an_engine_before_it_loads_any_tensorrt(
    made: Path, tmp_path: Path
) -> None:
    names = example()
    bundle = Path(shutil.copytree(made / "unsigned", tmp_path / "bundle"))
    _, variant = names["choose"](bundle, "89")
    engine = bundle / variant["engine"]["path"]
    engine.write_bytes(engine.read_bytes() + b"\0")
    with pytest.raises(SystemExit, match=r"engine\.plan was changed"):
        names["run"](bundle, {**variant, "backend": "no such module"}, {})


def test_the_commands_in_the_text_and_in_the_workflow_exist() -> None:
    block = re.search(r"```sh\n(.*?)```", (DOCS / "release.md").read_text(), re.DOTALL)
    assert block is not None
    lines = [*block[1].splitlines(), *(c for job in workflow()["jobs"] for c in commands(job))]
    ours = [line.partition("#")[0].partition("||")[0] for line in lines if "trtbuild " in line]
    ours = [line for line in ours if line.startswith("trtbuild ")]
    assert len(ours) >= 10
    for line in ours:
        arguments = shlex.split(line)[1:]
        parser(asked=arguments[0]).parse_args(arguments)  # exits where it does not know one


def test_the_workflow_names_no_registry_and_gives_pull_requests_no_way_to_write() -> None:
    text = WORKFLOW.read_text()
    assert not re.search(r"https?://|\.(io|com|org)/", text)
    assert workflow()["permissions"] == {"contents": "read"}
    assert "'pull_request' && 'read' || 'read-write'" in text


@pytest.mark.slow  # a minute: digits-cnn is built, rebuilt three times, and released
def test_the_workflow_s_jobs_release_a_recipe_one_after_the_other(tmp_path: Path) -> None:
    """Each job in a checkout and with a cache of its own, as on runners; no job has a GPU here."""
    runner = tmp_path / "runner"
    runner.mkdir()
    key = write_key(runner / "key.pem")
    where = {"job": tmp_path / "none"}

    def checkout(job: str) -> Path:
        where["job"] = tmp_path / job
        git(tmp_path, "clone", "-q", str(tmp_path / "origin"), job)
        return where["job"]

    def run(command: str) -> None:
        """A step, of the one recipe that needs nothing fetched, without what needs a GPU."""
        command = command.replace("recipes/*.yaml", "recipes/digits-cnn.yaml")
        command = command.replace("R0,R1,benchmark --allow dirty", "R0,R1 --allow unverified")
        if command.startswith(("pip ", "python recipes/fetch")):
            return
        done = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", command],
            cwd=where["job"],
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "TRTBUILD_REMOTE": str(tmp_path / "remote"),
                "TRTBUILD_REMOTE_MODE": "read-write",
                "TRTBUILD_CACHE": str(where["job"].with_suffix(".cache")),
                "RELEASE_KEY": key.read_text(),
                "RUNNER_TEMP": str(runner),
            },
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    origin = tmp_path / "origin"
    listed = git(REPOSITORY, "ls-files", "-z", "recipes").split("\0")[:-1]
    for name in listed:
        (origin / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, origin / name)
    shutil.copy(key.with_suffix(".pub"), origin / "release.pub")
    (origin / ".gitignore").write_text("build/\n__pycache__/\n*.tar\n")
    git(origin, "init", "-q", "-b", "main")
    for job in ("lock", "build", "release"):
        git(origin, "add", "-A")
        git(origin, "commit", "-qm", job, "--allow-empty")
        folder = checkout(job)
        for command in commands(job):
            run(command)
        if job == "lock":
            shutil.copy(folder / "recipes/digits-cnn.lock", origin / "recipes/digits-cnn.lock")
    assert (tmp_path / "release/engines.tar").exists()
